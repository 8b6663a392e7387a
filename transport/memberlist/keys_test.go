package memberlist

import (
	"bytes"
	"encoding/binary"
	"errors"
	"sync"
	"testing"

	"github.com/iwanbk/bcache/internal/testkit"
)

var key1, key2 = bytes.Repeat([]byte{1}, 16), bytes.Repeat([]byte{2}, 32)

func keyed(int) Config { return Config{Keys: [][]byte{key1}} }

func TestKeyring(t *testing.T) {
	own := bytes.Clone(key1)
	k := newKeyring([][]byte{own, own})
	own[0] = 9
	if all := k.all(); len(all) != 1 || !bytes.Equal(all[0], key1) {
		t.Fatalf("the ring has %v", all)
	}
	if err := k.use(key2); !errors.Is(err, errNoKey) {
		t.Errorf("a key is used that isn't there: %v", err)
	}
	if err := k.remove(key1); !errors.Is(err, errKeyUsed) {
		t.Errorf("the key in use is removed: %v", err)
	}
	before := k.all()
	k.insert(1, key2)
	testkit.Must(t, k.use(key2))
	testkit.Must(t, k.remove(key1))
	testkit.Must(t, k.remove(key1))
	if all := k.all(); len(all) != 1 || !bytes.Equal(all[0], key2) {
		t.Errorf("the ring has %v", all)
	}
	if !bytes.Equal(before[0], key1) {
		t.Error("what was read of the ring changes")
	}
}

// A proof is worth something on its own connection, from its own side, about what was said, and with the
// key.
func TestProof(t *testing.T) {
	k := newKeyring([][]byte{key1})
	here, there := channel{[]byte("a"), 'c', 's'}, channel{[]byte("a"), 's', 'c'}
	proof := k.prove(here, []byte("hello"))
	if got := k.check(there, []byte("hello"), proof); !bytes.Equal(got, key1) {
		t.Error("a proof isn't accepted")
	}
	for what, got := range map[string][]byte{
		"its own side":       k.check(here, []byte("hello"), proof),
		"another connection": k.check(channel{[]byte("b"), 's', 'c'}, []byte("hello"), proof),
		"another text":       k.check(there, []byte("hallo"), proof),
		"another key":        newKeyring([][]byte{key2}).check(there, []byte("hello"), proof),
		"no proof":           k.check(there, []byte("hello"), nil),
	} {
		if got != nil {
			t.Errorf("a proof is accepted for %s", what)
		}
	}
}

// The key of a cluster is replaced under load: nothing is lost, and no connection ends.
func TestRotationLosesNothing(t *testing.T) {
	all := together(t, 3, keyed)
	const frames = 3000
	var wg sync.WaitGroup
	half := make(chan struct{})
	for _, p := range all {
		wg.Go(func() {
			for i := range uint64(frames) {
				for _, m := range all { // sent, not broadcast: that is dropped when it has waited for long
					if m != p {
						if err := p.Send(m.id, binary.AppendUvarint([]byte("frame "), i), false); err != nil {
							t.Error(err)
						}
					}
				}
				if i == frames/2 && p == all[0] {
					close(half)
				}
			}
		})
	}
	<-half
	for _, step := range []func(*place) error{
		func(p *place) error { return p.AddKey(key2) },
		func(p *place) error { return p.UseKey(key2) },
	} {
		for _, p := range all {
			testkit.Must(t, step(p))
		}
	}
	until(t, "all have proved themselves with the new key", func() bool {
		for _, p := range all {
			for _, l := range p.roster.all() {
				if !l.proved(key2) {
					return false
				}
			}
		}
		return true
	})
	for _, p := range all {
		testkit.Must(t, p.RemoveKey(key1))
	}
	wg.Wait()
	for _, p := range all {
		until(t, "all frames", func() bool { return p.NumFrames() == 2*frames })
		if n := p.Count("-"); n > 0 || p.Stats().DroppedFrames > 0 {
			t.Errorf("node %d: %d have left, %+v", p.id, n, p.Stats())
		}
	}
	late := start(t, 9, Config{Keys: [][]byte{key2}, Join: []string{all[0].Addr()}})
	until(t, "a node with the new key joins", func() bool { return full(append(all, late)) })
}

// A node that keeps to a key that is gone is cut.
func TestRemovedKeyCuts(t *testing.T) {
	all := together(t, 2, keyed)
	testkit.Must(t, all[0].AddKey(key2))
	testkit.Must(t, all[0].UseKey(key2))
	until(t, "the other node complains", func() bool {
		return all[1].log.has("E ", "proves itself with a key that this node doesn't have")
	})
	testkit.Must(t, all[0].RemoveKey(key1))
	until(t, "it is cut", func() bool { return all[0].Count("-") == 1 })
	until(t, "it is refused", func() bool { return len(all[0].Members()) == 0 && all[0].Stats().RefusedOther > 0 })
	testkit.Must(t, all[1].AddKey(key2))
	testkit.Must(t, all[1].UseKey(key2))
	until(t, "it is back", func() bool { return full(all) })
}

// halfway has node 1 dial node 5, which both know key1 and key2, up to where node 5 awaits the last word.
func halfway(t *testing.T, first, second []byte) (host, peer *place, s *session) {
	t.Helper()
	host = start(t, 5, Config{Keys: [][]byte{key1, key2}})
	peer = start(t, 1, Config{Keys: [][]byte{first, second}})
	s, err := peer.run.Load().greeter.dial(t.Context(), host.Addr(), kindLink)
	testkit.Must(t, err)
	return host, peer, s
}

// A key that is removed during a handshake makes no link.
func TestKeyRemovedDuringHandshake(t *testing.T) {
	host, thief, s := halfway(t, key2, key1)
	testkit.Must(t, host.RemoveKey(key2))
	testkit.Must(t, thief.run.Load().hub.welcome(s))
	defer thief.life.letGo(s.raw)
	until(t, "the handshake ends", func() bool { return host.Count("+") == 1 })
	if l := host.roster.link(1); l != nil && l.ended() != errKeyGone {
		t.Fatalf("there is a link with a key that is gone: %v", l.ended())
	}
	until(t, "it has left", func() bool { return host.Count("-") == 1 })
}

// A key that is put in use during a handshake is proved once there is a link.
func TestKeyUsedDuringHandshake(t *testing.T) {
	host, peer, s := halfway(t, key1, key2)
	for _, p := range []*place{host, peer} {
		testkit.Must(t, p.UseKey(key2))
	}
	testkit.Must(t, peer.run.Load().hub.settle(s))
	until(t, "both have proved themselves with it", func() bool {
		there, here := host.roster.link(1), peer.roster.link(5)
		return there != nil && there.proved(key2) && here != nil && here.proved(key2)
	})
	for _, p := range []*place{host, peer} {
		testkit.Must(t, p.RemoveKey(key1))
		if n := p.Count("-"); n > 0 {
			t.Errorf("node %d: %d have left", p.id, n)
		}
	}
}

// However often another key is used, and however much else waits, the proof that leaves is of the last one.
func TestLastKeyIsProved(t *testing.T) {
	_, link := rosterRig(t)
	l := link(5, 50)
	l.channel = channel{[]byte("a"), 'c', 's'}
	l.hub.keys = newKeyring([][]byte{key1, key2})
	tr := &Transport{keys: l.hub.keys, roster: l.hub.roster}
	testkit.Must(t, tr.roster.add(l, nil))
	for len(l.write.controls)*packetSize < maxControls-packetSize {
		l.control(msgPacket, make([]byte, packetSize))
	}
	l.control(msgPacket, make([]byte, maxControls-l.write.waits-headSize))
	for _, key := range [][]byte{key2, key1, key2} {
		testkit.Must(t, tr.UseKey(key))
	}
	proof := message(msgProof, l.hub.keys.prove(l.channel, nil))
	var left []byte
	for b, _ := l.batch(nil); len(b) > 0; b, _ = l.batch(nil) {
		left = append(left, b...)
	}
	if n := bytes.Count(left, proof); n != 1 || len(left) != maxControls+len(proof) {
		t.Errorf("%d proofs of the last key have left, and %d bytes", n, len(left))
	}
}

// A key that is removed while a proof of it comes ends the link: one of the two that look at it sees the other.
func TestProofOfAKeyThatGoes(t *testing.T) {
	_, link := rosterRig(t)
	l := link(5, 50)
	l.channel = channel{[]byte("a"), 'c', 's'}
	proof := channel{[]byte("a"), 's', 'c'}.prove(key2, nil)
	for i := range 2000 {
		l.key, l.hub.keys = key1, newKeyring([][]byte{key1, key2})
		begin, told := make(chan struct{}), make(chan error)
		go func() {
			<-begin
			told <- l.provedBy(proof)
		}()
		close(begin)
		for range i % 200 { // sooner and later
			l.proved(key2)
		}
		testkit.Must(t, l.hub.keys.remove(key2))
		if cut, err := l.proved(key2), <-told; l.proved(key2) && !cut && err != errKeyGone {
			t.Fatalf("it has proved itself with a key that is gone: %v", err)
		}
	}
}

func TestKeysOfAnOpenNode(t *testing.T) {
	p := start(t, 1, Config{})
	if err := p.AddKey(key1); !errors.Is(err, errNoKeys) {
		t.Errorf("an open node takes a key: %v", err)
	}
	if err := start(t, 2, keyed(0)).AddKey([]byte("short")); !errors.Is(err, errKeySize) {
		t.Errorf("a short key: %v", err)
	}
}
