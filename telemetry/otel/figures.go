package bcacheotel

import "go.opentelemetry.io/otel/attribute"

// A figure says which instrument shows a field of Stats or LoaderStats, and with which attribute.
type figure struct {
	instrument string
	attribute  attribute.KeyValue // without a value: that of a field that has several figures. May be none.
}

func shown(instrument string) figure { return figure{instrument: instrument} }

// as is a figure that an attribute tells apart from others of its instrument.
func (f figure) as(key attribute.Key, value string) figure {
	f.attribute = key.String(value)
	return f
}

// each is a figure of a field that has several.
func (f figure) each(key attribute.Key) figure {
	f.attribute.Key = key
	return f
}

const (
	received    = "receive"
	transmitted = "transmit"
)

// nodeFigures are the fields of Stats. Of those that aren't here summed says where they are.
var nodeFigures = map[string]figure{
	"Sets":    shown("bcache.writes").as(keyOperation, "set"),
	"Deletes": shown("bcache.writes").as(keyOperation, "delete"),
	"Clears":  shown("bcache.writes").as(keyOperation, "clear"),

	"ClearPrefixes": shown("bcache.writes").as(keyOperation, "clear_prefix"),
	"ClearTags":     shown("bcache.writes").as(keyOperation, "clear_tag"),

	"FillsGivenUp":        shown("bcache.fill.give_ups"),
	"ProvisionalKept":     shown("bcache.provisionals").as(keyEvent, "kept"),
	"ProvisionalOffered":  shown("bcache.provisionals").as(keyEvent, "offered"),
	"ProvisionalAccepted": shown("bcache.provisionals").as(keyEvent, "accepted"),
	"ProvisionalRefused":  shown("bcache.provisionals").as(keyEvent, "refused"),
	"ProvisionalDropped":  shown("bcache.provisionals").as(keyEvent, "dropped"),
	"LeasesGranted":       shown("bcache.lease.grants"),
	"LeasesMissed":        shown("bcache.lease.misses"),
	"EventsLost":          shown("bcache.callback.misses").as(keyCallback, "subscriber"),
	"OnStaleMissed":       shown("bcache.callback.misses").as(keyCallback, "on_stale"),

	"Keys":              shown("bcache.entry.count"),
	"Bytes":             shown("bcache.size"),
	"Provisional":       shown("bcache.provisional.count"),
	"Tombstones":        shown("bcache.tombstone.count"),
	"Evictions":         shown("bcache.evictions").as(keyEviction, "capacity"),
	"Expirations":       shown("bcache.evictions").as(keyEviction, "expired"),
	"DroppedTombstones": shown("bcache.evictions").as(keyEviction, "tombstone"),
	"Cleared":           shown("bcache.cleared"),
	"ClearsRemembered":  shown("bcache.clear.count"),
	"Origins":           shown("bcache.origin.count"),
	"LogRecords":        shown("bcache.log.record.count"),
	"Outbox":            shown("bcache.outbox.record.count"),

	"Synced":        shown("bcache.synced"),
	"Isolated":      shown("bcache.isolated"),
	"Isolations":    shown("bcache.isolations"),
	"Syncing":       shown("bcache.sync.receiving"),
	"Serving":       shown("bcache.sync.serving"),
	"SyncTook":      shown("bcache.sync.last_duration"),
	"SyncsServed":   shown("bcache.syncs").as(keySync, "served"),
	"SyncsReceived": shown("bcache.syncs").as(keySync, "received"),
	"SyncsFailed":   shown("bcache.syncs").as(keySync, "failed"),
	"SyncRecords":   shown("bcache.sync.records"),
	"SyncBytesIn":   shown("bcache.sync.io").as(keyDirection, received),
	"SyncBytesOut":  shown("bcache.sync.io").as(keyDirection, transmitted),

	"RepairsAsked":    shown("bcache.repairs").as(keyRole, "asked"),
	"RepairsAnswered": shown("bcache.repairs").as(keyRole, "answered"),
	"RecordsRepaired": shown("bcache.repair.records").as(keyDirection, received),
	"RecordsResent":   shown("bcache.repair.records").as(keyDirection, transmitted),

	"FramesIn":   shown("bcache.wire.frames").as(keyDirection, received),
	"FramesOut":  shown("bcache.wire.frames").as(keyDirection, transmitted),
	"BytesIn":    shown("bcache.wire.io").as(keyDirection, received),
	"BytesOut":   shown("bcache.wire.io").as(keyDirection, transmitted),
	"RecordsIn":  shown("bcache.wire.records").as(keyDirection, received),
	"RecordsOut": shown("bcache.wire.records").as(keyDirection, transmitted),
	"Duplicates": shown("bcache.wire.duplicates"),

	"DroppedOutbox":    shown("bcache.drops").as(keyDropped, "outbox_records"),
	"DroppedFrames":    shown("bcache.drops").as(keyDropped, "frames"),
	"DroppedMessages":  shown("bcache.drops").as(keyDropped, "messages"),
	"DroppedClears":    shown("bcache.drops").as(keyDropped, "clears"),
	"DroppedIntervals": shown("bcache.drops").as(keyDropped, "intervals"),
	"DroppedOrigins":   shown("bcache.drops").as(keyDropped, "origins"),

	"RefusedFuture":     shown("bcache.refused.records").as(keyRefusal, "future"),
	"RefusedFloor":      shown("bcache.refused.records").as(keyRefusal, "floor"),
	"RefusedTooLarge":   shown("bcache.refused.records").as(keyRefusal, "too_large"),
	"Malformed":         shown("bcache.refused.frames").as(keyRefusal, "malformed"),
	"Unsupported":       shown("bcache.refused.frames").as(keyRefusal, "unsupported"),
	"HandshakesSkew":    shown("bcache.refused.handshakes").as(keyRefusal, "clock_skew"),
	"HandshakesRefused": shown("bcache.refused.handshakes").as(keyRefusal, "other"),
	"StuckCut":          shown("bcache.connection.cuts").as(keyCut, "stuck"),
	"SkewCut":           shown("bcache.connection.cuts").as(keyCut, "clock_skew"),
}

// loaderFigures are the fields of LoaderStats, which all have the attribute of the Loader too.
var loaderFigures = map[string]figure{
	"Begun":         shown("bcache.fill.starts").each(keyCause),
	"Ended":         shown("bcache.fills").each(keyOutcome),
	"Running":       shown("bcache.fill.active"),
	"LeaseWaits":    shown("bcache.lease.waits").each(keyLeaseEnd),
	"StaleFailures": shown("bcache.stale.failures"),
	"Undecodable":   shown("bcache.undecodable"),
	"AskedAnew":     shown("bcache.asked_anew"),
}
