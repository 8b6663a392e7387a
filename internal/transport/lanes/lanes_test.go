package lanes

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/iwanbk/bcache/transport"
)

var start = time.Unix(0, 0)

func noWake() {}

// Whatever is queued, and whatever pieces it goes in, comes out whole, in the order of its lane, and small
// frames pass large ones.
func TestFramesComeWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q, a := New(1<<20, noWake), &Assembler{}
		var queued, got [numLanes][]byte // the first byte of each frame says which it is
		n := byte(0)
		for q.Len() > 0 || n < 50 {
			if n < 50 && rapid.Bool().Draw(t, "push") {
				size, bulk := rapid.IntRange(1, 3*PieceSize).Draw(t, "size"), rapid.Bool().Draw(t, "bulk")
				n++
				frame := bytes.Repeat([]byte{n}, size)
				switch err := q.Send(start, frame, bulk); {
				case errors.Is(err, transport.ErrQueueFull):
					continue
				case err != nil:
					t.Fatal(err)
				}
				lane := First
				if bulk || size > PieceSize {
					lane = Bulk
				}
				queued[lane] = append(queued[lane], n)
				continue
			}
			p, ok := q.Next(start, rapid.IntRange(1, PieceSize).Draw(t, "piece"))
			if !ok {
				continue
			}
			if len(queued[First]) > len(got[First]) && p.Lane != First {
				t.Fatal("bulk goes, and something waits that may pass")
			}
			back, err := ParsePiece(append(p.AppendHeader(nil), p.Bytes...))
			if err != nil || back.Lane != p.Lane || back.Seq != p.Seq || !bytes.Equal(back.Bytes, p.Bytes) {
				t.Fatalf("%+v was read as %+v, %v", p, back, err)
			}
			frame, head := a.Add(back)
			if (frame != nil) != p.Last || (head != nil) == p.Last {
				t.Fatalf("a piece is the last one: %v; a frame came: %v", p.Last, frame != nil)
			}
			if frame != nil {
				if len(bytes.Trim(frame, string(frame[:1]))) > 0 {
					t.Fatal("a frame is made of pieces of several")
				}
				got[p.Lane] = append(got[p.Lane], frame[0])
			}
		}
		for i := range queued {
			if !bytes.Equal(queued[i], got[i]) {
				t.Fatalf("queued were %v, and %v came", queued[i], got[i])
			}
		}
	})
}

// A frame of which a piece is lost is lost, and no other one.
func TestLostPieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q, a := New(1<<30, noWake), &Assembler{}
		const frames = 20
		var sizes [frames]int
		var whole, came [frames]bool
		for n := range byte(frames) {
			sizes[n] = rapid.IntRange(1, 500).Draw(t, "size")
			if err := q.Send(start, bytes.Repeat([]byte{n}, sizes[n]), true); err != nil {
				t.Fatal(err)
			}
		}
		for {
			p, ok := q.Next(start, 100)
			if !ok {
				break
			}
			if p.First {
				whole[p.Bytes[0]] = true
			}
			if rapid.IntRange(0, 9).Draw(t, "lost") == 0 {
				whole[p.Bytes[0]] = false
				continue
			}
			if frame, _ := a.Add(p); frame != nil {
				if !bytes.Equal(frame, bytes.Repeat(frame[:1], sizes[frame[0]])) {
					t.Fatalf("of frame %d there came %v", frame[0], frame)
				}
				came[frame[0]] = true
			}
		}
		for i := range whole {
			if whole[i] && !came[i] {
				t.Fatalf("frame %d was lost as a whole", i)
			}
		}
	})
}

func TestBounds(t *testing.T) {
	woken := 0
	q := New(1000, func() { woken++ })
	frame := make([]byte, 400)
	for _, want := range []error{nil, nil, transport.ErrQueueFull} {
		if err := q.Send(start, frame, false); !errors.Is(err, want) {
			t.Errorf("Send: %v, want %v", err, want)
		}
	}
	if err := q.Send(start, frame[:100], true); !errors.Is(err, transport.ErrQueueFull) {
		t.Errorf("bulk takes what the other lane may need: %v", err)
	}
	if err := q.Broadcast(start, frame[:200]); err != nil {
		t.Errorf("Broadcast: %v", err)
	}
	if err := q.Send(start, frame[:200], false); err != nil {
		t.Errorf("what was broadcast doesn't make room: %v", err)
	}
	if q.Len() != 1000 || q.Dropped() != 3 || woken != 4 {
		t.Errorf("%d bytes wait, %d were dropped, woken %d times", q.Len(), q.Dropped(), woken)
	}
	q.Close()
	if err := q.Send(start, frame, false); !errors.Is(err, transport.ErrUnknownPeer) {
		t.Errorf("Send after Close: %v", err)
	}
	if _, ok := q.Next(start, 1); ok || q.Len() != 0 || q.Dropped() != 6 {
		t.Errorf("after Close %d bytes wait, and %d were dropped", q.Len(), q.Dropped())
	}
}

// What was broadcast goes when it is old, and if something has it all; not what has begun to leave.
func TestOld(t *testing.T) {
	q := New(1<<20, noWake)
	for _, b := range []byte{1, 2} {
		if err := q.Broadcast(start, bytes.Repeat([]byte{b}, 10)); err != nil {
			t.Fatal(err)
		}
	}
	if p, ok := q.Next(start, 5); !ok || p.Last {
		t.Fatalf("the first piece is %+v", p)
	}
	if err := q.Send(start, []byte{3}, false); err != nil {
		t.Fatal(err)
	}
	var got []byte
	for {
		p, ok := q.Next(start.Add(Age), 5)
		if !ok {
			break
		}
		got = append(got, p.Bytes[0])
	}
	if !bytes.Equal(got, []byte{1, 3}) {
		t.Errorf("there came %v", got)
	}
	if err := q.Broadcast(start, []byte{4}); err != nil {
		t.Fatal(err)
	}
	q.Supersede()
	if p, ok := q.Next(start, 5); ok {
		t.Errorf("what is superseded comes: %+v", p)
	}
}

// To put one more in takes no longer if many wait: or who writes would wait for a peer that is stuck. Here
// 400,000 wait, for which that would take hours.
func TestManyWait(t *testing.T) {
	const many = 100_000
	q := New(64<<20, noWake)
	frame := make([]byte, 100)
	for i := range many {
		now := start.Add(time.Duration(i) * 2 * Age / many)
		for _, err := range []error{
			q.Send(now, frame, false), q.Send(now, frame, true), q.Broadcast(now, frame), q.Broadcast(now, frame),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	n := 0
	for {
		if _, ok := q.Next(start.Add(2*Age), PieceSize); !ok {
			break
		}
		n++
	}
	if fresh := n - 2*many; fresh < many*9/10 || fresh > many || q.Dropped() != uint64(4*many-n) || q.Len() != 0 {
		t.Errorf("%d have come, %d are dropped, %d bytes wait", n, q.Dropped(), q.Len())
	}
}

// Nobody's pieces take more memory than two frames.
func FuzzPieces(f *testing.F) {
	f.Add([]byte{3, 6, 0, 1, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		var a Assembler
		for len(b) > 0 {
			n := min(int(b[0]), len(b)-1)
			p, err := ParsePiece(b[1 : 1+n])
			b = b[1+n:]
			if err != nil {
				continue
			}
			if frame, head := a.Add(p); len(frame) > transport.MaxFrame || len(head) > transport.MaxFrame {
				t.Fatalf("frame of %d bytes, head of %d", len(frame), len(head))
			}
		}
	})
}
