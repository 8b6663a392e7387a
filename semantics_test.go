package bcache

import (
	"errors"
	"fmt"
	"testing"
	"time"
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
var semanticsHeld = version{stampOf(semanticsBegin), 50}

// semanticsRows are what the node may have: what it was given at semanticsBegin.
var semanticsRows = map[string][]*record{
	"a live value":                               {{kind: kindValue, val: "held"}, {kind: kindValue, val: "held", deadline: semanticsLater}},
	"an expired value, not removed yet":          {{kind: kindValue, val: "held", deadline: semanticsNow}},
	"a tombstone":                                {{kind: kindTombstone}},
	"nothing, but its floor remembers a version": {{kind: kindForget}},
	"nothing, and nothing is remembered":         {nil},
}

// semanticsColumns are what may come in.
var semanticsColumns = map[string]struct {
	age   int // compared with what the node has
	kinds []record
}{
	"incoming: older":        {-1, semanticsAnyKind},
	"same version":           {0, semanticsAnyKind},
	"newer value":            {+1, semanticsAnyKind[:2]},
	"newer delete":           {+1, semanticsAnyKind[2:3]},
	"newer, already expired": {+1, semanticsAnyKind[3:4]},
	"newer forget, or a kind of a later version": {+1, semanticsAnyKind[4:]},
}

var semanticsAnyKind = []record{
	{kind: kindValue, val: "incoming"},
	{kind: kindValue, val: "incoming", deadline: semanticsLater},
	{kind: kindTombstone},
	{kind: kindValue, val: "incoming", deadline: semanticsNow},
	{kind: kindForget},
	{kind: kindUnknown},
}

// semanticsVersions returns versions that are older than what the node has, the
// same, or newer. A floor has a stamp only.
func semanticsVersions(age int, floor bool) []version {
	at := semanticsHeld
	switch {
	case age < 0 && floor:
		return []version{{at.stamp - 1, at.origin}, {at.stamp - 1, at.origin + 1}}
	case age < 0:
		return []version{{at.stamp - 1, at.origin + 1}, {at.stamp, at.origin - 1}}
	case age == 0 && floor:
		return []version{at, {at.stamp, at.origin - 1}, {at.stamp, at.origin + 1}}
	case age == 0:
		return []version{at}
	case floor:
		return []version{{at.stamp + 1, at.origin}, {at.stamp + 1, at.origin - 1}}
	default:
		return []version{{at.stamp + 1, at.origin - 1}, {at.stamp, at.origin + 1}}
	}
}

func TestSemanticsTable(t *testing.T) {
	header, rows := documentTable(t, "docs/promises.md", "semantics")
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
					floor := held != nil && held.kind == kindForget
					for _, in := range column.kinds {
						for _, v := range semanticsVersions(column.age, floor) {
							in.version = v
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
func semanticsCell(cell string, held *record, in record, local bool) error {
	s := newStore(storeConfig{maxKeys: 10, deletionDelay: time.Hour})
	if held != nil {
		rec := *held
		rec.key, rec.version = semanticsKey, semanticsHeld
		s.apply(instant{wall: semanticsBegin}, &rec, false)
	}
	before := semanticsLook(s)
	in.key = semanticsKey
	given := in
	s.apply(instant{wall: semanticsNow}, &in, local)
	after := semanticsLook(s)

	want, possible := before, before.holds
	switch cell {
	case "keep":
	case "refuse":
		possible = !before.holds
	case "replace":
		want = semanticsState{holds: true, rec: given, hit: true, val: given.val, floor: before.floor}
	case "accept":
		possible = !before.holds
		want = semanticsState{holds: true, rec: given, hit: true, val: given.val, floor: before.floor}
	case "delete":
		possible = true
		want = semanticsState{holds: true, rec: given, floor: before.floor}
	case "drop":
		possible = before.floor < given.stamp
		want = semanticsState{floor: given.stamp}
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
	rec   record
	hit   bool
	val   string
	floor uint64
}

func semanticsLook(s *store) (st semanticsState) {
	st.rec, st.holds = s.peek(semanticsKey)
	if !st.rec.expired(semanticsNow) { // a get would remove it
		st.val, st.hit = s.get(semanticsKey, func() int64 { return semanticsNow })
	}
	st.floor = s.floorOf(bucketOf(semanticsKey))
	return st
}
