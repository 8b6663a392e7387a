package wire

import (
	"fmt"

	"github.com/iwanbk/bcache/internal/delta"
	"google.golang.org/protobuf/encoding/protowire"
)

// The frames by which an operator's question about a key is asked and answered.
const (
	inquiryID     = 1<<3 | TypeFixed64
	inquiryOrigin = 2<<3 | TypeFixed64
	inquiryKey    = 3<<3 | TypeBytes
	inquiryFlags  = 4<<3 | TypeVarint
	inquiryKnown  = 4

	reportID          = 1<<3 | TypeFixed64
	reportOrigin      = 2<<3 | TypeFixed64
	reportWall        = 3<<3 | TypeVarint
	reportFlags       = 4<<3 | TypeVarint
	reportHeld        = 5<<3 | TypeBytes
	reportBeside      = 6<<3 | TypeBytes
	reportFloor       = 7<<3 | TypeFixed64
	reportClearStamp  = 8<<3 | TypeFixed64
	reportClearOrigin = 9<<3 | TypeFixed64
	reportFills       = 10<<3 | TypeVarint
	reportGranter     = 11<<3 | TypeFixed64
	reportHolder      = 12<<3 | TypeFixed64
	reportDecision    = 13<<3 | TypeBytes
	reportKnown       = 13

	// On the wire, tags of two bytes.
	reportKeyClear = 16<<3 | TypeBytes
	reportTagFloor = 17<<3 | TypeFixed64

	keyClearPrefix = 1<<3 | TypeBytes
	keyClearTag    = 2<<3 | TypeBytes
	keyClearStamp  = 3<<3 | TypeFixed64
	keyClearOrigin = 4<<3 | TypeFixed64
	keyClearWall   = 5<<3 | TypeVarint
	keyClearKnown  = 5

	heldKind    = 1<<3 | TypeVarint
	heldStamp   = 2<<3 | TypeFixed64
	heldOrigin  = 3<<3 | TypeFixed64
	heldEnds    = 4<<3 | TypeVarint
	heldStale   = 5<<3 | TypeVarint
	heldRefresh = 6<<3 | TypeVarint
	heldSize    = 7<<3 | TypeVarint
	heldVal     = 8<<3 | TypeBytes
	heldKnown   = 8
	heldTags    = 16<<3 | TypeBytes // on the wire, a tag of two bytes

	decisionWhat  = 1<<3 | TypeVarint
	decisionWall  = 2<<3 | TypeVarint
	decisionStamp = 3<<3 | TypeFixed64
	decisionFlags = 4<<3 | TypeVarint
	decisionKnown = 4

	// MaxInquiryKey is how many bytes a key may have that is asked about.
	MaxInquiryKey = 4 << 10

	// MaxReportValue is how many bytes of a value a report has at most.
	MaxReportValue = 1 << 10

	// MaxDecisions is how many decisions a report has at most.
	MaxDecisions = 64
)

// An Inquiry asks a node what it knows of a key.
type Inquiry struct {
	ID     uint64 // a nonce, repeated in the Report
	Origin uint64 // the sender's
	Key    string
	Flags  uint64
}

// InquiryValue is the flag of an Inquiry that asks for the beginning of the value too.
const InquiryValue = 1

// A Report says what a node knows of a key.
type Report struct {
	ID     uint64 // the Inquiry's
	Origin uint64 // the sender's, not the Inquiry's
	Wall   int64  // the sender's clock, Unix milliseconds
	Flags  uint64

	Held   *Held // the record, or the tombstone; nil: none
	Beside *Held // the provisional value, which has no version; nil: none

	Floor                   uint64 // of the key's bucket, a stamp; 0 = none
	ClearStamp, ClearOrigin uint64 // of the greatest CLEAR of everything; 0 = none

	TagFloor uint64    // a record with tags isn't taken up to this stamp; 0 = none
	KeyClear *KeyClear // the greatest CLEAR of a prefix of the key, or of a tag of what is held; nil: none

	Fills   uint64 // of the key, that run there
	Granter uint64 // PeerID of the node that it would ask for the key's lease; 0 = none
	Holder  uint64 // PeerID of the node that it has granted the lease; 0 = none

	Decisions []Decision // the latest first
}

// The flags of a Report.
const (
	ReportBusy     = 1 << iota // it answers too many; nothing else counts
	ReportCleared              // Held is covered by CLEAR: it isn't served
	ReportBeside               // Beside was kept to stand beside a live record
	ReportEnded                // Beside is covered by a CLEAR of a prefix or tag: it isn't served
	ReportIsolated             // the node serves nothing but provisional values
)

// DecisionProvisional is the flag of a Decision about a provisional value.
const DecisionProvisional = 1

// Held is what is held of a key.
type Held struct {
	Kind delta.Kind
	delta.Version
	Deadline, StaleUntil, RefreshFrom int64  // as in a record
	Size                              uint64 // bytes of key and value
	Val                               string // its beginning, if that was asked for
	Tags                              delta.Tags
}

// A KeyClear is a CLEAR that selects a key, or what is held of it.
type KeyClear struct {
	delta.Selector
	delta.Version
	Wall int64 // when the node processed it, by its clock
}

// A Decision says what became of a write, or a value, of a key.
type Decision struct {
	What  uint64 // see docs/wire.proto
	Wall  int64  // when, by the clock of the node; 0 = unknown
	Stamp uint64 // of what it was about; 0 = none
	Flags uint64
}

// AppendInquiry appends one whole frame to dst. The origin must not be 0, and the key keep
// MaxInquiryKey.
func AppendInquiry(dst []byte, q *Inquiry) []byte {
	dst = append(dst, Version, FrameInquiry)
	dst = AppendFixed64(dst, inquiryID, q.ID)
	dst = AppendFixed64(dst, inquiryOrigin, q.Origin)
	dst = appendString(dst, inquiryKey, q.Key)
	return AppendVarint(dst, inquiryFlags, q.Flags)
}

// DecodeInquiry reads a whole frame of type FrameInquiry. Nothing of what it returns aliases it.
func DecodeInquiry(frame []byte) (q Inquiry, err error) {
	body, err := frameBody(frame, FrameInquiry)
	if err != nil {
		return q, err
	}
	var key []byte
	fields := fieldReader{rest: body, singular: singular(inquiryKnown)}
	for len(fields.rest) > 0 {
		f, err := fields.next()
		if err != nil {
			return Inquiry{}, err
		}
		switch f.tag {
		case inquiryID:
			q.ID = f.x
		case inquiryOrigin:
			q.Origin = f.x
		case inquiryKey:
			key = f.data
		case inquiryFlags:
			q.Flags = f.x
		default:
			if err := f.unknown(inquiryKnown); err != nil {
				return Inquiry{}, err
			}
		}
	}
	if q.Origin == 0 || len(key) > MaxInquiryKey {
		return Inquiry{}, fmt.Errorf("%w: inquiry of %x about %d bytes", ErrMalformed, q.Origin, len(key))
	}
	q.Key = string(key)
	return q, nil
}

// AppendReport appends one whole frame to dst. The origin must not be 0, nor may there be more decisions
// or bytes of values than allowed.
func AppendReport(dst []byte, r *Report) []byte {
	dst = append(dst, Version, FrameReport)
	dst = AppendFixed64(dst, reportID, r.ID)
	dst = AppendFixed64(dst, reportOrigin, r.Origin)
	dst = AppendVarint(dst, reportWall, uint64(r.Wall))
	dst = AppendVarint(dst, reportFlags, r.Flags)
	dst = appendHeldOf(dst, reportHeld, r.Held)
	dst = appendHeldOf(dst, reportBeside, r.Beside)
	dst = AppendFixed64(dst, reportFloor, r.Floor)
	dst = AppendFixed64(dst, reportClearStamp, r.ClearStamp)
	dst = AppendFixed64(dst, reportClearOrigin, r.ClearOrigin)
	dst = AppendVarint(dst, reportFills, r.Fills)
	dst = AppendFixed64(dst, reportGranter, r.Granter)
	dst = AppendFixed64(dst, reportHolder, r.Holder)
	var one []byte
	for _, d := range r.Decisions {
		one = AppendVarint(one[:0], decisionWhat, d.What)
		one = AppendVarint(one, decisionWall, uint64(d.Wall))
		one = AppendFixed64(one, decisionStamp, d.Stamp)
		one = AppendVarint(one, decisionFlags, d.Flags)
		dst = protowire.AppendBytes(append(dst, reportDecision), one)
	}
	if r.KeyClear != nil {
		dst = protowire.AppendVarint(dst, uint64(reportKeyClear))
		dst = protowire.AppendBytes(dst, appendKeyClear(nil, r.KeyClear))
	}
	if r.TagFloor != 0 {
		dst = protowire.AppendFixed64(protowire.AppendVarint(dst, uint64(reportTagFloor)), r.TagFloor)
	}
	return dst
}

func appendKeyClear(dst []byte, x *KeyClear) []byte {
	if prefix, ok := x.Prefix(); ok {
		dst = appendString(dst, keyClearPrefix, prefix)
	}
	if tag, ok := x.Tag(); ok {
		dst = appendString(dst, keyClearTag, tag)
	}
	dst = AppendFixed64(dst, keyClearStamp, x.Stamp)
	dst = AppendFixed64(dst, keyClearOrigin, x.Version.Origin)
	return AppendVarint(dst, keyClearWall, uint64(x.Wall))
}

func appendHeldOf(dst []byte, tag byte, h *Held) []byte {
	if h == nil {
		return dst
	}
	b := AppendVarint(nil, heldKind, uint64(h.Kind))
	b = AppendFixed64(b, heldStamp, h.Stamp)
	b = AppendFixed64(b, heldOrigin, h.Origin)
	b = AppendVarint(b, heldEnds, uint64(h.Deadline))
	b = AppendVarint(b, heldStale, uint64(h.StaleUntil))
	b = AppendVarint(b, heldRefresh, uint64(h.RefreshFrom))
	b = AppendVarint(b, heldSize, h.Size)
	b = appendString(b, heldVal, h.Val)
	if h.Tags != "" {
		b = protowire.AppendString(protowire.AppendVarint(b, uint64(heldTags)), string(h.Tags))
	}
	return protowire.AppendBytes(append(dst, tag), b)
}

// DecodeReport reads a whole frame of type FrameReport. Nothing of what it returns aliases it.
func DecodeReport(frame []byte) (r Report, err error) {
	body, err := frameBody(frame, FrameReport)
	if err != nil {
		return r, err
	}
	const repeated = 1 << (reportDecision >> 3)
	fields := fieldReader{rest: body, singular: singular(reportKnown) &^ repeated}
	for len(fields.rest) > 0 {
		f, err := fields.next()
		if err != nil {
			return Report{}, err
		}
		switch f.tag {
		case reportID:
			r.ID = f.x
		case reportOrigin:
			r.Origin = f.x
		case reportWall:
			r.Wall = int64(f.x)
		case reportFlags:
			r.Flags = f.x
		case reportHeld:
			r.Held, err = decodeHeld(f.data)
		case reportBeside:
			r.Beside, err = decodeHeld(f.data)
		case reportFloor:
			r.Floor = f.x
		case reportClearStamp:
			r.ClearStamp = f.x
		case reportClearOrigin:
			r.ClearOrigin = f.x
		case reportFills:
			r.Fills = f.x
		case reportGranter:
			r.Granter = f.x
		case reportHolder:
			r.Holder = f.x
		case reportDecision:
			err = r.decodeDecision(f.data)
		case reportKeyClear:
			r.KeyClear, err = decodeKeyClear(f.data)
		case reportTagFloor:
			r.TagFloor = f.x
		default:
			err = f.unknown(reportKnown)
		}
		if err != nil {
			return Report{}, err
		}
	}
	if r.Origin == 0 {
		return Report{}, fmt.Errorf("%w: a report of nobody", ErrMalformed)
	}
	return r, nil
}

func decodeHeld(b []byte) (*Held, error) {
	h := &Held{}
	var kind uint64
	fields := fieldReader{rest: b, singular: singular(heldKnown)}
	for len(fields.rest) > 0 {
		f, err := fields.next()
		if err != nil {
			return nil, err
		}
		switch f.tag {
		case heldKind:
			kind = f.x
		case heldStamp:
			h.Stamp = f.x
		case heldOrigin:
			h.Origin = f.x
		case heldEnds:
			h.Deadline = int64(f.x)
		case heldStale:
			h.StaleUntil = int64(f.x)
		case heldRefresh:
			h.RefreshFrom = int64(f.x)
		case heldSize:
			h.Size = f.x
		case heldVal:
			h.Val = string(f.data[:min(len(f.data), MaxReportValue)])
		case heldTags:
			if !delta.ValidTags(f.data) {
				return nil, fmt.Errorf("%w: tags", ErrMalformed)
			}
			h.Tags = delta.Tags(f.data)
		default:
			if err := f.unknown(heldKnown); err != nil {
				return nil, err
			}
		}
	}
	h.Kind = delta.Kind(min(kind, uint64(delta.KindUnknown)))
	return h, nil
}

// decodeKeyClear returns nil for a CLEAR whose selector only a later version knows.
func decodeKeyClear(b []byte) (*KeyClear, error) {
	x := &KeyClear{}
	var prefix, tag []byte
	fields := fieldReader{rest: b, singular: singular(keyClearKnown)}
	for len(fields.rest) > 0 {
		f, err := fields.next()
		if err != nil {
			return nil, err
		}
		switch f.tag {
		case keyClearPrefix:
			prefix = f.data
		case keyClearTag:
			tag = f.data
		case keyClearStamp:
			x.Stamp = f.x
		case keyClearOrigin:
			x.Version.Origin = f.x
		case keyClearWall:
			x.Wall = int64(f.x)
		default:
			if err := f.unknown(keyClearKnown); err != nil {
				return nil, err
			}
		}
	}
	if x.Selector = selectorOf(prefix, tag); x.Selector == "" {
		return nil, nil
	}
	return x, nil
}

func (r *Report) decodeDecision(b []byte) error {
	if len(r.Decisions) == MaxDecisions {
		return fmt.Errorf("%w: more than %d decisions", ErrMalformed, MaxDecisions)
	}
	var d Decision
	fields := fieldReader{rest: b, singular: singular(decisionKnown)}
	for len(fields.rest) > 0 {
		f, err := fields.next()
		if err != nil {
			return err
		}
		switch f.tag {
		case decisionWhat:
			d.What = f.x
		case decisionWall:
			d.Wall = int64(f.x)
		case decisionStamp:
			d.Stamp = f.x
		case decisionFlags:
			d.Flags = f.x
		default:
			if err := f.unknown(decisionKnown); err != nil {
				return err
			}
		}
	}
	r.Decisions = append(r.Decisions, d)
	return nil
}
