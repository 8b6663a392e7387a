package bcache

import (
	"cmp"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"time"

	"github.com/iwanbk/bcache/internal/fill"
	"github.com/iwanbk/bcache/internal/histogram"
	"github.com/iwanbk/bcache/internal/replica"
)

// Stats are a node's figures. A counter counts since New and never goes back; a gauge tells the present.
// Which of them a field is its tag says, for programs too: see [Stats.Metrics].
type Stats struct {
	// Gets that returned a value or, of a Loader, that there is known to be none
	Hits   uint64 `stat:"counter"`
	Misses uint64 `stat:"counter"` // Gets that didn't

	Sets    uint64 `stat:"counter"` // values written here by Set, SetWithTTL and Put
	Deletes uint64 `stat:"counter"` // keys deleted here, those of values too large included

	Clears        uint64 `stat:"counter"` // Clears of everything issued here
	ClearPrefixes uint64 `stat:"counter"` // ClearPrefixes issued here, those of "" not included
	ClearTags     uint64 `stat:"counter"` // ClearTags issued here

	Fills uint64 `stat:"counter"` // Fillers and Fills called; FillMany counts once per key
	// fills that failed, panics included, except those that nobody waited for any more
	FillErrors uint64 `stat:"counter"`
	// fills returned but not cached: something newer may be known, or Close came
	FillsRefused  uint64 `stat:"counter"`
	FillsTooLarge uint64 `stat:"counter"` // fills returned but not cached because they exceed a limit

	// Fills that a caller's deadline has given up, so that later callers don't join them, see
	// LoaderConfig.Fill; a call of FillMany counts once
	FillsGivenUp uint64 `stat:"counter"`

	// Fills cached without a version: see docs/fills.md. Those of Loaders with LocalValues are kept, and
	// dropped, too.
	ProvisionalKept     uint64 `stat:"counter"` // those of this node
	ProvisionalOffered  uint64 `stat:"counter"` // those offered to other nodes, once per node
	ProvisionalAccepted uint64 `stat:"counter"` // those of other nodes that are held here too
	// those that aren't: this node may know something newer, or has a value
	ProvisionalRefused uint64 `stat:"counter"`
	ProvisionalDropped uint64 `stat:"counter"` // those that a write, or a full sync, has ended here

	Refreshes   uint64 `stat:"counter"` // fills of Loaders begun in the background
	StaleServed uint64 `stat:"counter"` // values that Loaders returned after their deadline
	StaleHits   uint64 `stat:"counter"` // of these, those that Hits has; Misses has the others
	// fills of Loaders that failed while there was an old value to serve; FillErrors has them too
	StaleFailures uint64 `stat:"counter"`
	NotFound      uint64 `stat:"counter"` // times that Loaders returned the ErrNotFound that was remembered
	LeasesGranted uint64 `stat:"counter"` // leases that this node granted, to itself too, see ClusterWide
	LeasesMissed  uint64 `stat:"counter"` // fills for which no lease was to be had, see docs/operations.md
	// Gets of a Typed that missed as it can't decode what is held; values its All left out
	Undecodable uint64 `stat:"counter"`

	EventsLost    uint64 `stat:"counter"` // events that subscribers were too slow for, see Bcache.Subscribe
	OnStaleMissed uint64 `stat:"counter"` // failures that an OnStale was too slow to be told of

	Keys  int   `stat:"gauge"` // entries held, see Len
	Bytes int64 `stat:"gauge"` // their keys, values and EntryOverhead each, and what is shared
	// of Keys, those without a version: provisional values, see docs/fills.md, and what LocalValues keeps
	Provisional int `stat:"gauge"`
	Tombstones  int `stat:"gauge"` // deleted keys remembered as such
	// ClearPrefixes and ClearTags of all nodes that are remembered, see docs/groups.md
	ClearsRemembered int `stat:"gauge"`

	Evictions   uint64 `stat:"counter"` // entries that made room for others
	Expirations uint64 `stat:"counter"` // entries removed after their deadline
	Cleared     uint64 `stat:"counter"` // entries removed by a ClearPrefix or ClearTag of any node

	Origins    int `stat:"gauge"` // node lives whose writes are kept track of
	LogRecords int `stat:"gauge"` // writes in the delta log
	Outbox     int `stat:"gauge"` // writes that wait to be sent

	FramesIn, FramesOut uint64 `stat:"counter"` // frames received, and sent, once per neighbour
	BytesIn, BytesOut   uint64 `stat:"counter"` // their bytes
	// writes of others received for the first time, and own writes sent
	RecordsIn, RecordsOut uint64 `stat:"counter"`

	Duplicates uint64 `stat:"counter"` // writes received again, and ignored
	// writes stamped more than MaxClockSkew ahead, not applied yet; again each time that they come
	RefusedFuture     uint64 `stat:"counter"`
	RefusedFloor      uint64 `stat:"counter"` // writes no newer than something forgotten here, not applied
	RefusedTooLarge   uint64 `stat:"counter"` // writes of others above MaxBytes, not applied
	Malformed         uint64 `stat:"counter"` // frames dropped because they can't be decoded
	Unsupported       uint64 `stat:"counter"` // frames dropped because they are of a later version
	HandshakesSkew    uint64 `stat:"counter"` // connections refused because of the clock
	HandshakesRefused uint64 `stat:"counter"` // connections refused for another reason

	RepairsAsked    uint64 `stat:"counter"` // times that this node asked for writes that it had missed
	RepairsAnswered uint64 `stat:"counter"` // times that it was asked
	RecordsRepaired uint64 `stat:"counter"` // writes that came in answer
	RecordsResent   uint64 `stat:"counter"` // writes sent in answer, values gone included

	SyncsServed   uint64        `stat:"counter"` // full syncs sent to the end
	SyncsReceived uint64        `stat:"counter"` // full syncs received to the end
	SyncsFailed   uint64        `stat:"counter"` // full syncs given up, to be tried again
	SyncRecords   uint64        `stat:"counter"` // records received by full syncs
	SyncBytesOut  uint64        `stat:"counter"` // bytes of the full syncs sent to the end
	SyncBytesIn   uint64        `stat:"counter"` // bytes of those received to the end
	SyncTook      time.Duration `stat:"gauge"`   // how long the last one that was received took

	Synced bool `stat:"gauge"` // the node is synced; Bcache.Ready may want more, see Config.MinPeers
	// PeerID of the node that the last full sync came from; 0: none, it is synced by itself, or
	// isn't
	SyncedFrom uint64 `stat:"gauge"`

	// with MissWhenIsolated: what is held isn't served, as too few other nodes are heard from
	Isolated   bool   `stat:"gauge"`
	Isolations uint64 `stat:"counter"` // times that it came to that

	Syncing  bool   `stat:"gauge"`   // a full sync was asked for, or is being received
	Serving  int    `stat:"gauge"`   // full syncs being sent
	StuckCut uint64 `stat:"counter"` // connections cut because nothing came any more
	SkewCut  uint64 `stat:"counter"` // connections cut because the clocks had come to differ

	Peers []PeerStats // the directly connected nodes, by PeerID
	// how long writes took from other nodes to this one, see PeerStats.Propagation; of all neighbours, those
	// that have left too
	Propagation Histogram `stat:"counter"`

	// What is dropped is repaired, or costs misses.
	DroppedOutbox uint64 `stat:"counter"` // writes not sent at once because the outbox was full
	// frames not sent: a neighbour's queue was full, they were old, or it was gone
	DroppedFrames     uint64 `stat:"counter"`
	DroppedMessages   uint64 `stat:"counter"` // messages not sent because their queue was full
	DroppedTombstones uint64 `stat:"counter"` // tombstones collected before DeletionDelay, at their bound
	// prefixes and tags whose Clears were forgotten, as others came: what is older isn't taken any more
	DroppedClears    uint64 `stat:"counter"`
	DroppedIntervals uint64 `stat:"counter"` // gaps beyond what is kept track of per origin
	DroppedOrigins   uint64 `stat:"counter"` // origins beyond what is kept track of
}

// PeerStats are figures about a directly connected node.
type PeerStats struct {
	ID uint64 // its PeerID
	// age of the newest write of it that this node has, by this node's clock; -1 if there is none
	Lag    time.Duration
	Silent time.Duration // since something came from it
	Synced bool          // it says that it is
	Behind bool          // it has something that this node lacks
	// for how long a write of it has been lacking here, as far as is known; 0 if none has
	Late time.Duration

	// By how much its clock is ahead of this node's; negative if it is behind. Pings measure it, as NTP
	// does, give or take half of RoundTrip, which is that of the best of the last pings; and a
	// millisecond, if the node's version doesn't tell the microseconds. While nothing is known,
	// ClockOffset is 0 and RoundTrip -1: until a ping is answered after the node was connected, or after
	// one of the two clocks was set.
	ClockOffset, RoundTrip time.Duration

	// How long its writes took to this node, since it connected: one duration for each frame, which has
	// from 1 to 1,024 writes. It begins when the other node sends them, by its wall clock, and ends when
	// they have come, by that of this node; the difference of the two, ClockOffset, is taken off. What a
	// write waits until the node has sent those before it isn't in it; what queues of the network take is.
	//
	// Not counted are writes that come as a repair (RecordsRepaired) or in a full sync, those that another
	// node passes on, and all while ClockOffset isn't known. If the other node's clock is set, the figures
	// of up to 10 seconds may be wrong by as much.
	Propagation Histogram
	// What half, and 99 of 100, of the last minute's frames didn't exceed; -1 if none has come.
	PropagationP50, PropagationP99 time.Duration
}

// Stats returns the node's figures. It costs Get and Set hardly anything. A call looks at every 1,024th
// of MaxKeys: that takes microseconds for a hundred thousand, and milliseconds for a hundred million.
func (b *Bcache) Stats() Stats {
	now := b.peer.instant()
	n, g := b.peer.replica.Stats(now)
	isolated, isolations, _ := b.peer.replica.Isolation().Stats(now)
	st := b.peer.replica.Store
	c := st.Stats()
	loads := b.ledger.Total()
	fills := b.fillers.Sums()
	fills.Merge(&loads)
	s := Stats{
		Hits: c.Hits + fills.Hits, Misses: c.Misses + fills.Misses,
		Sets: n.Sets + c.Replaced, Deletes: n.Deletes,
		Clears: n.Clears, ClearPrefixes: n.ClearPrefixes, ClearTags: n.ClearTags,
		Fills: fills.Fills(), FillErrors: fills.Ended[fill.Failed],
		FillsRefused: fills.Ended[fill.Refused], FillsTooLarge: fills.Ended[fill.TooLarge],
		FillsGivenUp: b.loads.GivenUp.Load(),
		Refreshes:    fills.Begun[fill.Refresh], StaleServed: fills.Stale, StaleHits: fills.StaleHits,
		StaleFailures: fills.StaleFailures, NotFound: fills.Missing,
		LeasesGranted: n.LeasesGranted, LeasesMissed: n.LeasesMissed, Undecodable: fills.Undecodable,
		ProvisionalKept: n.ProvisionalKept, ProvisionalOffered: n.ProvisionalOffered,
		ProvisionalAccepted: n.ProvisionalAccepted, ProvisionalRefused: n.ProvisionalRefused,
		ProvisionalDropped: c.ProvisionalsDropped,
		EventsLost:         b.watchers.lost.Load(), OnStaleMissed: fills.StaleMissed,
		Keys: st.Len(), Bytes: st.Bytes(), Provisional: st.Provisionals(), Tombstones: st.Tombstones(),
		Evictions: c.Evictions, Expirations: c.Expirations,
		ClearsRemembered: st.Clears.Len(), Cleared: c.Cleared, DroppedClears: c.ClearsDropped,
		Origins: g.Origins, LogRecords: g.LogRecords, Outbox: g.Outbox,
		RecordsIn: n.RecordsIn, RecordsOut: n.RecordsOut,
		Duplicates: n.Duplicates, RefusedFuture: n.RefusedSkew, RefusedFloor: c.FloorRefusals,
		RefusedTooLarge: n.RefusedTooBig, Malformed: n.Malformed, Unsupported: n.Unsupported,
		RepairsAsked: n.RepairsAsked, RepairsAnswered: n.RepairsAnswered,
		RecordsRepaired: n.RecordsRepaired, RecordsResent: n.RecordsResent,
		SyncsServed: n.SyncsServed, SyncsReceived: n.SyncsReceived, SyncsFailed: n.SyncsFailed,
		SyncRecords: n.RecordsSynced, SyncBytesOut: n.SyncBytesOut, SyncBytesIn: n.SyncBytesIn,
		SyncTook: n.SyncTook,
		Synced:   g.Synced, SyncedFrom: g.SyncedFrom,
		Isolated: isolated, Isolations: isolations,
		Syncing: g.Syncing, Serving: g.Serving, StuckCut: n.Stuck, SkewCut: n.RefusedSkewPeers,
		DroppedOutbox: n.DroppedOutbox, DroppedMessages: n.DroppedSends,
		DroppedTombstones: c.TombstonesDropped,
		DroppedIntervals:  n.DroppedIntervals, DroppedOrigins: n.DroppedOrigins,
		Propagation: newHistogram(n.Propagation),
	}
	for i := range g.Peers {
		s.Peers = append(s.Peers, newPeerStats(&g.Peers[i]))
	}
	if t := b.peer.transport; t != nil {
		ts := t.Stats()
		s.FramesIn, s.FramesOut, s.BytesIn, s.BytesOut = ts.FramesIn, ts.FramesOut, ts.BytesIn, ts.BytesOut
		s.DroppedFrames = ts.DroppedFrames
		s.HandshakesSkew, s.HandshakesRefused = ts.RefusedSkew, ts.RefusedOther
	}
	return s
}

func newPeerStats(p *replica.Peer) PeerStats {
	s := PeerStats{
		ID: p.ID, Lag: p.Lag, Silent: p.Silent, Synced: p.Synced, Behind: p.Behind, Late: p.Late,
		ClockOffset: p.Offset, RoundTrip: p.RoundTrip,
		Propagation: newHistogram(p.Propagation), PropagationP50: -1, PropagationP99: -1,
	}
	if minute := &p.PropagationMinute; minute.Total() > 0 {
		s.PropagationP50, s.PropagationP99 = minute.Quantile(0.5), minute.Quantile(0.99)
	}
	return s
}

// LoaderStats are the figures of one [Loader], or of all that have a prefix. Stats of the cache has those
// of all Loaders and Fillers together.
type LoaderStats struct {
	Prefix  string // of the Loader; no more than 256 bytes of it
	Fillers bool   // they are those of GetWithFiller instead, which has no prefix
	Others  bool   // they are those of all prefixes beyond the first 1,024 of the cache

	Hits   uint64 `stat:"counter"` // Gets answered without a fill, stale values and ErrNotFound included
	Misses uint64 `stat:"counter"` // Gets that weren't; those of GetWithFiller the cache counts

	// Keys whose fills have begun, by why. Those of a FillMany count one by one.
	Begun map[FillCause]uint64 `stat:"counter"`
	// Keys whose fills have ended, by how.
	Ended map[FillOutcome]uint64 `stat:"counter"`

	Running int       `stat:"gauge"`   // calls of Fill and FillMany that haven't ended
	Took    Histogram `stat:"counter"` // how long those took that have

	LeaseWaits map[LeaseEnd]uint64 `stat:"counter"` // waits for leases, by how they have ended,
	LeaseTook  Histogram           `stat:"counter"` // and how long they took

	StaleServed      uint64 `stat:"counter"` // values returned after their deadline
	StaleHits        uint64 `stat:"counter"` // of these, those that Hits has; Misses has the others
	StaleFailures    uint64 `stat:"counter"` // fills that failed while there was an old value to serve
	OnStaleMissed    uint64 `stat:"counter"` // of those, what OnStale was too slow to be told of
	NotFoundReturned uint64 `stat:"counter"` // times that the ErrNotFound that was remembered was returned
	Undecodable      uint64 `stat:"counter"` // misses as a Typed can't decode what is held

	// Gets to which nothing could be given that was held, or was being filled, when they came: because
	// of their Token (AwaitToken), or of a ClearTag of what that fill brought. Each key of a GetMany is
	// one.
	AskedAnew uint64 `stat:"counter"`
}

func newLoaderStats(prefix string, s *fill.Sums) LoaderStats {
	return LoaderStats{
		Prefix: prefix[:min(len(prefix), fill.MaxAccountName)],
		Hits:   s.Hits, Misses: s.Misses,
		Begun: byKind[FillCause](s.Begun[:]), Ended: byKind[FillOutcome](s.Ended[:]),
		Running: int(s.Running), Took: newHistogram(s.Took),
		LeaseWaits: byKind[LeaseEnd](s.Waits[:]), LeaseTook: newHistogram(s.Waited),
		StaleServed: s.Stale, StaleHits: s.StaleHits,
		StaleFailures: s.StaleFailures, OnStaleMissed: s.StaleMissed,
		NotFoundReturned: s.Missing, Undecodable: s.Undecodable, AskedAnew: s.Anew,
	}
}

// byKind has all kinds, also those of which there was none.
func byKind[K ~uint8](counts []uint64) map[K]uint64 {
	m := make(map[K]uint64, len(counts))
	for kind, n := range counts {
		m[K(kind)] = n
	}
	return m
}

// A Histogram counts durations by how long they are. Its Bounds are the same in every Histogram.
type Histogram struct {
	Bounds []time.Duration // the upper bounds of the buckets, ascending, each part of its bucket
	Counts []uint64        // how many are in each bucket; one more than Bounds, for what is longer
	Sum    time.Duration   // of all durations
}

func newHistogram(c histogram.Counts) Histogram {
	return Histogram{Bounds: slices.Clone(histogram.Bounds[:]), Counts: slices.Clone(c.Buckets[:]), Sum: c.Sum}
}

// Total is how many durations were counted.
func (h Histogram) Total() uint64 {
	c := h.counts()
	return c.Total()
}

// Quantile returns the duration that a part q of all, 0 to 1, don't exceed, as exactly as the buckets
// tell: within one it is interpolated. Beyond all bounds it is the last one. It is 0 if nothing was
// counted.
func (h Histogram) Quantile(q float64) time.Duration {
	c := h.counts()
	return c.Quantile(q)
}

func (h Histogram) counts() histogram.Counts {
	c := histogram.Counts{Sum: h.Sum}
	copy(c.Buckets[:], h.Counts)
	return c
}

// A Metric is a figure, for programs that show them all.
type Metric struct {
	Name  string // that of the field
	Of    string // which one of a field that has several, such as "found"; "" if it has one
	Kind  MetricKind
	Value float64 // of a duration the seconds; true is 1
}

// MetricKind says what a figure is.
type MetricKind string

const (
	MetricCounter MetricKind = "counter" // it counts since New, and never goes back
	MetricGauge   MetricKind = "gauge"   // it tells the present
)

// Metrics iterates over all figures but for the Peers and Histograms, in the order of the fields.
func (s Stats) Metrics() iter.Seq[Metric] { return metricsOf(reflect.ValueOf(s)) }

// Metrics iterates over all figures but for the Histograms, in the order of the fields.
func (s LoaderStats) Metrics() iter.Seq[Metric] { return metricsOf(reflect.ValueOf(s)) }

func metricsOf(of reflect.Value) iter.Seq[Metric] {
	return func(yield func(Metric) bool) {
		for i := range of.NumField() {
			field, v := of.Type().Field(i), of.Field(i)
			m := Metric{Name: field.Name, Kind: MetricKind(field.Tag.Get("stat"))}
			switch {
			case m.Kind == "" || v.Kind() == reflect.Struct:
			case v.Kind() == reflect.Map:
				byKind := func(a, b reflect.Value) int { return cmp.Compare(a.Uint(), b.Uint()) }
				for _, kind := range slices.SortedFunc(slices.Values(v.MapKeys()), byKind) {
					m.Of, m.Value = fmt.Sprint(kind.Interface()), numberOf(v.MapIndex(kind))
					if !yield(m) {
						return
					}
				}
			default:
				if m.Value = numberOf(v); !yield(m) {
					return
				}
			}
		}
	}
}

func numberOf(v reflect.Value) float64 {
	switch x := v.Interface().(type) {
	case time.Duration:
		return x.Seconds()
	case bool:
		if x {
			return 1
		}
		return 0
	}
	if v.CanInt() {
		return float64(v.Int())
	}
	return float64(v.Uint())
}
