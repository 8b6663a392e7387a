package bcachehttp

import (
	"encoding/base64"

	"github.com/iwanbk/bcache"
)

// The JSON of /why: what each node says of a key, and what all of them together do.

type reportJSON struct {
	Node               string         `json:"node"`
	Error              string         `json:"error,omitempty"`
	Text               string         `json:"text"`  // in a sentence
	State              string         `json:"state"` // newest, older, own, none or unknown
	At                 string         `json:"at,omitempty"`
	Held               *heldJSON      `json:"held,omitempty"`
	Cleared            bool           `json:"cleared,omitempty"`
	Provisional        *heldJSON      `json:"provisional,omitempty"`
	BesideLive         bool           `json:"beside_live,omitempty"`
	Isolated           bool           `json:"isolated,omitempty"`
	ProvisionalCleared bool           `json:"provisional_cleared,omitempty"`
	Floor              string         `json:"floor,omitempty"`
	TagFloor           string         `json:"tag_floor,omitempty"`
	Clear              *versionJSON   `json:"clear,omitempty"`
	KeyClear           *keyClearJSON  `json:"key_clear,omitempty"`
	Fills              int            `json:"fills"`
	Granter            string         `json:"granter,omitempty"`
	Holder             string         `json:"holder,omitempty"`
	Decisions          []decisionJSON `json:"decisions,omitempty"`
}

type versionJSON struct {
	Time   string `json:"time"`
	Count  uint16 `json:"count"`
	Origin string `json:"origin"`
	Node   string `json:"node,omitempty"`
}

// keyClearJSON is the last Clear of a prefix or tag that is about the key.
type keyClearJSON struct {
	Prefix       string       `json:"prefix,omitempty"`
	PrefixBase64 string       `json:"prefix_base64,omitempty"`
	Tag          string       `json:"tag,omitempty"`
	TagBase64    string       `json:"tag_base64,omitempty"`
	Version      *versionJSON `json:"version,omitempty"`
	At           string       `json:"at,omitempty"`
}

type heldJSON struct {
	Kind        string       `json:"kind"` // value, negative or deleted
	Version     *versionJSON `json:"version,omitempty"`
	Deadline    string       `json:"deadline,omitempty"`
	StaleUntil  string       `json:"stale_until,omitempty"`
	RefreshFrom string       `json:"refresh_from,omitempty"`
	Size        int          `json:"size"`
	Value       *string      `json:"value,omitempty"` // its beginning, if it was asked for
	ValueBase64 string       `json:"value_base64,omitempty"`
	Tags        []string     `json:"tags,omitempty"`
	TagsBase64  []string     `json:"tags_base64,omitempty"` // all of them, if one isn't UTF-8
}

type decisionJSON struct {
	What        string `json:"what"`
	Provisional bool   `json:"provisional,omitempty"`
	At          string `json:"at,omitempty"`
	Version     string `json:"version,omitempty"`
}

func newVersionJSON(v bcache.KeyVersion) *versionJSON {
	if v.IsZero() {
		return nil
	}
	return &versionJSON{moment(v.Time), v.Count, hexID(v.Origin), hexID(v.Node)}
}

func newHeldJSON(h *bcache.HeldKey, values bool) *heldJSON {
	if h == nil {
		return nil
	}
	j := &heldJSON{
		Kind: string(h.Kind), Version: newVersionJSON(h.Version), Deadline: moment(h.Deadline),
		StaleUntil: moment(h.StaleUntil), RefreshFrom: moment(h.RefreshFrom), Size: h.Size,
	}
	if values && h.Kind == bcache.KeyValue {
		text, coded := bytesJSON(h.Value)
		j.Value, j.ValueBase64 = &text, coded
	}
	for _, tag := range h.Tags {
		text, coded := bytesJSON(tag)
		j.Tags = append(j.Tags, text)
		if coded != "" && j.TagsBase64 == nil {
			j.TagsBase64 = inBase64(h.Tags)
		}
	}
	return j
}

func inBase64(list []string) []string {
	coded := make([]string, len(list))
	for i, s := range list {
		coded[i] = base64.StdEncoding.EncodeToString([]byte(s))
	}
	return coded
}

func newKeyClearJSON(x *bcache.KeyClear) *keyClearJSON {
	if x == nil {
		return nil
	}
	j := &keyClearJSON{Version: newVersionJSON(x.Version), At: moment(x.At)}
	j.Prefix, j.PrefixBase64 = bytesJSON(x.Prefix)
	j.Tag, j.TagBase64 = bytesJSON(x.Tag)
	return j
}

func newReportJSON(r *bcache.KeyReport, state, text string, values bool) reportJSON {
	j := reportJSON{
		Node: hexID(r.Node), Text: text, State: state, At: moment(r.At), Held: newHeldJSON(r.Held, values),
		Cleared: r.Cleared, Isolated: r.Isolated,
		Provisional: newHeldJSON(r.Provisional, values), BesideLive: r.BesideLive,
		ProvisionalCleared: r.ProvisionalCleared, Floor: moment(r.Floor), TagFloor: moment(r.TagFloor),
		Clear: newVersionJSON(r.Clear), KeyClear: newKeyClearJSON(r.KeyClear),
		Fills: r.Fills, Granter: hexID(r.Granter), Holder: hexID(r.Holder),
	}
	if r.Err != nil {
		j.Error = r.Err.Error()
	}
	for _, d := range r.Decisions {
		j.Decisions = append(j.Decisions, decisionJSON{d.What, d.Provisional, moment(d.At), moment(d.Version)})
	}
	return j
}

type summaryJSON struct {
	Text     string       `json:"text"`
	Agree    bool         `json:"agree"` // all nodes that answered have the same record
	Answered int          `json:"answered"`
	Nodes    int          `json:"nodes"`
	Newest   *versionJSON `json:"newest,omitempty"`
	Older    []string     `json:"older,omitempty"`  // nodes that have something older,
	Own      []string     `json:"own,omitempty"`    // or serve what a fill brought, without a version,
	None     []string     `json:"none,omitempty"`   // or have nothing,
	Silent   []string     `json:"silent,omitempty"` // or of which nothing is known
}

type whyJSON struct {
	Time      string       `json:"time"`
	Key       string       `json:"key"`
	KeyBase64 string       `json:"key_base64,omitempty"`
	Summary   summaryJSON  `json:"summary"`
	Reports   []reportJSON `json:"reports"`
}
