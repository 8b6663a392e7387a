package wire

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/testkit"
	"pgregory.net/rapid"
)

var (
	wireWant    = LeaseMsg{ID: 0x0123456789abcdef, Op: OpWantOld, Key: "user:\x00\xff", Stamp: delta.StampOf(testkit.Wall), Wall: testkit.Wall, Term: 10_000}
	wireFilled  = LeaseMsg{ID: 7, Op: OpFilled, Key: "", Stamp: delta.MaxStamp, Wall: testkit.Wall + 60_000}
	wireGranted = TurnMsg{ID: 0x0123456789abcdef, Op: TurnGranted, Term: MaxLeaseTerm, Key: "user:\x00\xff"}
	wireAlone   = TurnMsg{ID: 7, Op: TurnAlone}

	wireOffered  = LeaseMsg{ID: 7, Op: OpUncached, Key: "k", Offered: true}
	wireLate     = LeaseMsg{ID: 7, Op: OpDeclined, Key: "k", Late: true}
	wireOnOffer  = TurnMsg{ID: 7, Op: TurnFilled, Offered: true}
	wireNoLeases = TurnMsg{ID: 7, Op: TurnAlone, Full: true}
)

func TestWireLeaseRefused(t *testing.T) {
	lease, turn := AppendLease(nil, wireWant), AppendTurn(nil, wireGranted)
	long := strings.Repeat("k", MaxLeaseKey+1)
	u := func(n int) uint64 { return uint64(n) }
	for name, c := range map[string]struct {
		frame []byte
		want  error
	}{
		"truncated":           {lease[:len(lease)-1], ErrMalformed},
		"twice":               {slices.Concat(lease, wireFix(1, 1)), ErrMalformed},
		"wire type":           {wireFrame(FrameLease, wireAny(1, u(1)), wireAny(2, u(1))), ErrMalformed},
		"field 7":             {slices.Concat(lease, wireAny(7, "")), ErrUnsupported},
		"field 15":            {slices.Concat(lease, wireAny(15, "")), ErrUnsupported},
		"field 16":            {slices.Concat(lease, wireAny(16, "")), nil},
		"field 16, an offer":  {slices.Concat(lease, wireAny(16, u(1))), nil},
		"field 19, fixed":     {slices.Concat(lease, wireFix(19, 1)), nil},
		"no id":               {wireFrame(FrameLease, wireAny(2, u(1))), ErrMalformed},
		"no op":               {wireFrame(FrameLease, wireFix(1, 1)), ErrMalformed},
		"op of later":         {wireFrame(FrameLease, wireFix(1, 1), wireAny(2, u(int(maxLeaseOp)+1))), ErrUnsupported},
		"op, most":            {wireFrame(FrameLease, wireFix(1, 1), wireAny(2, u(int(maxLeaseOp)))), nil},
		"op 2^64-1":           {wireFrame(FrameLease, wireFix(1, 1), wireAny(2, uint64(math.MaxUint64))), ErrUnsupported},
		"long key":            {AppendLease(nil, LeaseMsg{ID: 1, Op: OpWant, Key: long}), ErrMalformed},
		"longest key":         {AppendLease(nil, LeaseMsg{ID: 1, Op: OpWant, Key: long[1:]}), nil},
		"stamp":               {AppendLease(nil, LeaseMsg{ID: 1, Op: OpWant, Stamp: delta.MaxStamp + 1}), ErrMalformed},
		"term":                {AppendLease(nil, LeaseMsg{ID: 1, Op: OpWant, Term: MaxLeaseTerm + 1}), ErrMalformed},
		"turn":                {turn, ErrMalformed}, // where a lease is expected
		"turn, truncated":     {turn[:len(turn)-1], ErrMalformed},
		"turn, field 5":       {slices.Concat(turn, wireAny(5, "")), ErrUnsupported},
		"turn, field 16":      {slices.Concat(turn, wireAny(16, "")), nil},
		"turn, no id":         {wireFrame(FrameTurn, wireAny(2, u(1))), ErrMalformed},
		"turn, no op":         {wireFrame(FrameTurn, wireFix(1, 1)), ErrMalformed},
		"turn, op of later":   {wireFrame(FrameTurn, wireFix(1, 1), wireAny(2, u(int(maxTurnOp)+1))), ErrUnsupported},
		"turn, op, most":      {wireFrame(FrameTurn, wireFix(1, 1), wireAny(2, u(int(maxTurnOp)))), nil},
		"turn, long key":      {AppendTurn(nil, TurnMsg{ID: 1, Op: TurnGranted, Key: long}), ErrMalformed},
		"turn, term":          {AppendTurn(nil, TurnMsg{ID: 1, Op: TurnGranted, Term: MaxLeaseTerm + 1}), ErrMalformed},
		"turn, a lease":       {slices.Concat([]byte{Version, FrameTurn}, lease[2:]), ErrMalformed},
		"turn, unknown wires": {slices.Concat(turn, wireFix(17, 1)), nil},
	} {
		var err error
		if strings.HasPrefix(name, "turn, ") {
			_, err = DecodeTurn(c.frame)
		} else {
			_, err = DecodeLease(c.frame)
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWireLeaseRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.StringN(0, 100, MaxLeaseKey)
		m := LeaseMsg{
			ID:    rapid.Uint64Min(1).Draw(t, "id"),
			Op:    LeaseOpcode(rapid.Uint64Range(1, uint64(maxLeaseOp)).Draw(t, "op")),
			Key:   key.Draw(t, "key"),
			Stamp: rapid.Uint64Max(delta.MaxStamp).Draw(t, "stamp"),
			Wall:  rapid.Int64().Draw(t, "wall"),
			Term:  rapid.Uint64Max(MaxLeaseTerm).Draw(t, "term"),
			Echo:  rapid.Uint64().Draw(t, "echo"), Origin: rapid.Uint64().Draw(t, "origin"),

			Offered: rapid.Bool().Draw(t, "offered"), Late: rapid.Bool().Draw(t, "late"),
		}
		if got, err := DecodeLease(AppendLease(nil, m)); err != nil || got != m {
			t.Fatalf("%+v, %v, want %+v", got, err, m)
		}
		n := TurnMsg{
			ID: m.ID, Op: TurnOpcode(rapid.Uint64Range(1, uint64(maxTurnOp)).Draw(t, "turn")),
			Term: m.Term, Key: m.Key, Offered: m.Offered, Full: rapid.Bool().Draw(t, "full"),
			Echo: m.Echo, Origin: m.Origin,
		}
		if got, err := DecodeTurn(AppendTurn(nil, n)); err != nil || got != n {
			t.Fatalf("%+v, %v, want %+v", got, err, n)
		}
	})
}

// Who doesn't know the later fields takes them for an UNCACHED, a DECLINED, a DONE and an ALONE.
func TestWireLeaseOfLaterIsReadByEarlier(t *testing.T) {
	for _, m := range []LeaseMsg{wireOffered, wireLate} {
		plain := m
		plain.Offered, plain.Late = false, false
		earlier, later := AppendLease(nil, plain), AppendLease(nil, m)
		if !strings.HasPrefix(string(later), string(earlier)) || len(later) != len(earlier)+3 {
			t.Errorf("%x isn't %x and a field that may be skipped", later, earlier)
		}
	}
	for _, m := range []TurnMsg{wireOnOffer, wireNoLeases} {
		plain := m
		plain.Offered, plain.Full = false, false
		earlier, later := AppendTurn(nil, plain), AppendTurn(nil, m)
		if !strings.HasPrefix(string(later), string(earlier)) || len(later) != len(earlier)+3 {
			t.Errorf("%x isn't %x and a field that may be skipped", later, earlier)
		}
	}
}

func FuzzLease(f *testing.F) {
	wireSeeds(f)
	f.Fuzz(func(t *testing.T, given []byte) {
		frame := slices.Clone(given)
		m, err := DecodeLease(frame)
		n, err2 := DecodeTurn(frame)
		for _, err := range []error{err, err2} {
			if err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnsupported) {
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
			if again, err := DecodeLease(AppendLease(nil, m)); err != nil || again != m || len(m.Key) > len(given) {
				t.Fatalf("%+v, encoded and decoded again: %+v, %v", m, again, err)
			}
		}
		if err2 == nil {
			if again, err := DecodeTurn(AppendTurn(nil, n)); err != nil || again != n || len(n.Key) > len(given) {
				t.Fatalf("%+v, encoded and decoded again: %+v, %v", n, again, err)
			}
		}
	})
}
