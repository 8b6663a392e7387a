package bcache

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func meshBatchText(b *frameBatch) string { return fmt.Sprintf("%s %d", b.frames, b.size) }

// Merge is pure, and merging concatenates, however the batches are combined.
func TestMeshMergePure(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		count := &meshCounters{}
		var all []*frameBatch
		var want []string
		for i := range rapid.IntRange(1, 4).Draw(t, "singles") {
			all = append(all, newFrameBatch(count, []byte{byte('a' + i)}, true))
			want = append(want, meshBatchText(all[i]))
		}
		for range rapid.IntRange(0, 30).Draw(t, "merges") {
			b := rapid.SampledFrom(all).Draw(t, "b")
			o := rapid.SampledFrom(all).Draw(t, "o")
			if len(b.frames)+len(o.frames) > 1000 {
				continue
			}
			m := b.Merge(o).(*frameBatch)
			all = append(all, m)
			want = append(want, fmt.Sprintf("%s %d", slices.Concat(b.frames, o.frames), b.size+o.size))
		}
		for i, b := range all {
			if got := meshBatchText(b); got != want[i] {
				t.Fatalf("batch %d: %s, not %s", i, got, want[i])
			}
		}
	})
}

func TestMeshMergeBound(t *testing.T) {
	count := &meshCounters{}
	frame := make([]byte, 1<<20)
	b := newFrameBatch(count, frame, true)
	const most = meshMaxPending >> 20
	for range most + 4 {
		b = b.Merge(newFrameBatch(count, frame, true)).(*frameBatch)
	}
	if b.size != meshMaxPending || len(b.frames) != most || count.dropped.Load() != 5 {
		t.Errorf("%d bytes, %d frames, %d dropped", b.size, len(b.frames), count.dropped.Load())
	}
}

func TestMeshMergeBacklog(t *testing.T) {
	count := &meshCounters{}
	const n = 100_000
	one := newFrameBatch(count, []byte("x"), true)
	begin := time.Now()
	b := one
	for range n {
		b = b.Merge(one).(*frameBatch)
	}
	if d := time.Since(begin); d > 2*time.Second || len(b.frames) != n+1 {
		t.Errorf("%d frames took %v", len(b.frames), d)
	}
}

// A peer that reads nothing fills its queue, and nothing else.
func TestMeshQueueFull(t *testing.T) {
	meshLeaks(t)
	a := meshStart(t, 0xa, nil)
	b := meshStart(t, 0xb, meshPeers(a.Addr()))
	meshLinked(t, a, b)
	block := make(chan struct{})
	b.h.mu.Lock()
	b.h.on = func(uint64, []byte) { <-block }
	b.h.mu.Unlock()
	frame := make([]byte, 1<<20)
	var err error
	for range 200 {
		if err = a.Send(0xb, frame); err != nil {
			break
		}
	}
	if !errors.Is(err, errQueueFull) || a.Stats().droppedFrames == 0 {
		t.Errorf("Send: %v, %+v", err, a.Stats())
	}
	close(block)
	meshTalk(t, "after that", a, b)
	meshWait(t, "the queue is gone", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return len(a.queues) == 0
	})
	meshCloseAll(t, a, b)
}

func TestMeshMessages(t *testing.T) {
	entries := []memberEntry{{1, 0x1111, "127.0.0.1:7000"}, {1<<48 - 1, 1<<64 - 1, "[2001:db8::1]:65535"}, {7, 0, "node-1.example.org:1"}}
	m, err := decodeMembers(encodeMembers(entries))
	if err != nil || !slices.Equal(m.entries, entries) || m.kind != membersAddrs {
		t.Errorf("%+v, %v", m, err)
	}
	if m, err := decodeMembers(encodeMeshPing(42)); err != nil || m.kind != membersPing || m.nonce != 42 {
		t.Errorf("%+v, %v", m, err)
	}
	if m, err := decodeMembers(encodeMeshPong(42, 43)); err != nil || m.kind != membersPong || m.nonce != 42 || m.origin != 43 {
		t.Errorf("%+v, %v", m, err)
	}
	if kind, _, err := decodeControl(encodeReady()); err != nil || kind != controlReady {
		t.Error(kind, err)
	}
	if kind, _, err := decodeControl(encodeClosing()); err != nil || kind != controlClosing {
		t.Errorf("closing: %d, %v", kind, err)
	}
	m, err = decodeMembers(encodeNoWay("host:1", "no\x1b[31m"+strings.Repeat("x", 2*maxReason)))
	if err != nil || m.kind != membersNoWay || m.addr != "host:1" || !strings.HasPrefix(m.why, "no?[31m") || len(m.why) > maxReason {
		t.Errorf("no way: %+v, %v", m, err)
	}
	if kind, reason, err := decodeControl(encodeRefused("no\x1b[31m\n")); err != nil || kind != controlRefused || reason != "no?[31m?" {
		t.Error(kind, reason, err)
	}
	useless := []memberEntry{{0, 1, "h:1"}, {1 << 48, 1, "h:1"}, {1, 1, ""}, {1, 1, ":7000"}, {1, 1, "h:0"}, {1, 1, "h:http"}, {1, 1, "h\n:1"}}
	if m, err := decodeMembers(encodeMembers(useless)); err != nil || len(m.entries) != 0 {
		t.Errorf("%+v, %v", m, err)
	}
	for _, bad := range [][]byte{nil, {wireVersion}, {wireVersion + 1, 1}, {wireVersion, membersAddrs, 0x0a, 0xff}, {wireVersion, membersAddrs, 0x80}} {
		if _, err := decodeMembers(bad); err == nil {
			t.Errorf("%x decodes", bad)
		}
	}
}

func FuzzMeshMessages(f *testing.F) {
	f.Add(encodeMembers([]memberEntry{{1, 0x1111, "127.0.0.1:7000"}}))
	f.Add(encodeMeshPing(42))
	f.Add(encodeMeshPong(42, 43))
	f.Add(encodeRefused("reason"))
	f.Add(encodeClosing())
	f.Add(encodeNoWay("host:1", "refused"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		if _, reason, err := decodeControl(msg); err == nil && len(reason) > 3*maxReason {
			t.Error("long reason")
		}
		m, err := decodeMembers(msg)
		if err != nil {
			return
		}
		if len(m.entries) > maxMembers || len(m.entries) > len(msg) {
			t.Errorf("%d entries", len(m.entries))
		}
		if m.kind == membersAddrs {
			again, err := decodeMembers(encodeMembers(m.entries))
			if err != nil || !slices.Equal(again.entries, m.entries) {
				t.Errorf("%+v becomes %+v, %v", m.entries, again.entries, err)
			}
		}
	})
}

func TestMeshAddresses(t *testing.T) {
	seen := netip.MustParseAddr("::ffff:192.0.2.7")
	for in, want := range map[string]string{
		":7000":              "192.0.2.7:7000",
		"0.0.0.0:7000":       "192.0.2.7:7000",
		"[::]:7000":          "192.0.2.7:7000",
		"10.0.0.1:7000":      "10.0.0.1:7000",
		"node.example:7000":  "node.example:7000",
		"[2001:db8::1]:7000": "[2001:db8::1]:7000",
		"":                   "",
		"7000":               "",
		"node:0":             "",
		"node:x":             "",
		"no de:7000":         "",
		"n%s\x00:7000":       "",
		string(bytes.Repeat([]byte("a"), 300)) + ":7000": "",
	} {
		if got := completeAddr(in, seen); got != want {
			t.Errorf("completeAddr(%q) = %q, not %q", in, got, want)
		}
	}
	if got := withPort("node:0", "127.0.0.1:7001"); got != "node:7001" {
		t.Error(got)
	}
}

func TestMeshBook(t *testing.T) {
	var b meshBook
	b.init()
	now := time.Now()
	for id := range uint64(maxMembers + 10) {
		b.learn(id+1, id, fmt.Sprintf("10.0.0.1:%d", id+1), now.Add(time.Duration(id)*time.Second))
	}
	if all := b.dialable(now); len(all) != maxMembers || all[5].addr != "" || all[maxMembers+10].addr == "" {
		t.Errorf("%d addresses", len(all))
	}
	if all := b.dialable(now.Add(meshForget + 20*time.Second)); len(all) != maxMembers-10 {
		t.Errorf("%d addresses are left", len(all))
	}
	b.learn(1, 1, "127.0.0.1:1", now)
	b.learn(2, 1, "127.0.0.1:2", now)
	b.learn(3, 1, "10.0.0.3:1", now)
	if es := b.entries([]uint64{1, 2, 3, 4}, 2); len(es) != 2 || es[0].id != 1 || es[1].id != 3 {
		t.Errorf("%+v", es) // 2 knows itself, 4 is forgotten
	}
	if es := b.entries([]uint64{1, 3}, 3); len(es) != 0 {
		t.Errorf("a loopback address is told to another host: %+v", es)
	}
}
