package store

// A Decision is what became of a value or a write of a key, other than that it is held.
type Decision struct {
	Kind        DecisionKind
	Provisional bool   // it was about the key's provisional value, which has no version
	Stamp       uint64 // of the version that was decided about; 0: it had none
	Wall        int64  // when that was, in Unix milliseconds
}

// A DecisionKind says what was decided.
type DecisionKind uint8

// What isn't held any more, and what wasn't taken.
const (
	DecisionEvicted      DecisionKind = iota + 1 // it made room for others
	DecisionExpired                              // its time was over, now or already when it came
	DecisionForgotten                            // its value isn't known any more: by a forget, or a repair
	DecisionOverwritten                          // a provisional value: a write of its key came
	DecisionRefusedFloor                         // a write that the floor of its bucket kept out
	DecisionRefusedClear                         // a write from before a Clear
	DecisionOlder                                // a write that is older than what is held
	DecisionTooBig                               // a write that wouldn't fit even if nothing else were held
	DecisionFillRefused                          // what a fill brought here: it is neither written nor kept
	DecisionOfferRefused                         // what a fill brought at another node, and that offered
	DecisionCleared                              // a Clear of its prefix, or of a tag of its, came
)

// decisionOf says what is decided of a record by what becomes of it. An Outcome that isn't here is none.
var decisionOf = [...]DecisionKind{
	outcomeKept:    DecisionOlder,
	outcomeRefused: DecisionRefusedFloor,
	outcomeCleared: DecisionRefusedClear,
	outcomeExpired: DecisionExpired,
	outcomeForgot:  DecisionForgotten,
	OutcomeTooBig:  DecisionTooBig,
}

// decisions are the last ones about the keys of a shard, of which it has the tags only. The shard's lock
// guards them.
type decisions struct {
	rings *[2]decisionRing // nil until there is one
}

// A decisionRing has the last ones: of entries that went in the course of things, or of what is rare. In a
// full cache something is evicted all the time, which would leave no room for the others.
type decisionRing struct {
	last [decisionsKept / 2]decision
	next uint32 // its place, by %
}

// decisionsKept is a power of two, so that next may wrap.
const decisionsKept = 16

type decision struct {
	tag   tag
	kind  DecisionKind // 0: the place is free
	stamp uint64
	wall  int64
}

// note remembers what was decided of what lies, or would lie, under a tag.
func (x *decisions) note(t tag, kind DecisionKind, stamp uint64, wall int64) {
	if x.rings == nil {
		x.rings = &[2]decisionRing{}
	}
	r := &x.rings[0]
	if kind == DecisionEvicted || kind == DecisionExpired {
		r = &x.rings[1]
	}
	r.last[r.next%uint32(len(r.last))] = decision{t, kind, stamp, wall}
	r.next++
}

// noteGone remembers why an entry goes.
func (x *decisions) noteGone(t tag, e *Entry, kind DecisionKind, wall int64) {
	stamp := e.Stamp
	if e.isProvisional() {
		stamp = 0 // it is an epoch
	}
	x.note(t, kind, stamp, wall)
}

// about lists those about a key that has this hash, the latest first.
func (x *decisions) about(hash uint64) (list []Decision) {
	if x.rings == nil {
		return nil
	}
	var of [len(x.rings)][]Decision
	for i := range x.rings {
		r := &x.rings[i]
		for back := range uint32(len(r.last)) {
			d := &r.last[(r.next-1-back)%uint32(len(r.last))]
			provisional := d.tag == tagOf(twin(hash))
			if d.kind != 0 && (provisional || d.tag == tagOf(hash)) {
				of[i] = append(of[i], Decision{d.kind, provisional, d.stamp, d.wall})
			}
		}
	}
	a, b := of[0], of[1]
	for len(a) > 0 && len(b) > 0 { // each keeps its order: the clock may have been set back
		if a[0].Wall >= b[0].Wall {
			list, a = append(list, a[0]), a[1:]
		} else {
			list, b = append(list, b[0]), b[1:]
		}
	}
	return append(append(list, a...), b...)
}
