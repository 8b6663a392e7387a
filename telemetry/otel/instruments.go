package bcacheotel

import "go.opentelemetry.io/otel/attribute"

// kind says what an instrument is.
type kind string

const (
	counter   kind = "counter"
	upDown    kind = "up-down counter"
	gauge     kind = "gauge"
	histogram kind = "histogram"
)

// An instrument is one of OpenTelemetry's, as README.md lists it.
type instrument struct {
	name        string
	kind        kind
	unit        string
	attributes  []attribute.Key // beside that of the cache
	description string
}

// seconds reports whether its values have fractions.
func (i *instrument) seconds() bool { return i.unit == "s" }

// The histograms are those of an Observer.
var (
	fillDuration = instrument{"bcache.fill.duration", histogram, "s",
		keys(keyLoader, keyCause, keyErrorType), "How long calls of Fill and FillMany took."}
	leaseWaitDuration = instrument{"bcache.lease.wait.duration", histogram, "s",
		keys(keyLoader, keyLeaseEnd), "How long fills waited for the leases of their keys."}
)

// observables are what RegisterMetrics has read.
var observables = []instrument{
	{"bcache.requests", counter, "{request}", keys(keyResult),
		"Gets of the cache and of Loaders: hit is a value in time, stale one after its deadline, negative " +
			"the known absence of a value, miss all others."},
	{"bcache.loader.requests", counter, "{request}", keys(keyLoader, keyResult),
		"Gets of Loaders, which are part of bcache.requests."},
	{"bcache.writes", counter, "{write}", keys(keyOperation),
		"Writes issued on this node: set, delete, clear of everything, clear_prefix or clear_tag."},

	{"bcache.fill.starts", counter, "{key}", keys(keyLoader, keyCause), "Keys whose fills have begun."},
	{"bcache.fills", counter, "{key}", keys(keyLoader, keyOutcome), "Keys whose fills have ended."},
	{"bcache.fill.active", upDown, "{call}", keys(keyLoader),
		"Calls of Fill, FillMany and Filler that run."},
	{"bcache.fill.calls", counter, "{call}", keys(keyLoader), "Those calls that have ended."},
	{"bcache.fill.time", counter, "s", keys(keyLoader), "How long those took together."},
	{"bcache.fill.give_ups", counter, "{call}", nil,
		"Calls that took longer than some caller's deadline, so that later callers don't join them."},
	{"bcache.stale.failures", counter, "{key}", keys(keyLoader),
		"Fills that failed while there was an old value to serve."},
	{"bcache.undecodable", counter, "{value}", keys(keyLoader),
		"Times that a Typed couldn't decode what is held."},
	{"bcache.asked_anew", counter, "{request}", keys(keyLoader),
		"Gets to which nothing could be given that was held or being filled: " +
			"because of a Token, or a ClearTag."},
	{"bcache.provisionals", counter, "{value}", keys(keyEvent),
		"Values without a version: kept here, offered to others, of others accepted or refused, dropped."},
	{"bcache.lease.grants", counter, "{lease}", nil, "Leases that this node has granted, to itself too."},
	{"bcache.lease.misses", counter, "{key}", nil, "Fills for which no lease was to be had."},
	{"bcache.lease.waits", counter, "{wait}", keys(keyLoader, keyLeaseEnd),
		"Waits for leases, by their end."},
	{"bcache.lease.wait.time", counter, "s", keys(keyLoader), "How long those waits took together."},
	{"bcache.callback.misses", counter, "{call}", keys(keyCallback),
		"What a subscriber or an OnStale was too slow to be told of."},

	{"bcache.entry.count", upDown, "{entry}", nil, "Entries held."},
	{"bcache.size", upDown, "By", nil, "Bytes of the entries held, with an overhead each."},
	{"bcache.provisional.count", upDown, "{entry}", nil,
		"Those without a version: provisional values, and what Loaders with LocalValues keep."},
	{"bcache.tombstone.count", upDown, "{tombstone}", nil, "Deleted keys that are remembered as such."},
	{"bcache.evictions", counter, "{entry}", keys(keyEviction),
		"What made room (capacity), was over (expired), or is a deletion forgotten early (tombstone)."},
	{"bcache.cleared", counter, "{entry}", nil,
		"Entries that were removed as a clear of a prefix or tag selects them, of whichever node."},
	{"bcache.clear.count", upDown, "{clear}", nil,
		"Clears of prefixes and tags, of all nodes, that are remembered: 4,096 at most."},
	{"bcache.origin.count", upDown, "{origin}", nil, "Lives of nodes whose writes are kept track of."},
	{"bcache.log.record.count", upDown, "{record}", nil, "Recent writes, from which repairs are answered."},
	{"bcache.outbox.record.count", upDown, "{record}", nil, "Writes that wait to be sent."},

	{"bcache.ready", gauge, "", nil, "1 if the node is ready, as its readiness probe says, else 0."},
	{"bcache.synced", gauge, "", nil, "1 if the node is synced, else 0."},
	{"bcache.isolated", gauge, "", nil, "1 if nothing held is served, as too few others are heard, else 0."},
	{"bcache.isolations", counter, "{isolation}", nil, "Times that it came to that."},
	{"bcache.sync.source", gauge, "", keys(keyPeer), "1 for the node that the last full sync came from."},
	{"bcache.sync.receiving", gauge, "", nil, "1 while a full sync is asked for or received, else 0."},
	{"bcache.sync.serving", upDown, "{sync}", nil, "Full syncs that are being sent."},
	{"bcache.sync.last_duration", gauge, "s", nil, "How long the last full sync that was received took."},
	{"bcache.syncs", counter, "{sync}", keys(keySync),
		"Full syncs that were served, were received or failed."},
	{"bcache.sync.records", counter, "{record}", nil, "Records received by full syncs."},
	{"bcache.sync.io", counter, "By", keys(keyDirection),
		"Bytes of the full syncs that came to their end."},
	{"bcache.repairs", counter, "{repair}", keys(keyRole),
		"Times that this node has asked for writes that it had missed, and that it has answered."},
	{"bcache.repair.records", counter, "{record}", keys(keyDirection), "Writes of such answers."},

	{"bcache.wire.frames", counter, "{frame}", keys(keyDirection), "Frames, once per neighbour."},
	{"bcache.wire.io", counter, "By", keys(keyDirection), "Bytes of the frames."},
	{"bcache.wire.records", counter, "{record}", keys(keyDirection),
		"Writes of others received for the first time, and own writes sent."},
	{"bcache.wire.duplicates", counter, "{record}", nil, "Writes received again."},
	{"bcache.propagation.frames", counter, "{frame}", nil,
		"Frames of writes that came from the nodes that wrote them, and whose way was timed."},
	{"bcache.propagation.time", counter, "s", nil,
		"How long those took together, by clocks that are compared."},
	{"bcache.drops", counter, "{item}", keys(keyDropped), "What was dropped at a bound."},
	{"bcache.refused.records", counter, "{record}", keys(keyRefusal),
		"Writes of others that weren't applied."},
	{"bcache.refused.frames", counter, "{frame}", keys(keyRefusal), "Frames that weren't read."},
	{"bcache.refused.handshakes", counter, "{connection}", keys(keyRefusal),
		"Connections that were refused."},
	{"bcache.connection.cuts", counter, "{connection}", keys(keyCut),
		"Connections that this node has cut."},

	{"bcache.member.count", upDown, "{node}", nil, "Other nodes that are known."},
	{"bcache.peer.count", upDown, "{node}", nil, "Those of them that are connected directly."},
	{"bcache.peer.lag", gauge, "s", keys(keyPeer),
		"Age of the newest write of a peer that this node has. None if it has none."},
	{"bcache.peer.late", gauge, "s", keys(keyPeer),
		"For how long a write of a peer has been lacking here."},
	{"bcache.peer.silence", gauge, "s", keys(keyPeer), "How long nothing has come from a peer."},
	{"bcache.peer.clock_offset", gauge, "s", keys(keyPeer),
		"By how much a peer's clock is ahead; negative if it is behind. None while it isn't known."},
	{"bcache.peer.round_trip", gauge, "s", keys(keyPeer),
		"Round trip of the ping by which that was measured. None while it isn't known."},
	{"bcache.peer.propagation.p50", gauge, "s", keys(keyPeer),
		"What half of a peer's writes of the last minute took at most. None if none came."},
	{"bcache.peer.propagation.p99", gauge, "s", keys(keyPeer),
		"What 99 of 100 of a peer's writes of the last minute took at most. None if none came."},
	{"bcache.peer.synced", gauge, "", keys(keyPeer), "1 if a peer says that it is synced, else 0."},
	{"bcache.peer.behind", gauge, "", keys(keyPeer),
		"1 if a peer has something that this node lacks, else 0."},
}

func keys(k ...attribute.Key) []attribute.Key { return k }
