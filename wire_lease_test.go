package bcache

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var (
	wireWant    = leaseMsg{id: 0x0123456789abcdef, op: opWantOld, key: "user:\x00\xff", stamp: stampOf(wireWall), wall: wireWall, term: 10_000}
	wireFilled  = leaseMsg{id: 7, op: opFilled, key: "", stamp: maxStamp, wall: wireWall + 60_000}
	wireGranted = turnMsg{id: 0x0123456789abcdef, op: turnGranted, term: maxLeaseTerm, key: "user:\x00\xff"}
	wireAlone   = turnMsg{id: 7, op: turnAlone}

	wireOffered  = leaseMsg{id: 7, op: opUncached, key: "k", offered: true}
	wireLate     = leaseMsg{id: 7, op: opDeclined, key: "k", late: true}
	wireOnOffer  = turnMsg{id: 7, op: turnFilled, offered: true}
	wireNoLeases = turnMsg{id: 7, op: turnAlone, full: true}
)

func TestWireLeaseRefused(t *testing.T) {
	lease, turn := appendLease(nil, wireWant), appendTurn(nil, wireGranted)
	long := strings.Repeat("k", maxLeaseKey+1)
	u := func(n int) uint64 { return uint64(n) }
	for name, c := range map[string]struct {
		frame []byte
		want  error
	}{
		"truncated":           {lease[:len(lease)-1], errMalformed},
		"twice":               {slices.Concat(lease, wireFix(1, 1)), errMalformed},
		"wire type":           {wireFrame(frameLease, wireAny(1, u(1)), wireAny(2, u(1))), errMalformed},
		"field 7":             {slices.Concat(lease, wireAny(7, "")), errUnsupported},
		"field 15":            {slices.Concat(lease, wireAny(15, "")), errUnsupported},
		"field 16":            {slices.Concat(lease, wireAny(16, "")), nil},
		"field 16, an offer":  {slices.Concat(lease, wireAny(16, u(1))), nil},
		"field 19, fixed":     {slices.Concat(lease, wireFix(19, 1)), nil},
		"no id":               {wireFrame(frameLease, wireAny(2, u(1))), errMalformed},
		"no op":               {wireFrame(frameLease, wireFix(1, 1)), errMalformed},
		"op of later":         {wireFrame(frameLease, wireFix(1, 1), wireAny(2, u(int(maxLeaseOp)+1))), errUnsupported},
		"op, most":            {wireFrame(frameLease, wireFix(1, 1), wireAny(2, u(int(maxLeaseOp)))), nil},
		"op 2^64-1":           {wireFrame(frameLease, wireFix(1, 1), wireAny(2, uint64(math.MaxUint64))), errUnsupported},
		"long key":            {appendLease(nil, leaseMsg{id: 1, op: opWant, key: long}), errMalformed},
		"longest key":         {appendLease(nil, leaseMsg{id: 1, op: opWant, key: long[1:]}), nil},
		"stamp":               {appendLease(nil, leaseMsg{id: 1, op: opWant, stamp: maxStamp + 1}), errMalformed},
		"term":                {appendLease(nil, leaseMsg{id: 1, op: opWant, term: maxLeaseTerm + 1}), errMalformed},
		"turn":                {turn, errMalformed}, // where a lease is expected
		"turn, truncated":     {turn[:len(turn)-1], errMalformed},
		"turn, field 5":       {slices.Concat(turn, wireAny(5, "")), errUnsupported},
		"turn, field 16":      {slices.Concat(turn, wireAny(16, "")), nil},
		"turn, no id":         {wireFrame(frameTurn, wireAny(2, u(1))), errMalformed},
		"turn, no op":         {wireFrame(frameTurn, wireFix(1, 1)), errMalformed},
		"turn, op of later":   {wireFrame(frameTurn, wireFix(1, 1), wireAny(2, u(int(maxTurnOp)+1))), errUnsupported},
		"turn, op, most":      {wireFrame(frameTurn, wireFix(1, 1), wireAny(2, u(int(maxTurnOp)))), nil},
		"turn, long key":      {appendTurn(nil, turnMsg{id: 1, op: turnGranted, key: long}), errMalformed},
		"turn, term":          {appendTurn(nil, turnMsg{id: 1, op: turnGranted, term: maxLeaseTerm + 1}), errMalformed},
		"turn, a lease":       {slices.Concat([]byte{wireVersion, frameTurn}, lease[2:]), errMalformed},
		"turn, unknown wires": {slices.Concat(turn, wireFix(17, 1)), nil},
	} {
		var err error
		if strings.HasPrefix(name, "turn, ") {
			_, err = decodeTurn(c.frame)
		} else {
			_, err = decodeLease(c.frame)
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWireLeaseRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.StringN(0, 100, maxLeaseKey)
		m := leaseMsg{
			id:    rapid.Uint64Min(1).Draw(t, "id"),
			op:    leaseOpcode(rapid.Uint64Range(1, uint64(maxLeaseOp)).Draw(t, "op")),
			key:   key.Draw(t, "key"),
			stamp: rapid.Uint64Max(maxStamp).Draw(t, "stamp"),
			wall:  rapid.Int64().Draw(t, "wall"),
			term:  rapid.Uint64Max(maxLeaseTerm).Draw(t, "term"),
			echo:  rapid.Uint64().Draw(t, "echo"), origin: rapid.Uint64().Draw(t, "origin"),

			offered: rapid.Bool().Draw(t, "offered"), late: rapid.Bool().Draw(t, "late"),
		}
		if got, err := decodeLease(appendLease(nil, m)); err != nil || got != m {
			t.Fatalf("%+v, %v, want %+v", got, err, m)
		}
		n := turnMsg{
			id: m.id, op: turnOpcode(rapid.Uint64Range(1, uint64(maxTurnOp)).Draw(t, "turn")),
			term: m.term, key: m.key, offered: m.offered, full: rapid.Bool().Draw(t, "full"),
			echo: m.echo, origin: m.origin,
		}
		if got, err := decodeTurn(appendTurn(nil, n)); err != nil || got != n {
			t.Fatalf("%+v, %v, want %+v", got, err, n)
		}
	})
}

// Who doesn't know the later fields takes them for an UNCACHED, a DECLINED, a DONE and an ALONE.
func TestWireLeaseOfLaterIsReadByEarlier(t *testing.T) {
	for _, m := range []leaseMsg{wireOffered, wireLate} {
		plain := m
		plain.offered, plain.late = false, false
		earlier, later := appendLease(nil, plain), appendLease(nil, m)
		if !strings.HasPrefix(string(later), string(earlier)) || len(later) != len(earlier)+3 {
			t.Errorf("%x isn't %x and a field that may be skipped", later, earlier)
		}
	}
	for _, m := range []turnMsg{wireOnOffer, wireNoLeases} {
		plain := m
		plain.offered, plain.full = false, false
		earlier, later := appendTurn(nil, plain), appendTurn(nil, m)
		if !strings.HasPrefix(string(later), string(earlier)) || len(later) != len(earlier)+3 {
			t.Errorf("%x isn't %x and a field that may be skipped", later, earlier)
		}
	}
}

func FuzzLease(f *testing.F) {
	wireSeeds(f)
	f.Fuzz(func(t *testing.T, given []byte) {
		frame := slices.Clone(given)
		m, err := decodeLease(frame)
		n, err2 := decodeTurn(frame)
		for _, err := range []error{err, err2} {
			if err != nil && !errors.Is(err, errMalformed) && !errors.Is(err, errUnsupported) {
				t.Fatal(err)
			}
		}
		if err == nil && err2 == nil {
			t.Fatal("both a lease and a turn")
		}
		for i := range frame {
			frame[i] ^= 0xa5 // nothing that was read may change with it
		}
		if err == nil {
			if again, err := decodeLease(appendLease(nil, m)); err != nil || again != m || len(m.key) > len(given) {
				t.Fatalf("%+v, encoded and decoded again: %+v, %v", m, again, err)
			}
		}
		if err2 == nil {
			if again, err := decodeTurn(appendTurn(nil, n)); err != nil || again != n || len(n.key) > len(given) {
				t.Fatalf("%+v, encoded and decoded again: %+v, %v", n, again, err)
			}
		}
	})
}
