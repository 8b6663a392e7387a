package bcacheprom

// series are some of a family.
type series struct {
	family *family
	labels []string // the values of all labels of the family
}

func of(f *family, labels ...string) series { return series{f, labels} }

// byField says as what each field of Stats is shown. Those that aren't here follow from others: what
// Gets returned, and the sums over all Loaders.
var byField = map[string]series{
	"Sets":    of(writes, "set"),
	"Deletes": of(writes, "delete"),
	"Clears":  of(writes, "clear"),

	"ClearPrefixes": of(writes, "clear_prefix"),
	"ClearTags":     of(writes, "clear_tag"),

	"FillsGivenUp":        of(fillsGivenUp),
	"ProvisionalKept":     of(provisional, "kept"),
	"ProvisionalOffered":  of(provisional, "offered"),
	"ProvisionalAccepted": of(provisional, "accepted"),
	"ProvisionalRefused":  of(provisional, "refused"),
	"ProvisionalDropped":  of(provisional, "dropped"),
	"LeasesGranted":       of(leasesGranted),
	"LeasesMissed":        of(leasesMissed),
	"EventsLost":          of(callbacksMissed, "subscriber"),
	"OnStaleMissed":       of(callbacksMissed, "on_stale"),

	"Keys":              of(entries),
	"Bytes":             of(size),
	"Provisional":       of(provisionalEntries),
	"Tombstones":        of(tombstones),
	"Evictions":         of(evictions, "capacity"),
	"Expirations":       of(evictions, "expired"),
	"DroppedTombstones": of(evictions, "tombstone"),
	"Cleared":           of(cleared),
	"ClearsRemembered":  of(clearsRemembered),
	"Origins":           of(origins),
	"LogRecords":        of(logRecords),
	"Outbox":            of(outbox),

	"FramesIn":   of(frames, "in"),
	"FramesOut":  of(frames, "out"),
	"BytesIn":    of(wireBytes, "in"),
	"BytesOut":   of(wireBytes, "out"),
	"RecordsIn":  of(records, "in"),
	"RecordsOut": of(records, "out"),
	"Duplicates": of(duplicates),

	"RepairsAsked":    of(repairs, "asked"),
	"RepairsAnswered": of(repairs, "answered"),
	"RecordsRepaired": of(repairRecords, "in"),
	"RecordsResent":   of(repairRecords, "out"),

	"SyncsServed":   of(syncs, "served"),
	"SyncsReceived": of(syncs, "received"),
	"SyncsFailed":   of(syncs, "failed"),
	"SyncRecords":   of(syncRecords),
	"SyncBytesIn":   of(syncBytes, "in"),
	"SyncBytesOut":  of(syncBytes, "out"),
	"SyncTook":      of(syncDuration),
	"Synced":        of(synced),
	"Isolated":      of(isolated),
	"Isolations":    of(isolations),
	"Syncing":       of(syncing),
	"Serving":       of(serving),

	"DroppedOutbox":    of(drops, "outbox_records"),
	"DroppedFrames":    of(drops, "frames"),
	"DroppedMessages":  of(drops, "messages"),
	"DroppedClears":    of(drops, "clears"),
	"DroppedIntervals": of(drops, "intervals"),
	"DroppedOrigins":   of(drops, "origins"),

	"RefusedFuture":     of(refusedRecords, "future"),
	"RefusedFloor":      of(refusedRecords, "floor"),
	"RefusedTooLarge":   of(refusedRecords, "too_large"),
	"Malformed":         of(refusedFrames, "malformed"),
	"Unsupported":       of(refusedFrames, "unsupported"),
	"HandshakesSkew":    of(refusedHandshakes, "clock_skew"),
	"HandshakesRefused": of(refusedHandshakes, "other"),
	"StuckCut":          of(cuts, "stuck"),
	"SkewCut":           of(cuts, "clock_skew"),
}
