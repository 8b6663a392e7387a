package bcache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/ranking"
	"github.com/iwanbk/bcache/internal/replica"
	"github.com/iwanbk/bcache/internal/signal"
	"github.com/iwanbk/bcache/internal/store"
	"github.com/iwanbk/bcache/internal/wire"
)

var (
	// ErrNoAnswer is why a node has no [KeyReport]: it is cut off, too slow, or has just connected.
	ErrNoAnswer = errors.New("bcache: the node doesn't answer")

	// ErrCannotAnswer is why a node has no [KeyReport]: it runs an older version of bcache.
	ErrCannotAnswer = errors.New("bcache: the node's version of bcache can't be asked")

	// ErrBusy is why a node has no [KeyReport]: it is asked too often. It is also returned by
	// [Inspector.Why] if this node asks too much at a time.
	ErrBusy = errors.New("bcache: too many questions at a time")
)

const (
	// MaxWhyKey is how many bytes a key may have that is asked about: 4 KiB.
	MaxWhyKey = wire.MaxInquiryKey

	// whyLimit is for how long the other nodes are waited for.
	whyLimit = 250 * time.Millisecond
)

// An Inspector answers the questions of whoever operates a node. Its methods may be called at any time,
// and cost Get and Set nothing, except where it is said. See docs/observing.md.
type Inspector struct{ cache *Bcache }

// Inspect returns the node's Inspector.
func (b *Bcache) Inspect() Inspector { return Inspector{b} }

// Done returns a channel that is closed when Close ends the node.
func (b *Bcache) Done() <-chan struct{} { return b.peer.done }

// NodeInfo describes a node.
type NodeInfo struct {
	ID         uint64    // its PeerID
	Origin     uint64    // which life of the node it is; part of the versions of what it writes
	Addr       string    // that it listens on; "" if it is local only
	Since      time.Time // when New made it
	Synced     bool      // as in Stats
	SyncedFrom uint64    // as in Stats
	SyncedAt   time.Time // when it last became synced; the time of New if it never had to
	Version    string    // of the module bcache, as it was built; "" if that isn't known
	Go         string    // the version of Go that it was built with
	Config     Config    // with its defaults; instead of the Secret, if there is one, "(set)"
}

// Node describes this node.
func (i Inspector) Node() NodeInfo {
	b := i.cache
	complete, from, at := b.peer.replica.Synced()
	synced := b.peer.start
	if at > 0 {
		synced = b.peer.timeAt(at)
	}
	return NodeInfo{
		ID: b.cfg.PeerID, Origin: b.peer.replica.Origin(), Addr: b.Addr(), Since: b.peer.start,
		Synced: complete, SyncedFrom: from, SyncedAt: synced,
		Version: moduleVersion(), Go: runtime.Version(), Config: b.cfg.shown(),
	}
}

// moduleVersion is the one that the program was built with.
var moduleVersion = sync.OnceValue(func() string {
	const path = "github.com/iwanbk/bcache"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == path {
			if m.Replace != nil {
				m = m.Replace
			}
			return m.Version
		}
	}
	return ""
})

// Loaders returns the figures of the Fillers of GetWithFiller, and then those of all Loaders that the
// cache has had, by prefix: up to 1,024 prefixes, and all others together.
func (i Inspector) Loaders() []LoaderStats {
	fillers := i.cache.fillers.Sums()
	all := []LoaderStats{newLoaderStats("", &fillers)}
	all[0].Fillers = true
	for _, of := range i.cache.ledger.All() {
		s := newLoaderStats(of.Name, &of.Sums)
		s.Others = of.Others
		all = append(all, s)
	}
	return all
}

// KeyCount says how often something was done with a key. A key of more than 256 bytes is its beginning
// and "…".
type KeyCount struct {
	Key   string
	Count uint64
	Error uint64 // the true count may be less, by up to so much
}

// HotKeys returns the n keys, 512 at most, that were found most often by Gets on this node since it was
// asked first; and about how many Gets found something. So the first time there is nothing. For a minute
// after each call a Get that finds something takes a few nanoseconds longer, as one in 64 is sampled.
// The keys are of the cache, with the prefixes of Loaders.
func (i Inspector) HotKeys(n int) (keys []KeyCount, hits uint64) {
	b := i.cache
	hot := &b.peer.replica.Store.Hot
	hot.Ask(b.peer.instant().Mono)
	top, hits := hot.Top(n)
	return keyCounts(top), hits
}

// RefusedFills returns the n keys, 128 at most, of which what a fill of this node brought since New wasn't
// cached most often, as something newer might be known.
func (i Inspector) RefusedFills(n int) []KeyCount {
	return keyCounts(i.cache.fillKeys.MostRefused(n))
}

func keyCounts(top []ranking.Count) []KeyCount {
	counts := make([]KeyCount, len(top))
	for i, c := range top {
		counts[i] = KeyCount(c)
	}
	return counts
}

// SlowFill is a fill that took long.
type SlowFill struct {
	Key  string // of a FillMany the first; of a key of more than 256 bytes the beginning, and "…"
	Took time.Duration
	At   time.Time // when it ended
}

// SlowFills returns the n fills of this node, 32 at most, that took longest within about the last ten
// minutes: of each key the one that took longest.
func (i Inspector) SlowFills(n int) []SlowFill {
	b := i.cache
	top := b.fillKeys.Slowest(b.peer.instant().Mono, n)
	slow := make([]SlowFill, len(top))
	for i, s := range top {
		slow[i] = SlowFill{s.Key, s.Took, b.peer.timeAt(s.At)}
	}
	return slow
}

// A KeyReport says what one node knows of a key, and why it has that.
type KeyReport struct {
	Node uint64 // its PeerID
	Err  error  // ErrNoAnswer, ErrCannotAnswer or ErrBusy: there is no report; otherwise nil

	At      time.Time // when, by the clock of that node
	Held    *HeldKey  // the record; nil: it holds none
	Cleared bool      // a Clear covers Held, of whatever it is: it counts as not held

	// The node is isolated, see [MissWhenIsolated]: it doesn't serve what it holds.
	Isolated bool

	// A value that a fill has brought and that has no version, see docs/fills.md and
	// LoaderConfig.LocalValues; nil: there is none. If BesideLive, it stands there for a Typed that can't
	// read Held. If ProvisionalCleared, a ClearPrefix or ClearTag came after it: it counts as not held.
	Provisional        *HeldKey
	BesideLive         bool
	ProvisionalCleared bool

	// Versions up to this time the node refuses, unless it holds the key: it has forgotten keys as young
	// as that. It is zero if it has forgotten nothing.
	Floor time.Time
	Clear KeyVersion // the last Clear of everything; zero if there was none

	// The last ClearPrefix or ClearTag that is about the key: of a prefix that it has, or of a tag of what
	// is held. nil: none is remembered. Of a key that isn't held no tags are known.
	KeyClear *KeyClear
	// Values with tags of versions up to this time the node refuses, as it has forgotten ClearTags as young
	// as that. It is zero if it has forgotten none.
	TagFloor time.Time

	Fills   int    // of the key, that run there
	Granter uint64 // the node that it would ask for the key's lease; 0: none
	Holder  uint64 // the node that has the lease, if this one has granted it; 0: none

	// What became of other values and writes of the key there, the latest first. Of some 1,000 keys
	// together the last 8 that were evicted or expired are remembered, and the last 8 others.
	Decisions []KeyDecision
}

// HeldKey is what a node holds of a key.
type HeldKey struct {
	Kind        KeyKind
	Version     KeyVersion // zero if it is provisional
	Deadline    time.Time  // zero: none
	StaleUntil  time.Time  // zero: until the Deadline
	RefreshFrom time.Time  // zero: never
	Size        int        // bytes of key and value
	Value       string     // its first KiB, if that was asked for
	Tags        []string   // in ascending order
}

// KeyClear is a ClearPrefix or a ClearTag.
type KeyClear struct {
	Prefix, Tag string // one of them is ""
	Version     KeyVersion
	At          time.Time // when the node learned of it, by its own clock
}

// KeyKind says what is held of a key.
type KeyKind string

const (
	KeyValue   KeyKind = "value"    // a value
	KeyMissing KeyKind = "negative" // that it has no value: a remembered ErrNotFound
	KeyDeleted KeyKind = "deleted"  // that it was deleted
)

// KeyVersion says which write it is. Of two, the later one wins; at the same Time the one with the
// greater Count, and then the one with the greater Origin.
type KeyVersion struct {
	Time   time.Time // by the hybrid clock of the node that wrote it; fills are written in the past
	Count  uint16    // of those within the same millisecond
	Origin uint64    // the life of the node that wrote it
	Node   uint64    // its PeerID; 0 if that node isn't known here any more
}

// IsZero reports whether there is no version.
func (v KeyVersion) IsZero() bool { return v.Origin == 0 }

// KeyDecision says what became of a value, or a write, of a key.
type KeyDecision struct {
	What        string    // for people, such as "evicted, to make room"
	Provisional bool      // it was a value without a version
	At          time.Time // when; zero if that isn't known
	Version     time.Time // the time of its version; zero if it had none
}

// Why asks all nodes of the cluster what they know of a key, which is one of the cache, with the prefix
// of its Loader. The first report is this node's, the others follow by PeerID. With values they have the
// beginnings of values. It waits for the others for 250 ms at most, or until ctx ends: a node that hasn't
// answered by then has a report with an Err.
//
// The error is [ErrClosed], [ErrTooLarge] for a key of more than MaxWhyKey bytes, or [ErrBusy].
func (i Inspector) Why(ctx context.Context, key string, values bool) ([]KeyReport, error) {
	b := i.cache
	switch {
	case b.closed.Load():
		return nil, ErrClosed
	case len(key) > MaxWhyKey:
		return nil, fmt.Errorf("%w: a key of %d bytes, at most %d can be asked about", ErrTooLarge, len(key),
			MaxWhyKey)
	}
	asked := &i.cache.peer.replica.Asked
	own := asked.Report(b.peer.instant(), key, values)
	var peers []uint64
	missing := map[uint64]error{}
	for _, m := range b.Members() {
		missing[m.ID] = ErrNoAnswer
		switch answers, refuses := asked.Answers(m.ID); {
		case answers:
			peers = append(peers, m.ID)
		case refuses:
			missing[m.ID] = ErrCannotAnswer
		}
	}
	answers, err := i.ask(ctx, key, values, peers)
	if err != nil {
		return nil, err
	}
	of := lives(asked.Lives())
	for _, a := range answers {
		if _, known := of[a.Origin]; !known {
			of[a.Origin] = a.Peer
		}
	}
	reports := []KeyReport{of.report(b.cfg.PeerID, &own)}
	for _, a := range answers {
		if delete(missing, a.Peer); a.Flags&wire.ReportBusy != 0 {
			missing[a.Peer] = ErrBusy
			continue
		}
		reports = append(reports, of.report(a.Peer, &a.Report))
	}
	for id, err := range missing {
		reports = append(reports, KeyReport{Node: id, Err: err})
	}
	slices.SortFunc(reports[1:], func(a, b KeyReport) int { return cmp.Compare(a.Node, b.Node) })
	return reports, nil
}

// ask asks other nodes, and waits for their answers.
func (i Inspector) ask(ctx context.Context, key string, values bool, peers []uint64) ([]replica.Answer, error) {
	if len(peers) == 0 {
		return nil, nil
	}
	asked := &i.cache.peer.replica.Asked
	came := make(chan struct{}, 1)
	q := asked.Ask(key, values, peers, func() { signal.Notify(came) })
	if q == nil {
		return nil, ErrBusy
	}
	defer asked.End(q)
	limit := time.NewTimer(whyLimit)
	defer limit.Stop()
	for {
		answers, waiting := asked.Answered(q)
		if len(waiting) == 0 {
			return answers, nil
		}
		select {
		case <-came:
			continue
		case <-limit.C:
		case <-ctx.Done():
		case <-i.cache.peer.done:
		}
		answers, _ = asked.Answered(q)
		return answers, nil
	}
}

// lives say which node, by its PeerID, an origin is a life of.
type lives map[uint64]uint64

// report puts a report into the terms of operators.
func (of lives) report(node uint64, r *wire.Report) KeyReport {
	k := KeyReport{
		Node: node, At: wallTime(r.Wall), Cleared: r.Flags&wire.ReportCleared != 0,
		Held: of.held(r.Held), Provisional: of.held(r.Beside), BesideLive: r.Flags&wire.ReportBeside != 0,
		Isolated:           r.Flags&wire.ReportIsolated != 0,
		ProvisionalCleared: r.Flags&wire.ReportEnded != 0, Floor: timeOf(r.Floor),
		Clear: of.version(r.ClearStamp, r.ClearOrigin), KeyClear: of.keyClear(r.KeyClear),
		TagFloor: timeOf(r.TagFloor), Fills: int(min(r.Fills, 1<<20)), Granter: r.Granter, Holder: r.Holder,
	}
	for _, d := range r.Decisions {
		k.Decisions = append(k.Decisions, KeyDecision{
			What: decisionText(d.What), Provisional: d.Flags&wire.DecisionProvisional != 0,
			At: wallTime(d.Wall), Version: timeOf(d.Stamp),
		})
	}
	return k
}

func (of lives) held(h *wire.Held) *HeldKey {
	if h == nil {
		return nil
	}
	kind := KeyValue
	switch h.Kind {
	case delta.KindNegative:
		kind = KeyMissing
	case delta.KindTombstone:
		kind = KeyDeleted
	}
	return &HeldKey{
		Kind: kind, Version: of.version(h.Stamp, h.Origin), Size: int(min(h.Size, 1<<30)),
		Deadline: wallTime(h.Deadline), StaleUntil: wallTime(h.StaleUntil),
		RefreshFrom: wallTime(h.RefreshFrom), Value: strings.Clone(h.Val), Tags: tagList(h.Tags),
	}
}

func (of lives) keyClear(x *wire.KeyClear) *KeyClear {
	if x == nil {
		return nil
	}
	c := &KeyClear{Version: of.version(x.Stamp, x.Version.Origin), At: wallTime(x.Wall)}
	c.Prefix, _ = x.Prefix()
	c.Tag, _ = x.Tag()
	return c
}

func (of lives) version(stamp, origin uint64) KeyVersion {
	if stamp == 0 {
		return KeyVersion{}
	}
	return KeyVersion{Time: timeOf(stamp), Count: uint16(stamp), Origin: origin, Node: of[origin]}
}

// tagList keeps nothing alive of what the tags are held with.
func tagList(tags delta.Tags) []string {
	return slices.Collect(delta.Tags(strings.Clone(string(tags))).All())
}

// timeOf is the time of a stamp; zero for none.
func timeOf(stamp uint64) time.Time {
	return wallTime(delta.StampWall(stamp))
}

// wallTime is a time in Unix milliseconds; zero for none, and for what no calendar has that programs
// write: it may come from another node.
func wallTime(ms int64) time.Time {
	const end = 253402300800000 // of the year 9999
	if ms <= 0 || ms >= end {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

func decisionText(what uint64) string {
	texts := [...]string{
		store.DecisionEvicted:      "evicted, to make room",
		store.DecisionExpired:      "expired",
		store.DecisionForgotten:    "forgotten: its value isn't known any more",
		store.DecisionOverwritten:  "dropped: a write of the key came",
		store.DecisionRefusedFloor: "refused: no newer than something that was forgotten",
		store.DecisionRefusedClear: "refused: from before a Clear",
		store.DecisionOlder:        "refused: older than what is held",
		store.DecisionTooBig:       "refused: too large for MaxBytes",
		store.DecisionFillRefused:  "a fill wasn't cached: something newer may be known",
		store.DecisionOfferRefused: "another node's fill wasn't taken: something newer may be known",
		store.DecisionCleared:      "removed by a Clear of a prefix of the key, or of a tag of it",
	}
	if what == 0 || what >= uint64(len(texts)) {
		return "unknown to this version"
	}
	return texts[what]
}
