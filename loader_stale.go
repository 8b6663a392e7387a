package bcache

import "strings"

// OnStale is told of failures that an old value covers, by a queue: who gets the value doesn't wait for
// it.

const (
	staleQueue      = 1024 // calls that wait for a slow OnStale,
	staleQueueBytes = 4 << 20
	staleOverhead   = 100 // each, beside its key and its error
)

type staleCall struct {
	key string
	err error
}

func (l *Loader) newStales() *callQueue[staleCall] {
	log := l.cache.peer.log
	name := "OnStale"
	if l.cfg.Prefix != "" {
		name += " of " + cutText(l.cfg.Prefix, 100)
	}
	return &callQueue[staleCall]{
		name: name, call: func(c staleCall) { l.cfg.OnStale(c.key, c.err) },
		most: staleQueue, mostBytes: staleQueueBytes, group: &l.cache.calls,
		panicked: func(value any, stack []byte) {
			log.Errorf(0, "OnStale panicked: %v\n\n%s", value, stack)
		},
	}
}

// tellStale has OnStale called, if there is one, with what is remembered of the error.
func (l *Loader) tellStale(key string, err lookedAt) {
	if l.stales == nil {
		return
	}
	if !l.stales.put(staleCall{strings.Clone(key), err.kept}, staleOverhead+len(key)+err.size, nil) {
		l.cache.n.staleMissed.Add(1)
	}
}
