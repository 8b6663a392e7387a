package bcacheprom

// A family is a metric, of which each node has one or several series.
type family struct {
	name   string
	kind   kind
	help   string
	labels []string // beside cache
}

type kind string

const (
	counter   kind = "counter"
	gauge     kind = "gauge"
	histogram kind = "histogram"
	summary   kind = "summary"
)

// families are all of them, in the order of the table in README.md.
var families []*family

func define(name string, k kind, help string, labels ...string) *family {
	f := &family{"bcache_" + name, k, help, labels}
	families = append(families, f)
	return f
}

// What is asked of the cache, and written.
var (
	requests = define("requests_total", counter,
		"Gets of the cache and of its Loaders, by what they returned: hit is a value in time, stale one "+
			"after its deadline, negative that there is known to be none, miss anything else.", "result")
	loaderRequests = define("loader_requests_total", counter,
		"Gets of Loaders, by prefix and by what they returned. They are part of bcache_requests_total.",
		"loader", "result")
	writes = define("writes_total", counter,
		"Writes issued on this node: values set, keys deleted; clears of everything, of a prefix, of a tag.",
		"operation")
)

// Fills.
var (
	fillsStarted = define("fills_started_total", counter,
		"Keys whose fills have begun, by cause: foreground if a caller waits, lease if this node fills "+
			"for all, refresh in the background.", "loader", "cause")
	fills = define("fills_total", counter,
		"Keys whose fills have ended, by result.", "loader", "result")
	fillsRunning = define("fills_running", gauge,
		"Calls of Fill, FillMany and Fillers that run.", "loader")
	fillDuration = define("fill_duration_seconds", histogram,
		"How long calls of Fill, FillMany and Fillers took, in seconds.", "loader")
	fillsGivenUp = define("fills_given_up_total", counter,
		"Fills that took longer than some caller's deadline, so that later callers don't join them.")
	provisional = define("provisional_fills_total", counter,
		"Values cached without a version: kept are this node's, offered those sent to other nodes, "+
			"accepted and refused those of other nodes, dropped those that a write or a full sync has ended.",
		"event")
	staleFailures = define("stale_failures_total", counter,
		"Fills that failed while there was an old value to serve, so that callers may not notice.", "loader")
	undecodable = define("undecodable_values_total", counter,
		"Times that what is held couldn't be decoded, as by another version of the program.", "loader")
	askedAnew = define("asked_anew_total", counter,
		"Gets to which nothing could be given that was held or being filled: "+
			"because of a Token, or a ClearTag.",
		"loader")
	leasesGranted = define("leases_granted_total", counter,
		"Leases to fill a key that this node has granted, to itself too.")
	leasesMissed = define("leases_missed_total", counter,
		"Fills for which no lease was to be had although one was wanted.")
	leaseWaits = define("lease_waits_total", counter,
		"Waits for leases, by how they have ended. Of Loaders that have waited for one.", "loader", "end")
	leaseWaitDuration = define("lease_wait_duration_seconds", histogram,
		"How long waits for leases took, in seconds. Of Loaders that have waited for one.", "loader")
	callbacksMissed = define("callbacks_missed_total", counter,
		"Events that a callback was too slow to be told of: a subscriber, or an OnStale.", "callback")
)

// What is held.
var (
	entries = define("entries", gauge,
		"Entries held.")
	size = define("size_bytes", gauge,
		"Bytes of the entries held, with an overhead each, and of what Typed Loaders share.")
	provisionalEntries = define("provisional_entries", gauge,
		"Entries without a version: provisional values, and what Loaders with LocalValues keep.")
	maxEntries = define("max_entries", gauge,
		"How many entries are held at most, as it is configured.")
	maxSize = define("max_size_bytes", gauge,
		"How many bytes the entries have at most, as it is configured. There is none without a limit.")
	tombstones = define("tombstones", gauge,
		"Deleted keys that are remembered as such.")
	evictions = define("evictions_total", counter,
		"What was removed to save memory, or was over, by reason: capacity for entries that made room "+
			"for others, expired for entries after their deadline, tombstone for deletions forgotten early.",
		"reason")
	cleared = define("cleared_entries_total", counter,
		"Entries that were removed as a clear of a prefix or tag selects them, of whichever node.")
	clearsRemembered = define("clears_remembered", gauge,
		"Clears of prefixes and tags, of all nodes, that are remembered. At 4,096 the oldest are forgotten.")
	origins = define("origins", gauge,
		"Node lives whose writes are kept track of.")
	logRecords = define("log_records", gauge,
		"Writes in the delta log.")
	outbox = define("outbox_records", gauge,
		"Writes that wait to be sent.")
)

// The cluster.
var (
	ready = define("ready", gauge,
		"1 if the node is ready, as its readiness probe says; 0 after Close too.")
	synced = define("synced", gauge,
		"1 if the node is synced.")
	isolated = define("isolated", gauge,
		"1 if the node serves nothing of what it holds, as it hears from too few others.")
	isolations = define("isolations_total", counter,
		"Times that it came to that.")
	syncedFrom = define("synced_from_info", gauge,
		"1, with the PeerID of the node that the last full sync came from. There is none if there was no "+
			"sync.", "peer")
	peers = define("peers", gauge,
		"Other nodes that are directly connected.")
	members = define("members", gauge,
		"Other nodes that are known, those included that are reached through others.")
	peerLag = define("peer_lag_seconds", gauge,
		"Age of the newest write of a node that this node has, in seconds. It grows while that node "+
			"writes nothing.", "peer")
	peerLate = define("peer_late_seconds", gauge,
		"For how long a write of a node has been lacking here, in seconds, as far as is known; 0 if none "+
			"is.", "peer")
	peerSilence = define("peer_silence_seconds", gauge,
		"Seconds since something came from a node.", "peer")
	peerSynced = define("peer_synced", gauge,
		"1 if a node says that it is synced.", "peer")
	peerBehind = define("peer_behind", gauge,
		"1 if a node has something that this node lacks.", "peer")
	peerClock = define("peer_clock_offset_seconds", gauge,
		"By how many seconds the clock of a node is ahead of this node's; negative if it is behind. "+
			"There is none while it is unknown.", "peer")
	peerRoundTrip = define("peer_round_trip_seconds", gauge,
		"Round trip of the ping by which the clock offset was measured, in seconds. There is none while "+
			"it is unknown.", "peer")
	peerPropagation = define("peer_propagation_seconds", summary,
		"How long writes of a node took to this one since it connected, in seconds; the quantiles are of "+
			"the last minute.", "peer")
	propagation = define("propagation_seconds", histogram,
		"How long writes took from other nodes to this one, in seconds.")
)

// What goes over the wire.
var (
	frames = define("wire_frames_total", counter,
		"Frames received, and sent, once per neighbour.", "direction")
	wireBytes = define("wire_bytes_total", counter,
		"Bytes of the frames received, and sent.", "direction")
	records = define("wire_records_total", counter,
		"Writes of other nodes received for the first time, and own writes sent.", "direction")
	duplicates = define("duplicate_records_total", counter,
		"Writes received again, and ignored.")
	repairs = define("repairs_total", counter,
		"Times that this node asked for writes that it had missed, and that it was asked.", "role")
	repairRecords = define("repair_records_total", counter,
		"Writes that came in answer to such questions, and that were sent.", "direction")
	syncs = define("syncs_total", counter,
		"Full syncs that have ended: sent or received to the end, or given up to be tried again.", "result")
	syncRecords = define("sync_received_records_total", counter,
		"Records received by full syncs.")
	syncBytes = define("sync_bytes_total", counter,
		"Bytes of the full syncs that were received, and sent, to the end.", "direction")
	syncDuration = define("last_sync_duration_seconds", gauge,
		"How long the last full sync that was received took, in seconds; 0 if there was none.")
	syncing = define("syncing", gauge,
		"1 if a full sync was asked for, or is being received.")
	serving = define("syncs_serving", gauge,
		"Full syncs that are being sent.")
)

// What is wrong.
var (
	drops = define("dropped_total", counter,
		"What was dropped at a bound, by what it was. It is repaired, or costs misses.", "what")
	refusedRecords = define("refused_records_total", counter,
		"Writes that weren't applied, by reason: future if their stamp is too far ahead, floor if they "+
			"are no newer than something forgotten here, too_large if they exceed the limit of bytes.", "reason")
	refusedFrames = define("refused_frames_total", counter,
		"Frames that were dropped, by reason: malformed, or unsupported if they are of a later version.",
		"reason")
	refusedHandshakes = define("refused_handshakes_total", counter,
		"Connections that were refused, by reason: clock_skew, or other.", "reason")
	cuts = define("connections_cut_total", counter,
		"Connections that this node has cut, by reason: stuck if nothing came any more, clock_skew if "+
			"the clocks had come to differ.", "reason")
	info = define("info", gauge,
		"1, with the PeerID of this node, and the versions of bcache and of Go.",
		"node", "version", "go_version")
)
