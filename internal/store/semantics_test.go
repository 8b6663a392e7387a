package store

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/testkit"
)

// The table "Which write wins" of docs/promises.md is the specification: every cell of
// it is run against a store.

const (
	semanticsKey   = "k"
	semanticsBegin = 1_700_000_000_000             // when what the node has was written, Unix milliseconds
	semanticsNow   = semanticsBegin + 10*1000      // when the incoming record arrives
	semanticsLater = semanticsNow + int64(1000000) // a deadline that hasn't come
)

// semanticsHeld is the version that the node has of the key.
var semanticsHeld = delta.Version{Stamp: delta.StampOf(semanticsBegin), Origin: 50}

// semanticsRows are what the node may have: what it was given at semanticsBegin.
var semanticsRows = map[string][]*delta.Record{
	"a live value":                               {{Kind: delta.KindValue, Val: "held"}, {Kind: delta.KindValue, Val: "held", Deadline: semanticsLater}},
	"an expired value, not removed yet":          {{Kind: delta.KindValue, Val: "held", Deadline: semanticsNow}},
	"a tombstone":                                {{Kind: delta.KindTombstone}},
	"nothing, but its floor remembers a version": {{Kind: delta.KindForget}},
	"nothing, and nothing is remembered":         {nil},
}

// semanticsColumns are what may come in.
var semanticsColumns = map[string]struct {
	age   int // compared with what the node has
	kinds []delta.Record
}{
	"incoming: older":        {-1, semanticsAnyKind},
	"same version":           {0, semanticsAnyKind},
	"newer value":            {+1, semanticsAnyKind[:2]},
	"newer delete":           {+1, semanticsAnyKind[2:3]},
	"newer, already expired": {+1, semanticsAnyKind[3:4]},
	"newer forget, or a kind of a later version": {+1, semanticsAnyKind[4:]},
}

var semanticsAnyKind = []delta.Record{
	{Kind: delta.KindValue, Val: "incoming"},
	{Kind: delta.KindValue, Val: "incoming", Deadline: semanticsLater},
	{Kind: delta.KindTombstone},
	{Kind: delta.KindValue, Val: "incoming", Deadline: semanticsNow},
	{Kind: delta.KindForget},
	{Kind: delta.KindUnknown},
}

// semanticsVersions returns versions that are older than what the node has, the
// same, or newer. A floor has a stamp only.
func semanticsVersions(age int, floor bool) []delta.Version {
	at := semanticsHeld
	switch {
	case age < 0 && floor:
		return []delta.Version{{Stamp: at.Stamp - 1, Origin: at.Origin}, {Stamp: at.Stamp - 1, Origin: at.Origin + 1}}
	case age < 0:
		return []delta.Version{{Stamp: at.Stamp - 1, Origin: at.Origin + 1}, {Stamp: at.Stamp, Origin: at.Origin - 1}}
	case age == 0 && floor:
		return []delta.Version{at, {Stamp: at.Stamp, Origin: at.Origin - 1}, {Stamp: at.Stamp, Origin: at.Origin + 1}}
	case age == 0:
		return []delta.Version{at}
	case floor:
		return []delta.Version{{Stamp: at.Stamp + 1, Origin: at.Origin}, {Stamp: at.Stamp + 1, Origin: at.Origin - 1}}
	default:
		return []delta.Version{{Stamp: at.Stamp + 1, Origin: at.Origin - 1}, {Stamp: at.Stamp, Origin: at.Origin + 1}}
	}
}

func TestSemanticsTable(t *testing.T) {
	header, rows := testkit.Table(t, "docs/promises.md", "semantics")
	if len(rows) != len(semanticsRows) || len(header) != 1+len(semanticsColumns) {
		t.Fatalf("%d rows and %d columns", len(rows), len(header))
	}
	for _, row := range rows {
		given, ok := semanticsRows[row[0]]
		if !ok {
			t.Errorf("unknown row %q", row[0])
			continue
		}
		for i, cell := range row[1:] {
			column, ok := semanticsColumns[header[i+1]]
			if !ok {
				t.Errorf("unknown column %q", header[i+1])
				continue
			}
			t.Run(row[0]+"/"+header[i+1], func(t *testing.T) {
				for _, held := range given {
					if held == nil && column.age <= 0 {
						if cell != "-" { // there is nothing to be older than
							t.Errorf("%q isn't possible", cell)
						}
						continue
					}
					floor := held != nil && held.Kind == delta.KindForget
					for _, in := range column.kinds {
						for _, v := range semanticsVersions(column.age, floor) {
							in.Version = v
							if err := errors.Join(semanticsCell(cell, held, in, false), semanticsCell(cell, held, in, true)); err != nil {
								t.Error(err)
							}
						}
					}
				}
			})
		}
	}
}

// semanticsCell gives held and then in to a store, and compares what that leads
// to with what cell says.
func semanticsCell(cell string, held *delta.Record, in delta.Record, local bool) error {
	s := New(Config{MaxKeys: 10, DeletionDelay: time.Hour})
	if held != nil {
		rec := *held
		rec.Key, rec.Version = semanticsKey, semanticsHeld
		s.Apply(delta.Instant{Wall: semanticsBegin}, &rec, false)
	}
	before := semanticsLook(s)
	in.Key = semanticsKey
	given := in
	s.Apply(delta.Instant{Wall: semanticsNow}, &in, local)
	after := semanticsLook(s)

	want, possible := before, before.holds
	switch cell {
	case "keep":
	case "refuse":
		possible = !before.holds
	case "replace":
		want = semanticsState{holds: true, rec: given, hit: true, val: given.Val, floor: before.floor}
	case "accept":
		possible = !before.holds
		want = semanticsState{holds: true, rec: given, hit: true, val: given.Val, floor: before.floor}
	case "delete":
		possible = true
		want = semanticsState{holds: true, rec: given, floor: before.floor}
	case "drop":
		possible = before.floor < given.Stamp
		want = semanticsState{floor: given.Stamp}
	default:
		possible = false
	}
	if !possible || after != want {
		return fmt.Errorf("%q: %+v comes in (local: %v), and %+v becomes %+v", cell, given, local, before, after)
	}
	return nil
}

// A semanticsState is all that a store knows of the key.
type semanticsState struct {
	holds bool
	rec   delta.Record
	hit   bool
	val   string
	floor uint64
}

func semanticsLook(s *Store) (st semanticsState) {
	st.rec, st.holds = s.Peek(semanticsKey)
	if !st.rec.Expired(semanticsNow) { // a get would remove it
		st.val, st.hit = s.Get(semanticsKey, func() int64 { return semanticsNow })
	}
	st.floor = s.FloorOf(delta.BucketOf(semanticsKey))
	return st
}
