package meshnet

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/wire"
	"github.com/iwanbk/bcache/transport"
)

// A peer that reads nothing fills its queue, and nothing else.
func TestMeshQueueFull(t *testing.T) {
	leaks(t)
	a := start(t, 0xa, nil)
	b := start(t, 0xb, meshPeers(a.Addr()))
	linked(t, a, b)
	block := make(chan struct{})
	b.h.Mu.Lock()
	b.h.On = func(uint64, []byte) { <-block }
	b.h.Mu.Unlock()
	frame := make([]byte, 1<<20)
	var err error
	for range 200 {
		if err = a.Send(0xb, frame, false); err != nil {
			break
		}
	}
	if !errors.Is(err, transport.ErrQueueFull) || a.Stats().DroppedFrames == 0 {
		t.Errorf("Send: %v, %+v", err, a.Stats())
	}
	close(block)
	talk(t, "after that", a, b)
	wait(t, "the queue is gone", func() bool { return a.waits(0xb) == 0 })
	closeAll(t, a, b)
}

func TestMeshMessages(t *testing.T) {
	entries := []memberEntry{
		{1, 0x1111, "127.0.0.1:7000"}, {1<<48 - 1, 1<<64 - 1, "[2001:db8::1]:65535"},
		{7, 0, "node-1.example.org:1"},
	}
	m, err := decodeMembers(encodeMembers(entries))
	if err != nil || !slices.Equal(m.entries, entries) || m.kind != membersAddrs {
		t.Errorf("%+v, %v", m, err)
	}
	if m, err := decodeMembers(encodeMeshPing(42)); err != nil || m.kind != membersPing || m.nonce != 42 {
		t.Errorf("%+v, %v", m, err)
	}
	if m, err := decodeMembers(encodeMeshPong(42, 43)); err != nil || m.kind != membersPong ||
		m.nonce != 42 || m.origin != 43 {
		t.Errorf("%+v, %v", m, err)
	}
	ready := controlMessage{kind: controlReady, transfer: 7, has: 1 << 16}
	if m, err := decodeControl(encodeReady(ready.transfer, ready.has)); err != nil || m != ready {
		t.Error(m, err)
	}
	if m, err := decodeControl(encodeClosing()); err != nil || m.kind != controlClosing {
		t.Error(m, err)
	}
	m, err = decodeMembers(encodeNoWay("host:1", "no\x1b[31m"+strings.Repeat("x", 2*maxReason)))
	if err != nil || m.kind != membersNoWay || m.addr != "host:1" ||
		!strings.HasPrefix(m.why, "no?[31m") || len(m.why) > maxReason {
		t.Errorf("no way: %+v, %v", m, err)
	}
	refused := controlMessage{kind: controlRefused, reason: "no?[31m?"}
	if m, err := decodeControl(encodeRefused("no\x1b[31m\n")); err != nil || m != refused {
		t.Error(m, err)
	}
	useless := []memberEntry{
		{0, 1, "h:1"}, {1 << 48, 1, "h:1"}, {1, 1, ""}, {1, 1, ":7000"},
		{1, 1, "h:0"}, {1, 1, "h:http"}, {1, 1, "h\n:1"},
	}
	if m, err := decodeMembers(encodeMembers(useless)); err != nil || len(m.entries) != 0 {
		t.Errorf("%+v, %v", m, err)
	}
	for _, bad := range [][]byte{
		nil, {wire.Version}, {wire.Version + 1, 1},
		{wire.Version, membersAddrs, 0x0a, 0xff}, {wire.Version, membersAddrs, 0x80},
	} {
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
		if m, err := decodeControl(msg); err == nil && len(m.reason) > 3*maxReason {
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
	b := newMeshBook()
	now := time.Now()
	for id := range uint64(maxMembers + 10) {
		b.learn(id+1, id, fmt.Sprintf("10.0.0.1:%d", id+1), now.Add(time.Duration(id)*time.Second))
	}
	if all := b.dialable(now); len(all) != maxMembers || all[5].addr != "" ||
		all[maxMembers+10].addr == "" {
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
