package memberlist

import (
	"bytes"
	"context"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	hashi "github.com/hashicorp/memberlist"
	"pgregory.net/rapid"

	"github.com/iwanbk/bcache/internal/transport/engine"
	"github.com/iwanbk/bcache/transport"
)

func drawHello(t *rapid.T) hello {
	return hello{
		kind: rapid.SampledFrom([]byte{kindLink, kindStream}).Draw(t, "kind"),
		id:   rapid.Uint64Range(1, maxPeerID).Draw(t, "id"), origin: rapid.Uint64Min(1).Draw(t, "origin"),
		clock:   time.UnixMilli(rapid.Int64Range(-1<<50, 1<<50).Draw(t, "clock")),
		cluster: rapid.StringN(0, 60, maxName).Draw(t, "cluster"),
		addr:    rapid.StringMatching("[!-~]{0,80}").Draw(t, "addr"),
	}
}

// What a node says of itself is what the other one hears, and what the proof is about.
func TestHelloRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, proof := drawHello(t), rapid.SliceOfN(rapid.Byte(), 0, proofSize).Draw(t, "proof")
		var said []byte
		b := h.encode(func(b []byte) []byte { said = bytes.Clone(b); return proof })
		if len(b) > maxHello {
			t.Fatalf("it has %d bytes", len(b))
		}
		got, err := decodeHello(b)
		if err != nil || !bytes.Equal(got.said, said) || !bytes.Equal(got.proof, proof) {
			t.Fatalf("%+v, %v", got, err)
		}
		got.said, got.proof = nil, nil
		if !reflect.DeepEqual(got, h) {
			t.Fatalf("%+v was heard as %+v", h, got)
		}
		if id, origin := parseName(h.name()); id != h.id || origin != h.origin {
			t.Fatalf("%s is the name of %x, %x", h.name(), id, origin)
		}
		m := meta{h.id, h.origin, h.addr}
		if b := m.encode(); len(b) > hashi.MetaMaxSize {
			t.Fatalf("metadata of %d bytes", len(b))
		} else if got, err := decodeMeta(b); err != nil || got != m {
			t.Fatalf("%+v was told as %+v, %v", m, got, err)
		}
		for cut := range len(said) {
			if got, err := decodeHello(b[:cut]); err == nil {
				t.Fatalf("%d bytes of %d are %+v", cut, len(b), got)
			}
		}
	})
}

func TestHelloIsMadeOfSense(t *testing.T) {
	for what, h := range map[string]hello{
		"no ID":          {kind: kindLink, origin: 1},
		"a large ID":     {kind: kindLink, id: 1 << 48, origin: 1},
		"no origin":      {kind: kindLink, id: 1},
		"another kind":   {kind: 'x', id: 1, origin: 1},
		"a long cluster": {kind: kindLink, id: 1, origin: 1, cluster: strings.Repeat("x", maxName+1)},
		"a loud address": {kind: kindLink, id: 1, origin: 1, addr: "a\nb:1"},
		"a long address": {kind: kindLink, id: 1, origin: 1, addr: strings.Repeat("x", maxAddr+1)},
	} {
		if got, err := decodeHello(h.encode(func([]byte) []byte { return nil })); err == nil {
			t.Errorf("%s: %+v", what, got)
		}
	}
	for _, name := range []string{"", "1", "-", "1-", "-1", "x-1", "1-x", "1-2-3"} {
		if id, _ := parseName(name); id != 0 {
			t.Errorf("%q is the name of %x", name, id)
		}
	}
}

func helloSeeds(f *testing.F) []byte {
	h := hello{kind: kindLink, id: 5, origin: 6, clock: time.Unix(1, 0), cluster: "test", addr: "[::1]:7946"}
	return h.encode(func([]byte) []byte { return make([]byte, proofSize) })
}

func FuzzHello(f *testing.F) {
	f.Add(helloSeeds(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := decodeHello(b)
		if err == nil && (h.id == 0 || h.id > maxPeerID || len(h.cluster) > maxName || len(h.addr) > maxAddr) {
			t.Fatalf("%+v", h)
		}
		_, _ = decodeMeta(b)
		_, _ = parseName(string(b))
	})
}

// What a stranger says doesn't harm, whatever it is, and ends within what strangers are given.
func FuzzStranger(f *testing.F) {
	hello := message(msgHello, helloSeeds(f))
	f.Add(hello)
	f.Add(append(hello, message(msgWelcome, nil)...))
	f.Add([]byte{0x16, 3, 1, 0, 5})
	n := transport.Node{PeerID: 7, Origin: 8, ClusterName: "test", Now: time.Now, Log: &noted{}}
	f.Fuzz(func(t *testing.T, b []byte) {
		g := &greeter{node: &n, keys: newKeyring(nil), life: newLife(), strangers: &strangers{most: 2}}
		g.room = func(uint64) bool { return true }
		defer g.life.end()
		here, there := net.Pipe()
		g.life.spawn(func() {
			_, _ = there.Write(b)
			_ = there.Close()
		})
		g.life.spawn(func() { // it hears what is said, too
			_, _ = new(bytes.Buffer).ReadFrom(there)
		})
		if s, err := g.accept(context.Background(), here); err == nil && s.peer.cluster != "test" {
			t.Fatalf("%+v is taken", s.peer)
		}
	})
}

// What a neighbour says that has lost its mind ends its link, and no more.
func FuzzNeighbour(f *testing.F) {
	f.Add([]byte{msgPiece, 7, 0, 1})
	f.Add([]byte{msgBye})
	f.Add([]byte{msgProof, 1, 2, 3})
	n := transport.Node{PeerID: 7, Origin: 8, MaxPending: 1 << 20, Now: time.Now, Log: &noted{}}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 || b[0] == msgPacket { // that is memberlist's
			return
		}
		life := newLife()
		defer life.end()
		h := &hub{
			node: &n, life: life, keys: newKeyring(nil), count: &engine.Counters{}, roster: newRoster(1),
			up: &engine.Upcalls{Open: life.open, Log: n.Log, To: &nobody{}},
		}
		l := newLink(&session{}, h)
		_ = l.take(b[0], b[1:])
	})
}

type nobody struct{}

func (nobody) Receive(uint64, []byte)  {}
func (nobody) Joined(uint64, uint64)   {}
func (nobody) Left(uint64)             {}
func (nobody) Moved(uint64, bool)      {}
func (nobody) Arriving(uint64, []byte) {}
