package nats

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/transport/lanes"
)

// published notes what is published.
type published struct {
	all  []string // subject, kind, and the bytes of pieces
	fail bool
}

func (p *published) publish(subject string, b []byte) error {
	h, rest, err := parseHeader(b)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%s %d/%d", subject, h.kind, h.session)
	if h.kind == piece {
		part, err := lanes.ParsePiece(rest)
		if err != nil {
			return err
		}
		text += fmt.Sprintf(" %.1s*%d", part.Bytes, len(part.Bytes))
	}
	p.all = append(p.all, text)
	if p.fail {
		return errors.New("no connection")
	}
	return nil
}

// publishAll publishes what waits, on this goroutine.
func publishAll(p *publisher) {
	var buf []byte
	for p.next(&buf) {
	}
}

// Messages without frames come first; frames come in turns, bulk in pieces.
func TestPublisher(t *testing.T) {
	out, count := &published{}, &counters{}
	p := newPublisher(life{1, 2}, count)
	p.publish, p.most = out.publish, func() int { return headerSize + lanes.HeaderSize + 10 }
	two := func() int { return 2 }
	p.begin(1, p.outlet("all", 1000, two))
	a, b := p.outlet("a", 1000, func() int { return 1 }), p.outlet("b", 1000, func() int { return 1 })
	now := time.Now()
	for _, err := range []error{
		a.queue.Send(now, []byte("aaaaaaaaaaaaaaa"), true), b.queue.Send(now, []byte("bbbbbbbbbbbb"), true),
		a.queue.Send(now, []byte("A"), false),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	p.broadcast([]byte("x"))
	p.say("who", hello, card{"n", false}.append)
	publishAll(p)
	want := []string{
		"who 1/1", "a 7/1 A*1", "b 7/1 b*10", "all 7/1 x*1", "a 7/1 a*10", "b 7/1 b*2", "a 7/1 a*5",
	}
	if !slices.Equal(out.all, want) {
		t.Errorf("published is %q, want %q", out.all, want)
	}
	if s := count.stats(0); s.FramesOut != 5 || s.BytesOut != 15+12+1+2 {
		t.Errorf("stats: %+v", s)
	}
}

// With another session nothing is left of the one before. What can't be published isn't counted.
func TestPublisherBegins(t *testing.T) {
	out, count := &published{}, &counters{}
	p := newPublisher(life{1, 2}, count)
	p.publish, p.most = out.publish, func() int { return 1 << 20 }
	one := func() int { return 1 }
	p.broadcast([]byte("nobody"))
	p.begin(1, p.outlet("all", 1000, one))
	p.broadcast([]byte("old"))
	p.say("who", hello, nil)
	p.begin(2, p.outlet("all", 1000, one))
	out.fail = true
	p.broadcast([]byte("new"))
	p.say("who", hello, nil)
	publishAll(p)
	if want := []string{"who 1/2", "all 7/2 n*3"}; !slices.Equal(out.all, want) {
		t.Errorf("published is %q, want %q", out.all, want)
	}
	if count.FramesOut.Load() != 0 || count.Dropped.Load() != 1 {
		t.Errorf("counted are %d, dropped %d", count.FramesOut.Load(), count.Dropped.Load())
	}
	for range 2 * maxLetters {
		p.say("who", alive, nil)
	}
	if got := len(p.letters); got != maxLetters {
		t.Errorf("%d letters wait", got)
	}
}

// The last letter comes behind all frames.
func TestPublisherFinishes(t *testing.T) {
	out := &published{}
	p := newPublisher(life{1, 2}, &counters{})
	p.publish, p.most = out.publish, func() int { return 1 << 20 }
	p.begin(1, p.outlet("all", 1000, func() int { return 1 }))
	p.broadcast([]byte("x"))
	p.say("who", alive, nil)
	ended := p.finish("who", bye)
	p.say("who", alive, nil) // too late
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		p.run(ctx)
		close(done)
	}()
	<-ended
	cancel()
	<-done
	if want := []string{"who 4/1", "all 7/1 x*1", "who 6/1"}; !slices.Equal(out.all, want) {
		t.Errorf("published is %q, want %q", out.all, want)
	}
}

// What is held of frames that come in part is bounded over all peers, and given back.
func TestAssembly(t *testing.T) {
	b := &budget{most: 100}
	one, two := &assembly{budget: b}, &assembly{budget: b}
	part := func(seq uint64, first, last bool, n int) lanes.Piece {
		bytes := bytes.Repeat([]byte("x"), n)
		return lanes.Piece{Lane: lanes.Bulk, Seq: seq, First: first, Last: last, Bytes: bytes}
	}
	check := func(frame, head []byte, frameLen, headLen, used int) {
		t.Helper()
		if len(frame) != frameLen || len(head) != headLen || b.used != used {
			t.Errorf("frame of %d, head of %d bytes, %d are used; want %d, %d, %d",
				len(frame), len(head), b.used, frameLen, headLen, used)
		}
	}
	add := func(a *assembly, way int, p lanes.Piece, frameLen, headLen, used int) {
		t.Helper()
		frame, head := a.add(way, p)
		check(frame, head, frameLen, headLen, used)
	}
	add(one, byAll, part(0, true, false, 40), 0, 40, 40)
	add(one, byNode, part(0, true, false, 30), 0, 30, 70)
	add(two, byAll, part(0, true, false, 40), 0, 0, 70) // no room
	add(two, byAll, part(1, false, true, 1), 0, 0, 70)  // the rest of it
	add(one, byAll, part(1, false, true, 40), 80, 0, 30)
	add(two, byAll, part(2, true, true, 90), 90, 0, 30) // nothing is held of it
	add(two, byAll, part(3, true, false, 60), 0, 60, 90)
	add(two, byAll, part(4, false, false, 60), 0, 0, 30)
	one.end()
	add(one, byNode, part(1, false, true, 1), 0, 0, 0)
	two.end()
	if b.used != 0 {
		t.Errorf("%d bytes are used in the end", b.used)
	}
}
