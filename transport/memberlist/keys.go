package memberlist

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"slices"
	"sync"
)

// proofSize is how many bytes a proof has.
const proofSize = sha256.Size

var (
	errKeySize = errors.New("a key must have 16, 24 or 32 bytes")
	errNoKeys  = errors.New("bcache: a node without Keys can't be given one while it runs")
	errNoKey   = errors.New("bcache: the node doesn't have the key: AddKey comes first")
	errKeyUsed = errors.New("bcache: the key is the one in use: UseKey another one first")
)

func checkKey(key []byte) error {
	switch len(key) {
	case 16, 24, 32:
		return nil
	}
	return errKeySize
}

// A keyring has the keys of the cluster. The first is the one that this node proves itself with. Their
// bytes never change.
type keyring struct {
	mu   sync.Mutex
	keys [][]byte
}

func newKeyring(keys [][]byte) *keyring {
	k := &keyring{}
	for _, key := range keys {
		k.insert(len(k.keys), key)
	}
	return k
}

// some reports whether there are keys. They don't come to none, nor from none.
func (k *keyring) some() bool { return len(k.all()) > 0 }

func (k *keyring) all() [][]byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.keys
}

// insert puts a key in, unless it is there.
func (k *keyring) insert(at int, key []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.find(key) < 0 {
		k.keys = slices.Insert(slices.Clone(k.keys), at, bytes.Clone(key))
	}
}

// use puts a key first.
func (k *keyring) use(key []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	at := k.find(key)
	if at < 0 {
		return errNoKey
	}
	own := k.keys[at]
	k.keys = slices.Insert(slices.Delete(slices.Clone(k.keys), at, at+1), 0, own)
	return nil
}

// remove takes a key out, which mustn't be the first.
func (k *keyring) remove(key []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch at := k.find(key); {
	case at == 0:
		return errKeyUsed
	case at > 0:
		k.keys = slices.Delete(slices.Clone(k.keys), at, at+1)
	}
	return nil
}

// find returns where a key is, or -1. k.mu is held.
func (k *keyring) find(key []byte) int {
	return slices.IndexFunc(k.keys, func(own []byte) bool { return hmac.Equal(own, key) })
}

// prove returns a proof that this node has the key that is in use: about what was said, on this very
// connection. It is nil without keys.
func (k *keyring) prove(c channel, said []byte) []byte {
	return c.prove(k.first(), said)
}

// first returns the key that is in use, or nil.
func (k *keyring) first() []byte {
	if keys := k.all(); len(keys) > 0 {
		return keys[0]
	}
	return nil
}

// has reports whether a key is there.
func (k *keyring) has(key []byte) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.find(key) >= 0
}

// check returns the key with which the other side has proved itself, or nil.
func (k *keyring) check(c channel, said, proof []byte) []byte {
	for _, key := range k.all() {
		if hmac.Equal(proof, c.proof(key, c.other, said)) {
			return key
		}
	}
	return nil
}

// A channel is what a proof is bound to: the encrypted connection, and which side of it speaks. So a proof
// is worth nothing elsewhere, and not to the side that it came from.
type channel struct {
	exported   []byte // RFC 5705
	own, other byte
}

// prove returns a proof of a key by this side; nil without one.
func (c channel) prove(key, said []byte) []byte {
	if key == nil {
		return nil
	}
	return c.proof(key, c.own, said)
}

func (c channel) proof(key []byte, side byte, said []byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write(c.exported)
	m.Write([]byte{side})
	m.Write(said)
	return m.Sum(nil)
}
