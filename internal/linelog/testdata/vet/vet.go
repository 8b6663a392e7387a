// Package vet is what go vet looks at in TestVetReadsFormats.
package vet

import (
	"time"

	"github.com/iwanbk/bcache/internal/linelog"
)

func lines(l *linelog.Log, peer uint64) {
	key, keys := linelog.Field("key", "k"), linelog.Field("keys", 3)
	aside := l.With(linelog.Field("origin", peer))

	l.Errorf(peer, "node %x: %d keys in %v", peer, keys, linelog.Field("took", time.Second))
	l.Printf(0, "%[2]q %[1]x %5d", linelog.Field("peer", peer), key, keys)
	aside.Debugf(0, "%x of %s", keys, key)

	l.Errorf(0, "%d", "k")           // wrong
	l.Printf(0, "%s %s", key)        // wrong
	l.Debugf(0, "a key", key)        // wrong
	aside.Errorf(0, "%d %s", 3, 3)   // wrong
	aside.Printf(0, "%s %d", key)    // wrong
	aside.Debugf(0, "%d", key, keys) // wrong
}
