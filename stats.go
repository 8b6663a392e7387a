package bcache

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/iwanbk/bcache/internal/histogram"
	"github.com/iwanbk/bcache/internal/replica"
)

// Stats are a node's figures. A counter counts since New and never goes back; a gauge tells the present.
type Stats struct {
	Hits   uint64 // counter: Gets that returned a value, or of a Loader, that there is known to be none
	Misses uint64 // counter: Gets that didn't

	Sets    uint64 // counter: values written here by Set and SetWithTTL
	Deletes uint64 // counter: keys deleted here, those of values too large included

	Clears uint64 // counter: Clears issued here

	Fills uint64 // counter: Fillers and Fills called; FillMany counts once per key
	// counter: fills that failed, panics included, except those that nobody waited for any more
	FillErrors uint64
	// counter: fills returned but not cached: something newer may be known, or Close came
	FillsRefused  uint64
	FillsTooLarge uint64 // counter: fills returned but not cached because they exceed a limit

	// counter: Fills that a caller's deadline has given up, so that later callers don't join them, see
	// LoaderConfig.Fill; a call of FillMany counts once
	FillsGivenUp uint64

	// Fills cached without a version: see docs/fills.md.
	ProvisionalKept     uint64 // counter: those of this node
	ProvisionalOffered  uint64 // counter: those offered to other nodes, once per node
	ProvisionalAccepted uint64 // counter: those of other nodes that are held here too
	// counter: those that aren't: this node may know something newer, or has a value
	ProvisionalRefused uint64
	ProvisionalDropped uint64 // counter: those that a write, or a full sync, has ended here

	Refreshes   uint64 // counter: fills of Loaders begun in the background
	StaleServed uint64 // counter: values that Loaders returned after their deadline
	// counter: fills of Loaders that failed while there was an old value to serve; FillErrors has them too
	StaleFailures uint64
	NotFound      uint64 // counter: times that Loaders returned the ErrNotFound that was remembered
	LeasesGranted uint64 // counter: leases that this node granted, to itself or others, see ClusterWide
	LeasesMissed  uint64 // counter: fills for which no lease was to be had, see docs/operations.md
	// counter: Gets of a Typed that missed as it can't decode what is held; values its All left out
	Undecodable uint64

	EventsLost    uint64 // counter: events that subscribers were too slow for, see Bcache.Subscribe
	OnStaleMissed uint64 // counter: failures that an OnStale was too slow to be told of

	Keys       int   // gauge: entries held, see Len
	Bytes      int64 // gauge: their keys, values and EntryOverhead each, and what is shared
	Tombstones int   // gauge: deleted keys remembered as such

	Evictions   uint64 // counter: entries that made room for others
	Expirations uint64 // counter: entries removed after their deadline

	Origins    int // gauge: node lives whose writes are kept track of
	LogRecords int // gauge: writes in the delta log
	Outbox     int // gauge: writes that wait to be sent

	FramesIn, FramesOut   uint64 // counters: frames received, and sent, once per neighbour
	BytesIn, BytesOut     uint64 // counters: their bytes
	RecordsIn, RecordsOut uint64 // counters: writes of others received for the first time, own writes sent

	Duplicates uint64 // counter: writes received again, and ignored
	// counter: writes stamped more than MaxClockSkew ahead, not applied yet; again each time that they come
	RefusedFuture     uint64
	RefusedFloor      uint64 // counter: writes no newer than something forgotten here, not applied
	RefusedTooLarge   uint64 // counter: writes of others above MaxBytes, not applied
	Malformed         uint64 // counter: frames dropped because they can't be decoded
	Unsupported       uint64 // counter: frames dropped because they are of a later version
	HandshakesSkew    uint64 // counter: connections refused because of the clock
	HandshakesRefused uint64 // counter: connections refused for another reason

	RepairsAsked    uint64 // counter: times that this node asked another one for writes that it had missed
	RepairsAnswered uint64 // counter: times that it was asked
	RecordsRepaired uint64 // counter: writes that came in answer
	RecordsResent   uint64 // counter: writes sent in answer, values gone included

	SyncsServed   uint64        // counter: full syncs sent to the end
	SyncsReceived uint64        // counter: full syncs received to the end
	SyncsFailed   uint64        // counter: full syncs given up, to be tried again
	SyncRecords   uint64        // counter: records received by full syncs
	SyncBytesOut  uint64        // counter: bytes of the full syncs sent to the end
	SyncBytesIn   uint64        // counter: bytes of those received to the end
	SyncTook      time.Duration // gauge: how long the last one that was received took

	Synced bool // gauge: the node is synced; Bcache.Ready may want more, see Config.MinPeers
	// gauge: PeerID of the node that the last full sync came from; 0: none, it is synced by itself, or
	// isn't
	SyncedFrom uint64

	Syncing  bool   // gauge: a full sync was asked for, or is being received
	Serving  int    // gauge: full syncs being sent
	StuckCut uint64 // counter: connections cut because nothing came any more
	SkewCut  uint64 // counter: connections cut because the clocks had come to differ

	Peers []PeerStats // the directly connected nodes, by PeerID
	// counter: how long writes took from other nodes to this one, see PeerStats.Propagation; of all
	// neighbours, those that have left too
	Propagation Histogram

	// What is dropped is repaired, or costs misses.
	DroppedOutbox uint64 // counter: writes not sent at once because the outbox was full
	// counter: frames not sent: a neighbour's queue was full, they were old, or it was gone
	DroppedFrames     uint64
	DroppedMessages   uint64 // counter: messages not sent because their queue was full
	DroppedTombstones uint64 // counter: tombstones collected before DeletionDelay, at their bound
	DroppedIntervals  uint64 // counter: gaps beyond what is kept track of per origin
	DroppedOrigins    uint64 // counter: origins beyond what is kept track of
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
	// does, give or take half of RoundTrip, which is that of the best of the last pings. While nothing is
	// known, ClockOffset is 0 and RoundTrip -1: until a ping is answered after the node was connected, or
	// after one of the two clocks was set.
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
func (h Histogram) Total() (n uint64) {
	for _, in := range h.Counts {
		n += in
	}
	return n
}

// Quantile returns the duration that a part q of all, 0 to 1, don't exceed, as exactly as the buckets
// tell: within one it is interpolated. Beyond all bounds it is the last one. It is 0 if nothing was
// counted.
func (h Histogram) Quantile(q float64) time.Duration {
	c := histogram.Counts{Sum: h.Sum}
	copy(c.Buckets[:], h.Counts)
	return c.Quantile(q)
}

// fillCounters count the fills of a node, and what Loaders do.
type fillCounters struct {
	called, failed, refused, tooLarge atomic.Uint64 // of Fillers too

	refreshes, stale, staleFailures, staleMissed, notFound, undecodable atomic.Uint64
}

// Stats returns the node's figures. It costs Get and Set hardly anything. A call looks at every 1,024th
// of MaxKeys: that takes microseconds for a hundred thousand, and milliseconds for a hundred million.
func (b *Bcache) Stats() Stats {
	n, g := b.peer.replica.Stats(b.peer.instant())
	st := b.peer.replica.Store
	c := st.Stats()
	s := Stats{
		Hits: c.Hits, Misses: c.Misses,
		Sets: n.Sets + c.Replaced, Deletes: n.Deletes, Clears: n.Clears,
		Fills: b.fills.called.Load(), FillErrors: b.fills.failed.Load(),
		FillsRefused: b.fills.refused.Load(), FillsTooLarge: b.fills.tooLarge.Load(),
		FillsGivenUp: b.loads.GivenUp.Load(),
		Refreshes:    b.fills.refreshes.Load(), StaleServed: b.fills.stale.Load(),
		StaleFailures: b.fills.staleFailures.Load(), NotFound: b.fills.notFound.Load(),
		LeasesGranted: n.LeasesGranted, LeasesMissed: n.LeasesMissed, Undecodable: b.fills.undecodable.Load(),
		ProvisionalKept: n.ProvisionalKept, ProvisionalOffered: n.ProvisionalOffered,
		ProvisionalAccepted: n.ProvisionalAccepted, ProvisionalRefused: n.ProvisionalRefused,
		ProvisionalDropped: c.ProvisionalsDropped,
		EventsLost:         b.watchers.lost.Load(), OnStaleMissed: b.fills.staleMissed.Load(),
		Keys: st.Len(), Bytes: st.Bytes(), Tombstones: st.Tombstones(),
		Evictions: c.Evictions, Expirations: c.Expirations,
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
