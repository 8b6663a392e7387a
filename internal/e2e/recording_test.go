package e2e_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/wire"
)

// A recording is what the nodes of a release said to each other, see TestRecord. It has two files:
// the session, an event a line, and frames of the session with what they meant to that release.
type recording struct {
	name   string // of its folder
	events []event
	frames []meant
	end    ending
}

// An event is what happens to a node.
type event struct {
	At     int64  // Unix microseconds
	Node   uint64 // whom it happens to
	What   string // one of the words below
	From   uint64 `json:",omitempty"` // which node it comes from
	Origin uint64 `json:",omitempty"` // of a node that starts, or has joined
	Frame  []byte `json:",omitempty"`
}

const (
	eventStarts = "starts"
	eventJoined = "joined"
	eventLeft   = "left"
	eventFrame  = "frame"
)

// A meant is a frame and what it means.
type meant struct {
	Frame   []byte
	Meaning any
}

// An ending is what node subject has processed and holds in the end.
type ending struct {
	Processed uint64 // the fingerprint of that
	Keys      int
}

// subject is the node whose part of a session is replayed. It writes nothing itself.
const subject = 3

const recordedDir = "../wire/testdata/recorded"

// recordings are those of all releases.
func recordings(t *testing.T) (all []recording) {
	t.Helper()
	folders, err := os.ReadDir(recordedDir)
	testkit.Ok(t, err)
	for _, f := range folders {
		r := recording{name: f.Name()}
		dir := filepath.Join(recordedDir, r.name)
		session, err := os.ReadFile(filepath.Join(dir, "session.jsonl"))
		testkit.Ok(t, err)
		for lines := bufio.NewScanner(bytes.NewReader(session)); lines.Scan(); {
			var e event
			testkit.Ok(t, json.Unmarshal(lines.Bytes(), &e))
			r.events = append(r.events, e)
		}
		frames, err := os.ReadFile(filepath.Join(dir, "frames.json"))
		testkit.Ok(t, err)
		var file struct {
			End    ending
			Frames []meant
		}
		dec := json.NewDecoder(bytes.NewReader(frames))
		dec.UseNumber()
		testkit.Ok(t, dec.Decode(&file))
		r.frames, r.end = file.Frames, file.End
		all = append(all, r)
	}
	if len(all) == 0 {
		t.Fatal("there are no recordings")
	}
	return all
}

// write makes the files of a recording.
func (r *recording) write(dir string) error {
	var session, frames bytes.Buffer
	for _, e := range r.events {
		line, err := json.Marshal(e)
		if err != nil {
			return err
		}
		session.Write(append(line, '\n'))
	}
	end, err := json.Marshal(r.end)
	if err != nil {
		return err
	}
	fmt.Fprintf(&frames, "{\"End\": %s, \"Frames\": [\n", end)
	for i, f := range r.frames {
		line, err := json.Marshal(f)
		if err != nil {
			return err
		}
		separator := ",\n"
		if i == len(r.frames)-1 {
			separator = "\n]}\n"
		}
		frames.Write(append(line, separator...))
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "session.jsonl"), session.Bytes(), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "frames.json"), frames.Bytes(), 0o644)
}

// meaningOf is what a frame says, as JSON of what it is decoded to; what is zero is left out.
func meaningOf(frame []byte) (any, error) {
	value, err := decoded(frame)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var generic any
	err = dec.Decode(&generic)
	return prune(generic), err
}

// decoded reads a frame of any type.
func decoded(frame []byte) (any, error) {
	typ, err := wire.FrameType(frame)
	if err != nil {
		return nil, err
	}
	switch typ {
	case wire.FrameDelta:
		return decodedDelta(frame)
	case wire.FramePing:
		return wire.DecodePing(frame)
	case wire.FramePong:
		return wire.DecodePong(frame)
	case wire.FrameAsk:
		return wire.DecodeAsk(frame)
	case wire.FrameChunk:
		c, records, err := wire.OpenChunk(frame)
		for rec := (delta.Record{}); err == nil && records.Next(&rec); {
			c.Records = append(c.Records, rec)
		}
		return c, err
	case wire.FrameLease:
		return wire.DecodeLease(frame)
	case wire.FrameTurn:
		return wire.DecodeTurn(frame)
	case wire.FrameOffer:
		return wire.DecodeOffer(frame)
	case wire.FrameInquiry:
		return wire.DecodeInquiry(frame)
	case wire.FrameReport:
		return wire.DecodeReport(frame)
	}
	return nil, fmt.Errorf("frames of type %d aren't known here", typ)
}

func decodedDelta(frame []byte) (any, error) {
	d, err := wire.OpenDelta(frame)
	if err != nil {
		return nil, err
	}
	var records []delta.Record
	for rest := d; ; {
		r, more := rest.Advance()
		if !more {
			return struct {
				wire.DeltaReader
				Records []delta.Record
			}{d, records}, nil
		}
		records = append(records, r.Record(string(r.Key)))
	}
}

// prune takes what is zero from what JSON was decoded to; of a list it keeps the places.
func prune(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for name, field := range v {
			if field = prune(field); field == nil {
				delete(v, name)
			} else {
				v[name] = field
			}
		}
		if len(v) == 0 {
			return nil
		}
	case []any:
		for i := range v {
			v[i] = prune(v[i])
		}
		if len(v) == 0 {
			return nil
		}
	case json.Number:
		if v == "0" {
			return nil
		}
	case string:
		if v == "" {
			return nil
		}
	case bool:
		if !v {
			return nil
		}
	}
	return value
}

// shapeOf says what a meaning has fields of, and which kinds, ops and flags are in it.
func shapeOf(meaning any) string {
	found := map[string]bool{}
	var walk func(path string, value any)
	walk = func(path string, value any) {
		switch v := value.(type) {
		case map[string]any:
			for name, field := range v {
				walk(path+"."+name, field)
			}
		case []any:
			for _, element := range v {
				walk(path, element)
			}
		default:
			for _, name := range []string{".Kind", ".Op", ".Flags", ".What"} {
				if strings.HasSuffix(path, name) {
					path += fmt.Sprint("=", v)
				}
			}
			found[path] = true
		}
	}
	walk("", meaning)
	var paths []string
	for path := range found {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return strings.Join(paths, " ")
}
