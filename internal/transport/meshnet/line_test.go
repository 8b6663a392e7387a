package meshnet

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/transport/engine"
	"github.com/iwanbk/bcache/transport"
)

var updateLines = flag.Bool("update-lines", false, "write the golden bytes of lines")

// A lineRig is a line in a bubble: what a sends arrives at b with so many bytes a second, and what b
// acknowledges arrives at once. What one writes fills a buffer first, as a kernel's does.
type lineRig struct {
	t       *testing.T
	a, b    *meshLine
	ended   chan struct{}
	carried chan struct{}
	count   engine.Counters
	ids     atomic.Uint64
	pipe    chan []byte
	rate    float64
	broken  atomic.Bool

	mu       sync.Mutex
	got      []lineGot
	largest  int
	bytes    int // that have crossed
	head     time.Duration
	began    time.Time
	progress time.Time
	silence  time.Duration // the longest
}

type lineGot struct {
	item string
	at   time.Duration
}

func newLineRig(t *testing.T, rate float64) *lineRig {
	g := &lineRig{
		t: t, ended: make(chan struct{}), carried: make(chan struct{}),
		pipe: make(chan []byte, 64), rate: rate, began: time.Now(),
	}
	g.a = newMeshLine(g.write, g.spawn, g.ended, &g.count, &g.ids, maxPending)
	g.b = newMeshLine(g.answer, g.spawn, g.ended, &g.count, &g.ids, maxPending)
	g.progress = g.began
	go func() {
		defer close(g.carried)
		g.carry()
	}()
	return g
}

func (g *lineRig) spawn(f func()) { go f() }

func (g *lineRig) write(msg []byte) error {
	if g.broken.Load() {
		return errors.New("broken")
	}
	select {
	case g.pipe <- msg:
		return nil
	case <-g.ended:
		return errors.New("broken")
	}
}

// answer is what b writes: acknowledgements.
func (g *lineRig) answer(msg []byte) error {
	m, err := decodeLine(msg)
	if err != nil || m.kind != lineTaken {
		g.t.Errorf("b writes %x: %v", msg, err)
	}
	_, _ = g.a.acked(m.taken)
	return nil
}

func (g *lineRig) carry() {
	for {
		select {
		case <-g.ended:
			return
		case msg := <-g.pipe:
			testkit.Advance(time.Duration(float64(len(msg)) / g.rate * 1e9))
			if g.broken.Load() {
				continue
			}
			g.arrives(msg)
		}
	}
}

func (g *lineRig) arrives(msg []byte) {
	m, err := decodeLine(msg)
	if err != nil {
		g.t.Error(err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.bytes += len(msg)
	g.largest = max(g.largest, len(msg))
	g.silence = max(g.silence, time.Since(g.progress))
	g.progress = time.Now()
	item := m.whole.bytes
	if m.kind == linePieceOf {
		var head []byte
		if item, head = g.b.take(m.piece); head != nil {
			g.head = time.Since(g.began)
		}
	}
	if item != nil {
		g.got = append(g.got, lineGot{string(item), time.Since(g.began)})
	}
	g.b.received(len(msg))
}

func (g *lineRig) close() {
	close(g.ended)
	g.a.end()
	g.b.end()
	<-g.carried
	synctest.Wait()
}

// waits returns how many bytes wait at a.
func (g *lineRig) waits() int {
	g.a.mu.Lock()
	defer g.a.mu.Unlock()
	return g.a.queue.bytes
}

func (g *lineRig) when(item string) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, x := range g.got {
		if x.item == item {
			return x.at
		}
	}
	return -1
}

func frameOf(size int, name string) []byte {
	b := bytes.Repeat([]byte("."), max(size, len(name)))
	copy(b, name)
	return b
}

func (g *lineRig) push(item []byte, fresh bool, lane int) {
	testkit.Must(g.t, g.a.push(lineItem{kind: itemFrame, bytes: item, fresh: fresh}, lane))
}

// A large frame takes what its line takes, and small ones pass it.
func TestLineSmallPassesLarge(t *testing.T) {
	for _, rate := range []float64{10e3, 100e3, 10e6} {
		synctest.Test(t, func(t *testing.T) {
			g := newLineRig(t, rate)
			defer g.close()
			large := frameOf(1<<20, "large")
			g.push(large, true, laneFirst)
			testkit.Advance(time.Second + time.Duration(2*flowFirst/rate*1e9)) // the window has to be found
			var slowest time.Duration
			sent := 0
			for ; g.when(string(large)) < 0 && sent < 1000; sent++ {
				small := []byte(fmt.Sprint("small", sent))
				began := time.Since(g.began)
				g.push(small, false, laneFirst)
				testkit.Advance(time.Second)
				synctest.Wait()
				for g.when(string(small)) < 0 && time.Since(g.began) < 200*time.Second {
					testkit.Advance(10 * time.Millisecond)
				}
				slowest = max(slowest, g.when(string(small))-began)
			}
			took, least := g.when(string(large)), time.Duration(float64(len(large))/rate*1e9)
			if took > least*11/10+time.Second {
				t.Errorf("%.0f B/s: the large frame took %v; its line needs %v", rate, took, least)
			}
			limit := 500*time.Millisecond + time.Duration(float64(2*flowLeast+2*pieceLeast)/rate*1e9)
			if slowest > limit || rate < 1e6 && sent < 5 {
				t.Errorf("%.0f B/s: a small frame took %v, of %d", rate, slowest, sent)
			}
			if g.largest > 64<<10 || g.silence > 5*time.Second {
				t.Errorf("%.0f B/s: a message of %d bytes; nothing came for %v", rate, g.largest, g.silence)
			}
		})
	}
}

// A fast line is kept busy, whatever its round trip takes.
func TestLineFast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newLineRig(t, 50e6)
		defer g.close()
		item := frameOf(60<<10, "x")
		const n = 900
		for range n {
			g.push(item, false, laneBulk)
		}
		for g.when("end") < 0 {
			if g.waits() == 0 {
				g.push([]byte("end"), false, laneBulk)
			}
			testkit.Advance(time.Millisecond)
		}
		if took, least := g.when("end"), time.Duration(float64(n*len(item))/50e6*1e9); took > least*3/2 {
			t.Errorf("took %v, the line %v", took, least)
		}
	})
}

// What was broadcast and waits for a second is dropped, and nothing else is.
func TestLineDropsWhatIsOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newLineRig(t, 100e3)
		defer g.close()
		for i := range 400 { // twice what the line takes, for 20 s
			g.push(frameOf(10_000, fmt.Sprint("fresh", i, ".")), true, laneFirst)
			if i%40 == 0 {
				g.push(fmt.Append(nil, "ping", i), false, laneFirst)
			}
			testkit.Advance(50 * time.Millisecond)
		}
		last := frameOf(10_000, "last.")
		g.push(last, true, laneFirst)
		pushed := time.Since(g.began)
		for g.when(string(last)) < 0 && time.Since(g.began) < time.Minute {
			testkit.Advance(time.Second / 10)
		}
		if late := g.when(string(last)) - pushed; late < 0 || late > 2*lineAge+time.Second {
			t.Errorf("the last one took %v", late)
		}
		for i := 0; i < 400; i += 40 {
			if g.when(fmt.Sprint("ping", i)) < 0 {
				t.Errorf("ping %d was dropped", i)
			}
		}
		if n := g.count.Dropped.Load(); n < 100 || n > 300 {
			t.Errorf("%d of 400 were dropped, the line takes half", n)
		}
	})
}

// Small frames that pass don't keep old bulk.
func TestLineOldBulkIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newLineRig(t, 100e3)
		defer g.close()
		most := 0
		for i := range 200 {
			if i%10 == 0 {
				g.push(frameOf(1_000_000, fmt.Sprint("large", i)), true, laneFirst)
			}
			g.push(fmt.Append(nil, "small", i), true, laneFirst)
			testkit.Advance(100 * time.Millisecond)
			most = max(most, g.waits())
		}
		if most > 4_000_000 {
			t.Errorf("%d bytes wait; a second's are 1 MB, and one is under way", most)
		}
	})
}

// The pauses between bursts aren't taken for what the line adds.
func TestLineIdleIsNoDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newLineRig(t, 50e6)
		defer g.close()
		for range 10 {
			for i := range 40 {
				g.push(frameOf(50_000+i, "x"), false, laneFirst)
			}
			testkit.Advance(5 * time.Second)
		}
		g.a.mu.Lock()
		defer g.a.mu.Unlock()
		if w := g.a.flow.window; w < 500_000 {
			t.Errorf("the window has shrunk to %d bytes", w)
		}
	})
}

// An answer has what was broadcast before. What has left in part goes on.
func TestLineSupersede(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newLineRig(t, 1e6)
		defer g.close()
		large := frameOf(500_000, "large")
		g.push(large, true, laneFirst)
		synctest.Wait()
		for i := range 100 {
			g.push(frameOf(2000, fmt.Sprint("fresh", i, ".")), true, laneFirst)
		}
		g.a.supersede()
		g.push([]byte("answer"), false, laneBulk)
		testkit.Advance(10 * time.Second)
		synctest.Wait()
		if g.when(string(large)) < 0 || g.when("answer") < g.when(string(large)) ||
			g.count.Dropped.Load() < 80 {
			t.Errorf("large %v, answer %v, %d dropped", g.when(string(large)), g.when("answer"),
				g.count.Dropped.Load())
		}
		if g.a.queue.bytes != 0 || g.a.queue.lanes[0].fresh+g.a.queue.lanes[1].fresh != 0 {
			t.Errorf("%d bytes and %d items are left", g.a.queue.bytes, g.a.queue.lanes[0].fresh)
		}
	})
}

// What has arrived of a large frame isn't sent again by the next connection.
func TestLineResumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newLineRig(t, 100e3)
		large := frameOf(1_000_000, "large")
		g.push(large, true, laneFirst)
		testkit.Advance(5 * time.Second)
		g.broken.Store(true)
		g.close()
		had := len(g.b.in.parts[laneBulk].data)
		if had < 300_000 {
			t.Fatalf("%d bytes have come", had)
		}
		out, some := g.a.rest()
		in, some2 := g.b.rest()
		if !some || !some2 {
			t.Fatal("nothing is left")
		}

		h := newLineRig(t, 100e3)
		defer h.close()
		h.ids.Store(g.ids.Load())
		h.a.inherit(out)
		h.b.inherit(in)
		h.a.resume(h.b.has())
		testkit.Must(t, h.a.push(lineItem{kind: itemFrame, bytes: large}, laneBulk)) // it is asked for again
		testkit.Advance(20 * time.Second)
		synctest.Wait()
		if h.when(string(large)) < 0 || len(h.got) != 1 {
			t.Fatalf("it hasn't come once: %d items", len(h.got))
		}
		if h.bytes > len(large)-had+10_000 {
			t.Errorf("%d of %d bytes had come, %d were sent then", had, len(large), h.bytes)
		}
	})
}

// Another frame than the one of which a part has come begins anew.
func TestLineResumesNothingElse(t *testing.T) {
	for name, edit := range map[string]func(out, in *lineRest){
		"nothing left there": func(_, in *lineRest) { in.in = linePart{} },
		"nothing left here":  func(out, _ *lineRest) { out.out = nil },
		"another transfer":   func(_, in *lineRest) { in.in.id += 2 },
		"more than all":      func(_, in *lineRest) { in.in.data = make([]byte, 1<<20) },
	} {
		synctest.Test(t, func(t *testing.T) {
			g := newLineRig(t, 1e6)
			defer g.close()
			g.ids.Store(10)
			large := frameOf(100_000, "large")
			out := lineRest{out: []lineItem{{kind: itemFrame, bytes: large, id: 9}}}
			in := lineRest{in: linePart{id: 9, kind: itemFrame, total: len(large), data: large[:50_000]}}
			edit(&out, &in)
			g.a.inherit(out)
			g.b.inherit(in)
			g.a.resume(g.b.has())
			next := frameOf(100_000, "next")
			g.push(next, false, laneBulk)
			testkit.Advance(10 * time.Second)
			synctest.Wait()
			if len(g.got) != 1 || g.got[0].item != string(next) {
				t.Errorf("%s: %d items came", name, len(g.got))
			}
		})
	}
}

func TestLineIsBounded(t *testing.T) {
	l := newMeshLine(nil, func(func()) {}, nil, &engine.Counters{}, new(atomic.Uint64), 4<<20)
	item := frameOf(1<<20, "x")
	for range 10 {
		_ = l.push(lineItem{kind: itemFrame, bytes: item, fresh: true}, laneFirst)
	}
	if l.queue.bytes > 4<<20 || l.queue.count.Dropped.Load() == 0 {
		t.Errorf("%d bytes, %d dropped", l.queue.bytes, l.queue.count.Dropped.Load())
	}
	for range 3 {
		testkit.Must(t, l.push(lineItem{kind: itemFrame, bytes: item}, laneBulk)) // what was broadcast makes room
	}
	if err := l.push(lineItem{kind: itemFrame, bytes: item}, laneBulk); !errors.Is(err, transport.ErrQueueFull) ||
		l.queue.lanes[0].fresh+l.queue.lanes[1].fresh != 0 {
		t.Errorf("%v, %d", err, l.queue.lanes[0].fresh)
	}
	testkit.Must(t, l.push(lineItem{kind: itemFrame, bytes: frameOf(lineMost, "x"), fresh: true}, laneFirst))
}

func TestLineMessages(t *testing.T) {
	p := linePiece{id: 7, kind: itemRelay, offset: 60_000, total: 1 << 20, data: []byte("data")}
	if m, err := decodeLine(encodeLinePiece(p)); err != nil || m.kind != linePieceOf ||
		fmt.Sprint(m.piece) != fmt.Sprint(p) {
		t.Errorf("%+v, %v", m, err)
	}
	if m, err := decodeLine(encodeLineAck(1 << 40)); err != nil || m.kind != lineTaken || m.taken != 1<<40 {
		t.Errorf("%+v, %v", m, err)
	}
	if m, err := decodeLine(encodeLineWhole(itemFrame, []byte("frame"))); err != nil ||
		m.whole.kind != itemFrame || string(m.whole.bytes) != "frame" {
		t.Errorf("%+v, %v", m, err)
	}
	relay := relayMessage{
		source: 1, left: 8, targets: []uint64{2, 1<<48 - 1},
		kind: itemFrame, item: []byte("frame"),
	}
	if m, err := decodeRelay(encodeRelay(&relay)); err != nil || fmt.Sprint(m) != fmt.Sprint(relay) {
		t.Errorf("%+v, %v", m, err)
	}
}

func FuzzLine(f *testing.F) {
	f.Add(encodeLinePiece(linePiece{id: 7, kind: itemFrame, total: 8, data: []byte("12345678")}))
	f.Add(encodeLineAck(1 << 40))
	f.Add(encodeLineWhole(itemFrame, []byte("frame")))
	f.Add(encodeRelay(&relayMessage{
		source: 1, left: 8, targets: []uint64{2},
		kind: itemFrame, item: []byte("frame"),
	}))
	f.Fuzz(func(t *testing.T, msg []byte) {
		if m, err := decodeRelay(msg); err == nil && (len(m.targets) > maxMembers || m.left > relayHops) {
			t.Errorf("%+v", m)
		}
		m, err := decodeLine(msg)
		if err != nil || m.kind != linePieceOf {
			return
		}
		var in lineIn
		item, _ := in.take(m.piece)
		if held := cap(in.parts[0].data) + cap(in.parts[1].data) + cap(item); held > 2*len(msg)+64 {
			t.Errorf("%d bytes are held of a message of %d", held, len(msg))
		}
		if m.piece.total > maxItem || m.piece.offset > maxItem {
			t.Errorf("%+v", m.piece)
		}
	})
}

// Pieces make the item that was cut, in whatever sizes; a piece that is missing makes none.
func TestLinePieces(t *testing.T) {
	item := frameOf(1000, "item")
	for _, size := range []int{1, 7, 500, 999, 1000} {
		for missing := -1; missing < 3; missing++ {
			var in lineIn
			var got []byte
			for i, at := 0, 0; at < len(item); i, at = i+1, at+size {
				end := min(at+size, len(item))
				if i == missing {
					continue
				}
				if whole, _ := in.take(linePiece{3, itemFrame, at, len(item), item[at:end]}); whole != nil {
					got = whole
				}
			}
			whole := missing < 0 || missing*size >= len(item)
			if whole != slices.Equal(got, item) || !whole && got != nil {
				t.Errorf("pieces of %d, number %d missing: %d bytes", size, missing, len(got))
			}
		}
	}
}

// The messages between transports stay as they are.
func TestMeshGolden(t *testing.T) {
	relay := relayMessage{
		source: 1, left: 8, targets: []uint64{2, 1<<48 - 1},
		kind: itemFrame, item: []byte("frame"),
	}
	for name, msg := range map[string][]byte{
		"mesh-ready":   encodeReady(7, 1<<16),
		"mesh-refused": encodeRefused("reason"),
		"mesh-closing": encodeClosing(),
		"mesh-gone":    encodeGone(),
		"mesh-noway":   encodeNoWay("host:1", "refused"),
		"mesh-whole":   encodeLineWhole(itemFrame, []byte("frame")),
		"mesh-piece": encodeLinePiece(linePiece{
			id: 7, kind: itemRelay, offset: 60_000, total: 1 << 20, data: []byte("data"),
		}),
		"mesh-taken":   encodeLineAck(1 << 40),
		"mesh-relay":   encodeRelay(&relay),
		"mesh-members": encodeMembers([]memberEntry{{1, 0x1111, "127.0.0.1:7000"}}),
		"mesh-ping":    encodeMeshPing(42),
		"mesh-pong":    encodeMeshPong(42, 43),
	} {
		file := filepath.Join("testdata", "wire", "v1", name+".frame")
		if *updateLines {
			testkit.Must(t, os.WriteFile(file, msg, 0o644))
		}
		golden, err := os.ReadFile(file)
		testkit.Must(t, err)
		if !bytes.Equal(golden, msg) {
			t.Errorf("%s: encoded now:\n%x\ngolden:\n%x", name, msg, golden)
		}
	}
}
