package transporttest

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/transport/memnet"
	"github.com/iwanbk/bcache/transport"
)

// A recorder is a testing.TB that keeps what it is told.
type recorder struct {
	testing.TB
	mu       sync.Mutex
	errs     []string
	skipped  bool
	cleanups []func()
}

func (r *recorder) Helper()             {}
func (r *recorder) Logf(string, ...any) {}
func (r *recorder) Cleanup(f func())    { r.cleanups = append(r.cleanups, f) }
func (r *recorder) FailNow()            { runtime.Goexit() }

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.errs) > 0
}

func (r *recorder) Errorf(format string, v ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errs = append(r.errs, fmt.Sprintf(format, v...))
}

func (r *recorder) Error(v ...any) { r.Errorf("%s", fmt.Sprint(v...)) }

func (r *recorder) Fatalf(format string, v ...any) {
	r.Errorf(format, v...)
	r.FailNow()
}

func (r *recorder) Fatal(v ...any) { r.Fatalf("%s", fmt.Sprint(v...)) }

func (r *recorder) Skipf(string, ...any) {
	r.skipped = true
	r.FailNow()
}

// play runs a check on an engine, and returns what it complains of.
func play(t *testing.T, name string, e Engine) (errs []string) {
	t.Helper()
	i := slices.IndexFunc(checks, func(c check) bool { return c.name == name })
	if i < 0 {
		t.Fatalf("there is no check %s", name)
	}
	r := &recorder{TB: t}
	var wg sync.WaitGroup
	do := func(f func()) {
		wg.Go(f)
		wg.Wait()
	}
	do(func() { checks[i].on(r, e) })
	for _, f := range slices.Backward(r.cleanups) {
		do(f)
	}
	if r.skipped {
		t.Fatal("it was skipped")
	}
	return r.errs
}

// A bent is a transport that does one thing in another way.
type bent struct {
	transport.Transport
	spec Spec

	start      func(transport.Node, transport.Handler) error
	handler    func(transport.Handler) transport.Handler
	expects    func() bool
	send       func(peer uint64, frame []byte, bulk bool) error
	broadcast  func(frame []byte)
	supersede  func(peer uint64)
	disconnect func(peer uint64)
	members    func() []transport.Member
	everybody  func(time.Duration) []transport.Presence
	unreached  func() []transport.DialFailure
	stats      func() transport.Stats
	shut       func() error
}

func newBent(tr transport.Transport, s Spec) *bent {
	return &bent{
		Transport: tr, spec: s, start: tr.Start, expects: tr.Expects, send: tr.Send, broadcast: tr.Broadcast,
		supersede: tr.Supersede, disconnect: tr.Disconnect, members: tr.Members, everybody: tr.Everybody,
		unreached: tr.Unreached, stats: tr.Stats, shut: tr.Close,
		handler: func(h transport.Handler) transport.Handler { return h },
	}
}

func (b *bent) Start(n transport.Node, h transport.Handler) error    { return b.start(n, b.handler(h)) }
func (b *bent) Expects() bool                                        { return b.expects() }
func (b *bent) Send(p uint64, f []byte, bulk bool) error             { return b.send(p, f, bulk) }
func (b *bent) Broadcast(f []byte)                                   { b.broadcast(f) }
func (b *bent) Supersede(p uint64)                                   { b.supersede(p) }
func (b *bent) Disconnect(p uint64)                                  { b.disconnect(p) }
func (b *bent) Members() []transport.Member                          { return b.members() }
func (b *bent) Everybody(d time.Duration) (all []transport.Presence) { return b.everybody(d) }
func (b *bent) Unreached() []transport.DialFailure                   { return b.unreached() }
func (b *bent) Stats() transport.Stats                               { return b.stats() }
func (b *bent) Close() error                                         { return b.shut() }

// A told is a handler that is told something else.
type told struct {
	transport.Handler
	receive func(from uint64, frame []byte)
	joined  func(peer, origin uint64)
	left    func(peer uint64)
}

func (h told) Receive(from uint64, frame []byte) { h.receive(from, frame) }
func (h told) Joined(peer, origin uint64)        { h.joined(peer, origin) }
func (h told) Left(peer uint64)                  { h.left(peer) }

// tells has b's handler be told otherwise.
func (b *bent) tells(edit func(h *told, to transport.Handler)) {
	b.handler = func(to transport.Handler) transport.Handler {
		h := told{Handler: to, receive: to.Receive, joined: to.Joined, left: to.Left}
		edit(&h, to)
		return h
	}
}

// A stage is what the nodes of a sabotage share.
type stage struct {
	t       testing.TB
	net     *memnet.Net
	inCall  atomic.Int32 // nodes that are in Receive
	frozen  atomic.Bool
	lock    chan bool // has room for one
	counter atomic.Int64
}

// A sabotage is something that a transport does wrongly.
type sabotage struct {
	check, name string
	want        string // what the check says
	bend        func(g *stage, b *bent)
}

var sabotages = []sabotage{
	{"Joins", "Joined isn't told", "it is there as 0", func(_ *stage, b *bent) {
		b.tells(func(h *told, _ transport.Handler) { h.joined = func(uint64, uint64) {} })
	}},
	{"Joins", "Joined is told twice", "comes again, without a Left", func(_ *stage, b *bent) {
		b.tells(func(h *told, to transport.Handler) {
			h.joined = func(p, o uint64) { to.Joined(p, o); to.Joined(p, o) }
		})
	}},
	{"Joins", "Left is told without Joined", "comes without a Joined", func(_ *stage, b *bent) {
		b.tells(func(h *told, to transport.Handler) {
			h.joined = func(p, o uint64) { to.Left(p); to.Joined(p, o) }
		})
	}},
	{"Joins", "the origin is another one", "its lives had", func(_ *stage, b *bent) {
		b.tells(func(h *told, to transport.Handler) { h.joined = func(p, o uint64) { to.Joined(p, o^2) } })
	}},
	{"Joins", "the origin is missing", "with origin 0", func(_ *stage, b *bent) {
		b.tells(func(h *told, to transport.Handler) { h.joined = func(p, _ uint64) { to.Joined(p, 0) } })
	}},
	{"Joins", "a node joins itself", "the node's own PeerID", func(_ *stage, b *bent) {
		b.tells(func(h *told, to transport.Handler) {
			h.joined = func(p, o uint64) { to.Joined(p, o); to.Joined(b.spec.PeerID, b.spec.Origin) }
		})
	}},
	{"Joins", "an operator is called", "logs for its operator", func(_ *stage, b *bent) {
		b.tells(func(h *told, to transport.Handler) {
			h.joined = func(p, o uint64) { to.Joined(p, o); b.spec.Log.Errorf(p, "node %x", p) }
		})
	}},
	{"Joins", "a panic", "panic: of the engine", func(_ *stage, b *bent) {
		b.start = func(transport.Node, transport.Handler) error { panic("of the engine") }
	}},
	{"Joins", "a goroutine is left", "1 goroutines are left", func(g *stage, b *bent) {
		if b.spec.PeerID == 1 {
			end := make(chan struct{})
			g.t.Cleanup(func() { close(end) })
			go leak(end)
		}
	}},
	{"Crowd", "the last ones don't find each other", "it is there as 0", func(_ *stage, b *bent) {
		b.tells(func(h *told, to transport.Handler) {
			h.joined = func(p, o uint64) {
				if p+b.spec.PeerID < 14 {
					to.Joined(p, o)
				}
			}
		})
	}},
	{"AfterJoined", "what is sent in Joined is lost", "sent in Joined", func(g *stage, b *bent) {
		b.send = func(p uint64, f []byte, bulk bool) error {
			if g.counter.Add(1)%4 == 0 {
				return nil
			}
			return b.Transport.Send(p, f, bulk)
		}
	}},
	{"AfterJoined", "Joined is told too early", "sent in Joined", func(_ *stage, b *bent) {
		b.tells(func(h *told, to transport.Handler) {
			h.joined = func(p, o uint64) {
				b.send = func(uint64, []byte, bool) error { return transport.ErrUnknownPeer }
				to.Joined(p, o)
				b.send = b.Transport.Send
			}
		})
	}},
	{"AfterJoined", "Left is told in the middle of Joined", "while another Joined or Left",
		func(_ *stage, b *bent) {
			b.tells(func(_ *told, to transport.Handler) {
				b.send = func(p uint64, f []byte, bulk bool) error {
					to.Left(p)
					return b.Transport.Send(p, f, bulk)
				}
			})
		}},
	{"DirectMember", "it doesn't get what is broadcast", "listed as direct", func(_ *stage, b *bent) {
		b.broadcast = func([]byte) {}
	}},
	{"Members", "they aren't sorted", "Members lists", func(_ *stage, b *bent) {
		b.members = func() []transport.Member {
			ms := b.Transport.Members()
			slices.Reverse(ms)
			return ms
		}
	}},
	{"Members", "they are never direct", "isn't direct", func(_ *stage, b *bent) {
		b.members = func() []transport.Member {
			ms := b.Transport.Members()
			for i := range ms {
				ms[i].Direct = false
			}
			return ms
		}
	}},
	{"Members", "the node itself is one", "Members lists", func(_ *stage, b *bent) {
		b.members = func() []transport.Member {
			self := transport.Member{ID: b.spec.PeerID, Direct: true, Since: time.Now()}
			return append([]transport.Member{self}, b.Transport.Members()...)
		}
	}},
	{"Members", "they are there since ever", "Since of a Presence", func(_ *stage, b *bent) {
		b.bendEverybody(func(p *transport.Presence) { p.Since = time.Time{} })
	}},
	{"Members", "their lives aren't known", "is there: ", func(_ *stage, b *bent) {
		b.bendEverybody(func(p *transport.Presence) { p.Origin = 0 })
	}},
	{"Restart", "Left isn't told", "comes again, without a Left", func(_ *stage, b *bent) {
		b.tells(func(h *told, _ transport.Handler) { h.left = func(uint64) {} })
	}},
	{"Churn", "an old life is told of again", "it is there as", func(_ *stage, b *bent) {
		lives := map[uint64]uint64{}
		b.tells(func(h *told, to transport.Handler) {
			h.joined = func(p, o uint64) {
				if lives[p] == 0 {
					lives[p] = o
				}
				to.Joined(p, lives[p])
			}
		})
	}},
	{"CrossedDials", "one of two connections isn't counted", "comes again, without a Left",
		func(_ *stage, b *bent) {
			b.tells(func(h *told, to transport.Handler) {
				h.joined = func(p, o uint64) { to.Joined(p, o); to.Joined(p, o); to.Left(p) }
			})
		}},
	{"Clusters", "names are ignored", "there is no such node in the cluster", func(_ *stage, b *bent) {
		b.start = func(n transport.Node, h transport.Handler) error {
			n.ClusterName = ""
			return b.Transport.Start(n, h)
		}
	}},
	{"Clusters", "names are taken as lower case", "there is no such node in the cluster",
		func(_ *stage, b *bent) {
			b.start = func(n transport.Node, h transport.Handler) error {
				n.ClusterName = strings.ToLower(n.ClusterName)
				return b.Transport.Start(n, h)
			}
		}},
	{"Clusters", "strangers are refused silently", "nobody is", func(_ *stage, b *bent) {}},
	{"SameIDs", "IDs are known without their cluster", "it is there as 0", func(_ *stage, b *bent) {}},
	{"Unreached", "nothing is listed", "listed are []", func(_ *stage, b *bent) {}},
	{"Unreached", "what is reached is listed", "listed are [", func(g *stage, b *bent) {
		b.unreached = func() []transport.DialFailure {
			var fs []transport.DialFailure
			for _, addr := range b.spec.Peers {
				err := errors.New("of the engine")
				fs = append(fs, transport.DialFailure{Addr: addr, Configured: true, Err: err})
			}
			return fs
		}
	}},
	{"Strangers", "a stranger keeps others from joining", "it is there as 0", func(g *stage, b *bent) {
		b.tells(func(h *told, to transport.Handler) {
			h.joined = func(p, o uint64) {
				if g.counter.Load() == 0 {
					to.Joined(p, o)
				}
			}
		})
	}},

	{"Strangers", "who says nothing may stay", "is still connected", func(_ *stage, b *bent) {}},
	{"Members", "Since is another one each time", "nothing has happened", func(g *stage, b *bent) {
		b.bendEverybody(func(p *transport.Presence) {
			p.Since = time.Now().Add(-time.Duration(g.counter.Add(1)))
		})
	}},
	{"Kill", "another life is there since the same time", "since the same time", func(_ *stage, b *bent) {
		begin := time.Now()
		b.bendEverybody(func(p *transport.Presence) { p.Since = begin })
	}},
	{"Frames", "a byte is altered", "was altered", func(_ *stage, b *bent) {
		b.tells(func(h *told, to transport.Handler) {
			h.receive = func(from uint64, f []byte) {
				f = slices.Clone(f)
				if len(f) > 4000 {
					f[3999] ^= 1
				}
				to.Receive(from, f)
			}
		})
	}},
	{"Frames", "a byte of the shared frame is altered", "isn't what it was", func(_ *stage, b *bent) {
		b.send = func(p uint64, f []byte, bulk bool) error {
			err := b.Transport.Send(p, slices.Clone(f), bulk)
			f[len(f)-1]++
			return err
		}
	}},
	{"Frames", "the last byte is missing", "15 bytes that nobody has sent", func(_ *stage, b *bent) {
		b.tells(func(h *told, to transport.Handler) {
			h.receive = func(from uint64, f []byte) { to.Receive(from, f[:max(1, len(f)-2)]) }
		})
	}},
	{"Frames", "two frames come as one", "comes with 34 bytes", func(_ *stage, b *bent) {
		b.tells(func(h *told, to transport.Handler) {
			h.receive = func(from uint64, f []byte) { to.Receive(from, append(slices.Clone(f), f...)) }
		})
	}},
	{"Frames", "pieces come as frames", "that nobody has sent", func(_ *stage, b *bent) {
		b.tells(func(h *told, to transport.Handler) {
			h.receive = func(from uint64, f []byte) {
				for piece := range slices.Chunk(f, 60<<10) {
					to.Receive(from, piece)
				}
			}
		})
	}},
	{"Frames", "frames of the greatest size are lost", "doesn't arrive", func(_ *stage, b *bent) {
		b.broadcast = func(f []byte) {
			if len(f) < transport.MaxFrame {
				b.Transport.Broadcast(f)
			}
		}
	}},
	{"Frames", "a frame is said to be of another node", "the node's own PeerID", func(_ *stage, b *bent) {
		b.tells(func(h *told, to transport.Handler) {
			h.receive = func(from uint64, f []byte) { to.Receive(from+1, f) }
		})
	}},
	{"Loss", "one in twenty is lost", "have arrived", func(g *stage, b *bent) {
		b.send = func(p uint64, f []byte, bulk bool) error {
			if g.counter.Add(1)%20 == 0 {
				return nil
			}
			return b.Transport.Send(p, f, bulk)
		}
	}},
	{"UnknownPeer", "it is no error", "the error is <nil>", func(_ *stage, b *bent) {
		b.send = func(uint64, []byte, bool) error { return nil }
	}},
	{"Supersede", "what comes later is dropped", "doesn't arrive", func(_ *stage, b *bent) {
		b.supersede = func(uint64) { b.broadcast = func([]byte) {} }
	}},
	{"FromHandler", "the handler is called with a lock", "doesn't return|it is there as 0|doesn't arrive",
		func(g *stage, b *bent) {
			over := make(chan struct{})
			g.t.Cleanup(func() { close(over) })
			locked := func(f func()) {
				select {
				case g.lock <- true:
					defer func() { <-g.lock }()
					f()
				case <-over:
				}
			}
			b.broadcast = func(f []byte) { locked(func() { b.Transport.Broadcast(f) }) }
			b.tells(func(h *told, to transport.Handler) {
				h.receive = func(from uint64, f []byte) { locked(func() { to.Receive(from, f) }) }
			})
		}},
	{"Stats", "nothing is counted", "FramesOut and BytesOut grew by 0", func(_ *stage, b *bent) {
		b.stats = func() transport.Stats { return transport.Stats{} }
	}},
	{"Stats", "what comes isn't counted", "FramesIn and BytesIn grew by 0", func(_ *stage, b *bent) {
		b.stats = func() transport.Stats {
			s := b.Transport.Stats()
			s.FramesIn = 0
			return s
		}
	}},

	{"Blocked", "Send waits for the peer", "doesn't return", func(g *stage, b *bent) {
		b.waitsForOthers(g)
		b.send = func(p uint64, f []byte, bulk bool) error {
			g.awaitCalls()
			return b.Transport.Send(p, f, bulk)
		}
	}},
	{"Blocked", "what is broadcast waits for all peers", "doesn't arrive", func(g *stage, b *bent) {
		b.waitsForOthers(g)
		b.broadcast = func(f []byte) {
			if g.inCall.Load() == 0 {
				b.Transport.Broadcast(f)
			}
		}
	}},
	{"Queue", "MaxPending is ignored", "that were sent to a node that is stuck", func(_ *stage, b *bent) {
		b.start = func(n transport.Node, h transport.Handler) error {
			n.MaxPending = 0
			return b.Transport.Start(n, h)
		}
	}},
	{"Queue", "all that is broadcast is kept", "that were sent or broadcast", func(_ *stage, b *bent) {
		var kept [][]byte
		b.broadcast = func(f []byte) {
			kept = append(kept, f)
			b.Transport.Broadcast(f)
		}
	}},
	{"Queue", "what is dropped isn't counted", "DroppedFrames is 0", func(_ *stage, b *bent) {
		b.stats = func() transport.Stats { return transport.Stats{} }
	}},
	{"BulkIsPassed", "nothing passes bulk", "a small frame comes behind", func(_ *stage, b *bent) {}},
	{"BulkIsPassed", "bulk is reordered", "bulk comes out of order", func(_ *stage, b *bent) {
		var before []byte
		b.send = func(p uint64, f []byte, bulk bool) error {
			if before == nil {
				before = f
				return nil
			}
			err := errors.Join(b.Transport.Send(p, f, bulk), b.Transport.Send(p, before, bulk))
			before = nil
			return err
		}
	}},
	{"Disconnect", "nothing happens", "Left follows Disconnect", func(_ *stage, b *bent) {
		b.disconnect = func(uint64) {}
	}},
	{"Disconnect", "all are disconnected", "which nobody has disconnected", func(_ *stage, b *bent) {
		b.disconnect = func(uint64) {
			for _, m := range b.Transport.Members() {
				b.Transport.Disconnect(m.ID)
			}
		}
	}},
	{"Disconnect", "who is disconnected is forgotten", "neither there nor gone", func(_ *stage, b *bent) {
		b.everybody = func(d time.Duration) []transport.Presence {
			return slices.DeleteFunc(b.Transport.Everybody(d), func(p transport.Presence) bool { return p.Gone })
		}
	}},
	{"DisconnectStuck", "Disconnect waits for the peer", "doesn't return", func(g *stage, b *bent) {
		b.waitsForOthers(g)
		b.disconnect = func(p uint64) {
			g.awaitCalls()
			b.Transport.Disconnect(p)
		}
	}},
	{"DisconnectStuck", "a stuck peer is kept", "Left follows Disconnect", func(g *stage, b *bent) {
		b.waitsForOthers(g)
		b.disconnect = func(p uint64) {
			if g.inCall.Load() == 0 {
				b.Transport.Disconnect(p)
			}
		}
	}},
	{"Freeze", "others wait", "doesn't arrive", func(g *stage, b *bent) {
		b.broadcast = func(f []byte) {
			if !g.frozen.Load() {
				b.Transport.Broadcast(f)
			}
		}
	}},
	{"Freeze", "who is frozen is kept", "Left follows Disconnect", func(g *stage, b *bent) {
		b.disconnect = func(uint64) {}
	}},

	{"Goodbye", "there is none", "it is in Everybody", func(g *stage, b *bent) {
		b.shut = func() error {
			g.net.Kill(b.spec.PeerID)
			return b.Transport.Close()
		}
	}},
	{"Farewell", "what waits is lost", "right before Close", func(g *stage, b *bent) {
		b.send = func(uint64, []byte, bool) error { return nil }
	}},
	{"Kill", "Left isn't told", "was told", func(_ *stage, b *bent) {
		b.tells(func(h *told, _ transport.Handler) { h.left = func(uint64) {} })
	}},
	{"Kill", "who is gone is forgotten", "neither there nor gone", func(_ *stage, b *bent) {
		b.everybody = func(d time.Duration) []transport.Presence {
			return slices.DeleteFunc(b.Transport.Everybody(d), func(p transport.Presence) bool { return p.Gone })
		}
	}},
	{"Kill", "who is gone is remembered for ever", "Everybody(0)", func(_ *stage, b *bent) {
		b.everybody = func(time.Duration) []transport.Presence { return b.Transport.Everybody(time.Hour) }
	}},
	{"KillRestart", "the life is that of before", "it is there as", func(_ *stage, b *bent) {
		lives := map[uint64]uint64{}
		b.tells(func(h *told, to transport.Handler) {
			h.joined = func(p, o uint64) {
				if lives[p] == 0 {
					lives[p] = o
				}
				to.Joined(p, lives[p])
			}
		})
	}},

	{"BeforeStart", "a panic", "panic: of the engine", func(_ *stage, b *bent) {
		b.send = func(uint64, []byte, bool) error { panic("of the engine") }
		b.start = func(n transport.Node, h transport.Handler) error {
			b.send = b.Transport.Send
			return b.Transport.Start(n, h)
		}
	}},
	{"BeforeStart", "it hangs", "doesn't return", func(_ *stage, b *bent) {
		begun := make(chan struct{})
		b.members = func() []transport.Member { <-begun; return b.Transport.Members() }
		b.shut = func() error { close(begun); return b.Transport.Close() }
	}},
	{"BeforeStart", "others aren't expected", "Expects is false", func(_ *stage, b *bent) {
		b.expects = func() bool { return false }
	}},
	{"BeforeStart", "what is sent is taken", "sending to nobody is no error", func(_ *stage, b *bent) {
		b.send = func(uint64, []byte, bool) error { return nil }
	}},
	{"AfterClose", "it begins again", "Start after Close returns no error", func(_ *stage, b *bent) {
		b.start = func(n transport.Node, h transport.Handler) error { _ = b.Transport.Start(n, h); return nil }
	}},
	{"AfterClose", "the second Close panics", "panic: of the engine", func(_ *stage, b *bent) {
		b.closesOnce(func() error { panic("of the engine") })
	}},
	{"AfterClose", "the second Close is an error", "Close after Close: of the engine",
		func(_ *stage, b *bent) {
			b.closesOnce(func() error { return errors.New("of the engine") })
		}},
	{"AfterClose", "the handler is called", "after Close has returned", func(_ *stage, b *bent) {
		b.tells(func(h *told, to transport.Handler) {
			b.shut = func() error {
				err := b.Transport.Close()
				go to.Left(99)
				return err
			}
		})
	}},
	{"Start", "it may be called twice", "the second Start returns no error", func(_ *stage, b *bent) {
		b.start = func(n transport.Node, h transport.Handler) error { _ = b.Transport.Start(n, h); return nil }
	}},
	{"PortInUse", "two nodes listen at one address", "where another node listens",
		func(_ *stage, b *bent) {}},
	{"CloseInCall", "Close doesn't wait", "in the middle of 1 calls", func(_ *stage, b *bent) {
		b.shut = func() error {
			go b.Transport.Close()
			return nil
		}
	}},
	{"CloseMeanwhile", "the second Close returns early", "after Close has returned|in the middle of",
		func(_ *stage, b *bent) {
			var once atomic.Bool
			b.tells(func(h *told, to transport.Handler) {
				h.receive = func(from uint64, f []byte) {
					to.Receive(from, f)
					if once.Load() {
						to.Receive(from, f)
					}
				}
			})
			b.shut = func() error {
				if once.Swap(true) {
					return nil
				}
				time.Sleep(10 * time.Millisecond)
				return b.Transport.Close()
			}
		}},
}

func leak(end <-chan struct{}) { <-end }

const sabotageLeak = "github.com/iwanbk/bcache/transport/transporttest.leak"

// bendEverybody alters what Everybody lists.
func (b *bent) bendEverybody(edit func(*transport.Presence)) {
	b.everybody = func(d time.Duration) []transport.Presence {
		all := b.Transport.Everybody(d)
		for i := range all {
			edit(&all[i])
		}
		return all
	}
}

// closesOnce has all calls of Close but the first one do something else.
func (b *bent) closesOnce(f func() error) {
	var once atomic.Bool
	b.shut = func() error {
		if once.Swap(true) {
			return f()
		}
		return b.Transport.Close()
	}
}

// waitsForOthers notes when the node is in Receive.
func (b *bent) waitsForOthers(g *stage) {
	b.tells(func(h *told, to transport.Handler) {
		h.receive = func(from uint64, f []byte) {
			g.inCall.Add(1)
			defer g.inCall.Add(-1)
			to.Receive(from, f)
		}
	})
}

// awaitCalls waits until no node is in Receive.
func (g *stage) awaitCalls() {
	for g.inCall.Load() > 0 {
		time.Sleep(time.Millisecond)
	}
}

// on runs the check on nodes that do it.
func (x sabotage) on(t *testing.T, e Engine) []string {
	g := &stage{t: t, net: memnet.New(), lock: make(chan bool, 1)}
	var addrs atomic.Int64
	e.Network = func(testing.TB) Network {
		return Network{
			New: func(s Spec) (transport.Transport, error) {
				b := newBent(g.net.Transport(s.PeerID, s.Origin), s)
				x.bend(g, b)
				return b, nil
			},
			FreeAddr: func() string { return fmt.Sprint("mem", addrs.Add(1)) },
			Kill:     func(tr transport.Transport) { g.net.Kill(tr.(*bent).spec.PeerID) },
			Freeze: func(tr transport.Transport) func() {
				g.frozen.Store(true)
				release := g.net.Hold(tr.(*bent).spec.PeerID)
				return func() { g.frozen.Store(false); release() }
			},
			Dial: func(transport.Transport) (net.Conn, error) {
				g.counter.Add(1)
				ours, theirs := net.Pipe()
				t.Cleanup(func() { theirs.Close() })
				return ours, nil
			},
		}
	}
	e.Within = 6 * time.Second
	e.Buffers = 8 << 20
	e.StrangersWithin = time.Second
	return play(t, x.check, e)
}

// The kit notices whatever a transport does wrongly.
func TestSabotage(t *testing.T) {
	seen := map[string]bool{}
	for _, x := range sabotages {
		seen[x.check] = true
		t.Run(x.check+"/"+x.name, func(t *testing.T) {
			var errs string
			synctest.Test(t, func(t *testing.T) {
				errs = strings.Join(x.on(t, Engine{Packages: []string{sabotageLeak}}), "\n")
				testkit.Advance(time.Second) // what was held up ends
			})
			for want := range strings.SplitSeq(x.want, "|") {
				if strings.Contains(errs, want) {
					return
				}
			}
			t.Errorf("want %q, got %.2000q", x.want, errs)
		})
	}
	for _, c := range checks {
		if !seen[c.name] {
			t.Errorf("nothing shows that %s can fail", c.name)
		}
	}
}

// What is on its way for a moment isn't kept: as in a server that runs in the same process.
func TestQueuePasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := sabotage{"Queue", "what is broadcast takes a second", "", func(_ *stage, b *bent) {
			var mu sync.Mutex
			var under [][]byte
			b.broadcast = func(f []byte) {
				b.Transport.Broadcast(f)
				mu.Lock()
				defer mu.Unlock()
				i := len(under)
				under = append(under, f)
				time.AfterFunc(time.Second, func() {
					mu.Lock()
					defer mu.Unlock()
					under[i] = nil
				})
			}
		}}
		if errs := x.on(t, Engine{}); len(errs) > 0 {
			t.Errorf("Queue complains: %q", errs)
		}
	})
}
