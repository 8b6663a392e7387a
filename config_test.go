package bcache

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/env"
	"github.com/iwanbk/bcache/internal/transport/memnet"
)

const confSecret = "0123456789abcdef"

// confProblems returns the lines of validate's error, each of which must be one of its own.
func confProblems(t *testing.T, c Config) []string {
	t.Helper()
	err := c.validate()
	if err == nil {
		return nil
	}
	if !errors.Is(err, ErrConfig) {
		t.Errorf("%v is no ErrConfig", err)
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("%T isn't joined", err)
	}
	var lines []string
	for _, err := range joined.Unwrap() {
		if !errors.Is(err, ErrConfig) {
			t.Errorf("%v is no ErrConfig", err)
		}
		line, ok := strings.CutPrefix(err.Error(), "bcache: invalid config: ")
		if !ok || strings.Contains(line, "\n") {
			t.Errorf("bad line %q", err)
		}
		if c.Secret != "" && strings.Contains(line, c.Secret) {
			t.Errorf("the Secret is in %q", line)
		}
		lines = append(lines, line)
	}
	return lines
}

func TestConfigValid(t *testing.T) {
	for _, c := range []Config{
		{MaxKeys: 1},
		{MaxKeys: math.MaxInt, PeerID: 1, MaxBytes: EntryOverhead + 1, DeletionDelay: 1, MaxClockSkew: 1, MaxConns: 1, LogSize: 1, Eviction: LRU},
		{MaxKeys: 1, PeerID: maxPeerID, MaxBytes: math.MaxInt64, MaxClockSkew: maxMaxClockSkew},
		{MaxKeys: 1, ListenAddr: ":0"},
		{MaxKeys: 1, ListenAddr: ":7000", AdvertiseAddr: ":7001", Secret: confSecret, ClusterName: "\x00"},
		{MaxKeys: 1, ListenAddr: "0.0.0.0:7000", Peers: []string{"a:1", "a:1", "0.0.0.0:7000"}},
		{MaxKeys: 1, ListenAddr: "[::]:65535", AdvertiseAddr: "0.0.0.0:65535"},
		{MaxKeys: 1, ListenAddr: "host:7000", AdvertiseAddr: "my_app-1.example.com.:7000"},
		{MaxKeys: 1, ListenAddr: "[fe80::1%eth0]:7000", Peers: []string{}},
		{MaxKeys: 1, ListenAddr: ":7000", SyncTimeout: -1, MinPeers: 256},
		{MaxKeys: 1, ListenAddr: ":7000", Peers: []string{"a:1"}, SyncTimeout: math.MinInt64, MinPeers: 2, MaxConns: 2},
		{MaxKeys: 1, ListenAddr: ":7000", IsolatedAfter: minIsolatedAfter},
		{MaxKeys: 1, ListenAddr: ":7000", Isolation: MissWhenIsolated, MinPeers: 1, IsolatedAfter: maxMaxClockSkew},
	} {
		if p := confProblems(t, c); p != nil {
			t.Errorf("%+v: %q", c, p)
		}
	}
}

// Each case is one problem, named with its field, its value and what would be right.
func TestConfigInvalid(t *testing.T) {
	tests := []struct {
		change func(*Config)
		want   []string // parts of the one line
	}{
		{func(c *Config) { c.MaxKeys = 0 }, []string{"MaxKeys is 0:", "1 or more"}},
		{func(c *Config) { c.MaxKeys = -3 }, []string{"MaxKeys is -3:", "1 or more"}},
		{func(c *Config) { c.PeerID = 1 << 48 }, []string{"PeerID is 281474976710656:", "1 to 281474976710655", "0 for"}},
		{func(c *Config) { c.PeerID = math.MaxUint64 }, []string{"PeerID is 18446744073709551615:"}},
		{func(c *Config) { c.Secret = "hush" }, []string{"Secret has 4 bytes:", "at least 16"}},
		{func(c *Config) { c.Secret = confSecret[:15] }, []string{"Secret has 15 bytes:"}},
		{func(c *Config) { c.MaxClockSkew = math.MaxInt64 }, []string{"MaxClockSkew is 2562047h47m", "at most 24h"}},
		{func(c *Config) { c.ClusterName = strings.Repeat("x", 256) }, []string{"ClusterName has 256 bytes:", "at most 255"}},
		{func(c *Config) { c.DeletionDelay = -1 }, []string{"DeletionDelay is -1:", "seconds", "0 for 100"}},
		{func(c *Config) { c.MaxBytes = -1 }, []string{"MaxBytes is -1:", "more than 200", "0 for no limit"}},
		{func(c *Config) { c.MaxBytes = 1 }, []string{"MaxBytes is 1:", "more than 200", "0 for no limit"}},
		{func(c *Config) { c.MaxBytes = EntryOverhead }, []string{"MaxBytes is 200:", "more than 200"}},
		{func(c *Config) { c.MaxClockSkew = -time.Second }, []string{"MaxClockSkew is -1s:", "positive", "0 for 500ms"}},
		{func(c *Config) { c.MaxConns = -1 }, []string{"MaxConns is -1:", "1 or more", "0 for 256"}},
		{func(c *Config) { c.MinPeers = -1 }, []string{"MinPeers is -1:", "0 for"}},
		{func(c *Config) { c.MinPeers = 257 }, []string{"MinPeers is 257:", "MaxConns, 256", "never ready"}},
		{func(c *Config) { c.MinPeers, c.MaxConns = 3, 2 }, []string{"MinPeers is 3:", "MaxConns, 2"}},
		{func(c *Config) { c.Eviction = 2 }, []string{"Eviction is 2:", "S3FIFO", "LRU"}},
		{func(c *Config) { c.Isolation = 2 }, []string{"Isolation is 2:", "ServeWhenIsolated", "MissWhenIsolated"}},
		{func(c *Config) { c.Isolation = MissWhenIsolated }, []string{"MissWhenIsolated", "MinPeers is 0:", "1 or more"}},
		{func(c *Config) { c.IsolatedAfter = -1 }, []string{"IsolatedAfter is -1ns:", "3s to 24h0m0s", "0 for 10s"}},
		{func(c *Config) { c.IsolatedAfter = 3*time.Second - 1 }, []string{"IsolatedAfter is 2.999999999s:", "3s to"}},
		{func(c *Config) { c.IsolatedAfter = 24*time.Hour + 1 }, []string{"IsolatedAfter is 24h0m0.000000001s:"}},
		{func(c *Config) { c.LogSize = math.MinInt }, []string{"LogSize is -", "1 or more", "MaxKeys"}},
		{func(c *Config) { c.MaxPending = 1 << 20 }, []string{"MaxPending is 1048576", "2097152 or more", "0 for 67108864"}},
		{func(c *Config) { c.ListenAddr = "host" }, []string{`ListenAddr is "host":`, "missing port", "host:port"}},
		{func(c *Config) { c.Peers = []string{"ok:1", "host:0"} }, []string{`Peers[1] is "host:0":`, "1 to 65535"}},
		{func(c *Config) { c.Peers = []string{""} }, []string{`Peers[0] is "":`, "strings.Split", "host:port"}},
		{func(c *Config) { c.Peers = []string{":7000"} }, []string{`Peers[0] is ":7000":`, "no host"}},
		{func(c *Config) { c.Peers = []string{"[::]:1", "::1:7000"} }, []string{`Peers[1] is "::1:7000":`, "brackets"}},
		{func(c *Config) { c.AdvertiseAddr = ":0" }, []string{`AdvertiseAddr is ":0":`, "1 to 65535", `""`}},
		{func(c *Config) { c.AdvertiseAddr = "::1" }, []string{`AdvertiseAddr is "::1":`, "brackets"}},

		// What an empty environment variable makes.
		{func(c *Config) { c.ListenAddr, c.Peers = "", []string{"a:1"} }, []string{`ListenAddr is ""`, `Peers are ["a:1"]:`, "environment"}},
		{func(c *Config) { c.ListenAddr, c.AdvertiseAddr = "", "a:1" }, []string{`ListenAddr is ""`, `AdvertiseAddr is "a:1":`, "environment"}},
		{func(c *Config) { c.ListenAddr, c.Secret = "", confSecret }, []string{`ListenAddr is ""`, `Secret has 16 bytes:`, "environment"}},
		{func(c *Config) { c.ListenAddr, c.ClusterName = "", "x" }, []string{`ListenAddr is ""`, `ClusterName is "x":`, `":7000"`, "environment"}},
		{func(c *Config) { c.ListenAddr, c.MinPeers = "", 1 }, []string{`ListenAddr is ""`, "MinPeers is 1:", "environment"}},
		{func(c *Config) { c.ListenAddr, c.IsolatedAfter = "", time.Minute }, []string{`ListenAddr is ""`, "IsolatedAfter is 1m0s:", "environment"}},
		{func(c *Config) { c.ListenAddr, c.Isolation, c.MinPeers = "", MissWhenIsolated, 1 },
			[]string{`ListenAddr is ""`, "MinPeers is 1 and Isolation is MissWhenIsolated:", "environment"}},
		{func(c *Config) {
			c.ListenAddr, c.Transport, c.Peers, c.MinPeers = "", memnet.New().Transport(1, 1), []string{"a:1"}, 1
		}, []string{`ListenAddr is "", and the Transport has`, `Peers are ["a:1"]: must be empty`}},
		{func(c *Config) { c.ListenAddr, c.SyncTimeout = "", -1 }, []string{`ListenAddr is ""`, "SyncTimeout is -1ns:", "environment"}},
	}
	if math.MaxInt > maxDeletionDelay { // an int of 64 bits
		for _, delay := range []int64{maxDeletionDelay + 1, math.MaxInt64} {
			want := []string{fmt.Sprintf("DeletionDelay is %d:", delay), "at most 9223372036 seconds"}
			tests = append(tests, struct {
				change func(*Config)
				want   []string
			}{func(c *Config) { c.DeletionDelay = int(delay) }, want})
		}
	}
	for _, tt := range tests {
		c := Config{MaxKeys: 10, ListenAddr: ":7000"}
		tt.change(&c)
		lines := confProblems(t, c)
		if len(lines) != 1 {
			t.Errorf("want one problem, of %q, got %q", tt.want, lines)
			continue
		}
		for _, part := range tt.want {
			if !strings.Contains(lines[0], part) {
				t.Errorf("%q isn't in %q", part, lines[0])
			}
		}
	}
}

func TestConfigDeletionDelayFitsDuration(t *testing.T) {
	c := Config{MaxKeys: 1, DeletionDelay: int(min(maxDeletionDelay, math.MaxInt))}
	if p := confProblems(t, c); p != nil {
		t.Error(p)
	}
	if d := time.Duration(c.DeletionDelay) * time.Second; d <= 0 {
		t.Errorf("overflow: %v", d)
	}
}

func TestConfigReportsEverythingAtOnce(t *testing.T) {
	c := Config{
		PeerID: 1 << 50, ListenAddr: "nonsense", Peers: []string{"a", "b:1", ":c"}, DeletionDelay: -1, MaxBytes: -1,
		AdvertiseAddr: "a:b", Secret: "hush!", MaxClockSkew: -1, MaxConns: -1, MaxPending: -1, LogSize: -1,
	}
	var fields []string
	for _, line := range confProblems(t, c) {
		fields = append(fields, strings.Fields(line)[0])
	}
	want := []string{
		"PeerID", "ListenAddr", "Peers[0]", "Peers[2]", "MaxKeys", "DeletionDelay", "MaxBytes",
		"AdvertiseAddr", "Secret", "MaxClockSkew", "MaxConns", "MaxPending", "LogSize",
	}
	if !slices.Equal(fields, want) {
		t.Errorf("got %q, want %q", fields, want)
	}

	// All that makes an island is one problem, and a short Secret is no part of it.
	c = Config{MaxKeys: 1, Peers: []string{"a:1"}, AdvertiseAddr: "b:1", Secret: "hush!", ClusterName: "c"}
	lines := confProblems(t, c)
	if len(lines) != 2 || !strings.Contains(lines[0], `Peers are ["a:1"] and AdvertiseAddr is "b:1" and Secret has 5 bytes and ClusterName is "c"`) {
		t.Errorf("%q", lines)
	}
}

func TestCheckAddr(t *testing.T) {
	tests := []struct {
		addr string
		bad  string // part of the error; "" if the address is fine
	}{
		{":0", ""},
		{"host:65535", ""},
		{"1.2.3.4:7000", ""},
		{"[::1]:7000", ""},
		{"[::ffff:1.2.3.4]:7000", ""},
		{"[fe80::1%eth0]:7000", ""},
		{"3com.example:7000", ""},
		{strings.Repeat("a", 63) + ".b:1", ""},
		{"", "empty"},
		{"host", "missing port"},
		{"7000", "missing port"},
		{"[::1]", "missing port"},
		{"::1", "brackets"},
		{"::1:7000", "brackets"},
		{"fe80::1%eth0:7000", "brackets"},
		{"[::1:7000", "missing ']'"},
		{"http://host:7000", "too many colons"},
		{"host:", `port "" isn't a number`},
		{"host:http", `port "http" isn't a number`},
		{"host:-1", `port "-1" isn't a number`},
		{"host:+1", `port "+1" isn't a number`},
		{"host:1 ", `port "1 " isn't a number`},
		{"host:65536", `port "65536" isn't a number from 0 to 65535`},
		{"host:99999999999999999999", "isn't a number"},
		{" host:1", `" host" is neither`},
		{"ho/st:1", "neither"},
		{"h\x00st:1", "neither"},
		{"hôte:1", "neither"},
		{"a..b:1", "neither"},
		{".:1", "neither"},
		{"1.2.3.400:1", "neither"},
		{"1.2.3:1", "neither"},
		{strings.Repeat("a", 64) + ":1", "neither"},
		{strings.Repeat("a.", 127) + ":1", "neither"},
	}
	for _, tt := range tests {
		err := checkAddr(tt.addr, false, 0)
		if tt.bad == "" && err != nil || tt.bad != "" && (err == nil || !strings.Contains(err.Error(), tt.bad)) {
			t.Errorf("%q: got %v, want %q", tt.addr, err, tt.bad)
		}
	}
	if checkAddr("host:0", true, 1) == nil || checkAddr("host:1", true, 1) != nil {
		t.Error("the least port isn't observed")
	}
	if checkAddr(":1", true, 1) == nil {
		t.Error("a missing host isn't noticed")
	}
}

func TestConfigWithDefaults(t *testing.T) {
	d := Config{MaxKeys: 1}.withDefaults()
	if d.PeerID == 0 || d.PeerID > maxPeerID {
		t.Errorf("PeerID is %d", d.PeerID)
	}
	want := Config{PeerID: d.PeerID, MaxKeys: 1, DeletionDelay: 100, MaxClockSkew: 500 * time.Millisecond, SyncTimeout: 10 * time.Second,
		IsolatedAfter: 10 * time.Second, MaxConns: 256, MaxPending: 64 << 20, LogSize: 65536}
	if !reflect.DeepEqual(d, want) {
		t.Errorf("got %+v, want %+v", d, want)
	}

	own := Config{
		PeerID: 7, ListenAddr: ":1", Peers: []string{"a:1"}, MaxKeys: 2, Logger: NewSlogLogger(nil), DeletionDelay: 3, MaxBytes: 400,
		AdvertiseAddr: ":5", Secret: confSecret, ClusterName: "c", MaxClockSkew: 6, SyncTimeout: 7, MaxConns: 8, LogSize: 9,
		Settle: 10, MinPeers: 11, Isolation: MissWhenIsolated, IsolatedAfter: 13, MaxPending: 12, Eviction: LRU,
		Transport: memnet.New().Transport(1, 1), Env: env.New(time.Now, nil, nil),
	}
	for i, v := 0, reflect.ValueOf(own); i < v.NumField(); i++ {
		if v.Field(i).IsZero() {
			t.Fatalf("%s is missing here", v.Type().Field(i).Name)
		}
	}
	d = own.withDefaults()
	if !reflect.DeepEqual(d, own) {
		t.Errorf("got %+v, want %+v", d, own)
	}
	if own.Peers[0] = "other:1"; d.Peers[0] != "a:1" {
		t.Error("Peers is shared with the caller")
	}
}

func TestConfigDefaultLogSize(t *testing.T) {
	for keys, want := range map[int]int{1: 65536, 65536: 65536, 65537: 65537, 1048576: 1048576, 1048577: 1048576, math.MaxInt: 1048576} {
		if got := (Config{MaxKeys: keys}).withDefaults().LogSize; got != want {
			t.Errorf("MaxKeys %d: %d, want %d", keys, got, want)
		}
	}
}

// Each of the 48 bits must be drawn, and no two nodes alike.
func TestConfigPeerIDIsRandom(t *testing.T) {
	seen := make(map[uint64]bool)
	var some, all uint64 = 0, math.MaxUint64
	for range 200 {
		id := Config{MaxKeys: 1}.withDefaults().PeerID
		seen[id] = true
		some |= id
		all &= id
	}
	if len(seen) != 200 || some != maxPeerID || all != 0 {
		t.Errorf("%d different ids, bits %x set once, %x always", len(seen), some, all)
	}
}

func TestConfigKey(t *testing.T) {
	if key, err := (Config{ClusterName: "c"}).key(); key != nil || err != nil {
		t.Errorf("no Secret: %x, %v", key, err) // mesh takes an empty one that isn't nil for a password
	}
	// python3 -c 'import hashlib; print(hashlib.pbkdf2_hmac("sha256", b"0123456789abcdef", b"github.com/iwanbk/bcache", 600000, 32).hex())'
	const want = "1d7c8b19f6ab82a38b37350dfe9d7240da4e700e76c0ca0d8b8c65991201bbd0"
	key, err := Config{Secret: confSecret, ClusterName: "users"}.key()
	if got := fmt.Sprintf("%x", key); got != want || err != nil {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

func TestLoopback(t *testing.T) {
	for addr, want := range map[string]bool{
		"localhost:7000":          true,
		"LocalHost:0":             true,
		"127.0.0.1:7000":          true,
		"127.1.2.3:7000":          true,
		"[::1]:7000":              true,
		"[::ffff:127.0.0.1]:7000": true,
		":7000":                   false,
		"0.0.0.0:7000":            false,
		"[::]:7000":               false,
		"10.0.0.1:7000":           false,
		"128.0.0.1:7000":          false,
		"localhost.example:7000":  false,
		"localhost":               false,
		"":                        false,
	} {
		if got := loopback(addr); got != want {
			t.Errorf("%q: %v", addr, got)
		}
	}
}

func BenchmarkConfigKey(b *testing.B) {
	for b.Loop() {
		if _, err := (Config{Secret: confSecret}).key(); err != nil {
			b.Fatal(err)
		}
	}
}
