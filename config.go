package bcache

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/iwanbk/bcache/internal/env"
	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/internal/replica"
	"github.com/iwanbk/bcache/internal/transport/meshnet"
	"github.com/iwanbk/bcache/transport"
)

// ErrConfig is wrapped by every error about a [Config], [LoaderConfig] or [TypedConfig] that can't work.
// Such an error names everything that is wrong, a line each.
var ErrConfig = errors.New("bcache: invalid config")

// Config describes a node. Only MaxKeys has to be set. A negative number is an error, except for
// SyncTimeout, where it has a meaning. [New] copies the Config: changing it afterwards has no effect.
type Config struct {
	// PeerID identifies the node to people and to its peers: 1 to 2^48-1, unique in the
	// cluster. 0 draws a random one.
	PeerID uint64

	// ListenAddr is the host:port to listen on for peers. "" means local only: no
	// network at all. Port 0 picks a free one, see Bcache.Addr. An empty or
	// unspecified host (":7000", "0.0.0.0:7000", "[::]:7000") means all interfaces.
	ListenAddr string

	// Peers are host:port addresses of nodes to connect to. A few suffice: the others are found through
	// them. The node's own address does no harm. A node without Peers waits for others to connect, and
	// counts as synced at once.
	Peers []string

	// MaxKeys is how many keys are held at most, 1 or more. Which of them make room for others, Eviction
	// says.
	MaxKeys int

	// Logger gets the log lines. nil logs nothing.
	Logger Logger

	// DeletionDelay is for how many seconds a deleted key is remembered as deleted.
	// 0 means 100. It saves misses only: correctness doesn't rest on it.
	DeletionDelay int

	// MaxBytes bounds the memory of the entries: key, value and EntryOverhead bytes each, for each tag its
	// bytes, one more and TagOverhead, and what a Typed shares, see TypedConfig.Size. 0 means no limit;
	// otherwise it is more than EntryOverhead.
	MaxBytes int64

	// AdvertiseAddr is the host:port at which other nodes reach this one. "" means the address listened on.
	// An unspecified host (":7000", "0.0.0.0:7000") is completed by the IP that the other side sees. Behind
	// a NAT, or in a container, set it to the address outside.
	AdvertiseAddr string

	// Secret encrypts and authenticates all traffic; every node needs the same.
	// "" means open: whoever reaches the port can join. Otherwise at least 16 bytes,
	// better 32 random ones. bcache never logs it; printing a Config does.
	Secret string

	// ClusterName keeps clusters apart: a node of another name is refused. It has at most 255 bytes.
	ClusterName string

	// MaxClockSkew is by how much the clocks of two nodes may differ. A node whose clock differs by more is
	// refused, or cut when its clock comes to. 0 means 500 ms; 24 hours are the most.
	MaxClockSkew time.Duration

	// Settle is by how much what a [Filler] reads may lag behind what is committed, as it does if the
	// Filler reads a replica of the database. What was read less than Settle after a write of the key isn't
	// cached. It should be greater than the lag ever is. It is also the default for the Settle of Loaders.
	// 0 means that a Filler sees what is committed; 24 hours are the most.
	Settle time.Duration

	// SyncTimeout is how long a node with Peers waits until it counts as synced itself, if it reaches no
	// other node, or none that is synced; see [Bcache.Ready]. 0 means 10 s.
	//
	// If it is negative, a node that reaches no other node never counts as synced, with or without Peers:
	// so it is never ready alone. Of nodes that reach each other, and of which none is synced, one still is
	// after 10 s at most.
	SyncTimeout time.Duration

	// MinPeers is how many other nodes must be connected directly for [Bcache.Ready] to return nil.
	// Whenever there are fewer, Ready returns an error, also if it has returned nil before. There is one
	// other difference: a node that reaches no other node never counts as synced, as with a negative
	// SyncTimeout.
	//
	// Set it to the number of other nodes that every node has even while some are restarted, or all of them
	// stop being ready at once: 1 makes sense for three nodes. 0 means that a node may be ready on its own.
	// More than MaxConns is an error.
	MinPeers int

	// Isolation is what a node does while it is isolated: while it has heard from fewer than MinPeers other
	// nodes within IsolatedAfter. The zero value is [ServeWhenIsolated]. [MissWhenIsolated] needs a
	// MinPeers. Nodes needn't have the same. See docs/isolation.md.
	Isolation Isolation

	// IsolatedAfter is the bound of Isolation: how old the last word of another node may be. So long
	// [Bcache.Confirm] waits for a node that went without a goodbye: all nodes should have the same. 0
	// means 10 s; 3 s are the least, 24 hours the most.
	IsolatedAfter time.Duration

	// MaxConns is how many connections to other nodes are held at most. 0 means 256. A node that finds none
	// free is refused, and both nodes log it.
	MaxConns int

	// MaxPending is how many bytes may wait to leave for one other node, and how many bytes of what is
	// written here may wait to be sent at all. What a slow node isn't sent, it asks for later. 0 means 64
	// MiB; 2 MiB are the least.
	MaxPending int

	// LogSize is how many writes, over all nodes, the delta log remembers, without their values. A node
	// that missed no more than that is sent what it missed; a node that missed more needs a full sync. 0
	// means MaxKeys, but no less than 65,536 and no more than 1,048,576.
	LogSize int

	// Eviction is how a node chooses what makes room for other keys at MaxKeys or MaxBytes. Nodes needn't
	// have the same. The zero value is [S3FIFO].
	Eviction Eviction

	// Transport is the network between the nodes, of another module: docs/engines.md says which there are,
	// and when one is better. It belongs to one node, and is used once. nil is the network that bcache has
	// itself, over ListenAddr and Peers.
	//
	// A node that has a ListenAddr too speaks both at once. That is for moving a cluster from one to the
	// other while it runs. Without ListenAddr, Peers, AdvertiseAddr and Secret must be empty: a Transport
	// has its own.
	//
	// [New] starts it, and Close closes it. So does New if it returns an error that doesn't wrap ErrConfig.
	Transport transport.Transport `json:"-"`

	// Env is for package bcachetest, which runs nodes on a network in memory. No other package can make
	// one.
	Env *env.Env `json:"-"`
}

// An Eviction chooses which keys make room for others.
type Eviction uint8

const (
	// S3FIFO keeps what is asked for again (Yang et al., "FIFO Queues are All You Need for Cache Eviction",
	// SOSP 2023). A new key goes soon, unless it is read; so a scan over many keys costs little of what is
	// used. Reads take no lock.
	S3FIFO Eviction = iota

	// LRU gives up the key that was used longest ago. Up to a MaxKeys of 1,024 that is exact, and then
	// every read takes a lock. It takes some 150 bytes more per key than S3FIFO, and on most real traces it
	// has fewer hits; see docs/traces.md.
	LRU
)

// String returns the name of the constant.
func (e Eviction) String() string {
	switch e {
	case S3FIFO:
		return "S3FIFO"
	case LRU:
		return "LRU"
	}
	return fmt.Sprintf("Eviction(%d)", uint8(e))
}

// An Isolation says what a node serves that can't know what the others write.
type Isolation uint8

const (
	// ServeWhenIsolated goes on: an isolated node serves what it has, however old that is.
	ServeWhenIsolated Isolation = iota

	// MissWhenIsolated has an isolated node serve nothing of what was there before. All Gets miss. Loaders
	// and Fillers ask the database, and what that returns is kept on this node, for IsolatedAfter at most.
	// What is written here is sent and received as always, but isn't served before the isolation ends: it
	// ends once the node has got what MinPeers others have. Until then [Bcache.Ready] returns an error that
	// wraps [ErrIsolated].
	//
	// So, of N nodes, once N-1-MinPeers others have confirmed a write, and IsolatedAfter has passed, no
	// node that has this option serves what was there before the write. docs/isolation.md has the small
	// print.
	//
	// Such a node asks the others at least every third of IsolatedAfter what it lacks, also if nothing is
	// written. Nodes of an older version can't tell.
	MissWhenIsolated
)

// String returns the name of the constant.
func (i Isolation) String() string {
	switch i {
	case ServeWhenIsolated:
		return "ServeWhenIsolated"
	case MissWhenIsolated:
		return "MissWhenIsolated"
	}
	return fmt.Sprintf("Isolation(%d)", uint8(i))
}

// Logger receives what a node has to say. A *logrus.Logger or *logrus.Entry is one as it is;
// [NewSlogLogger] makes one of a *slog.Logger.
//
// Errorf means that an operator must act. Printf is for joins, leaves, start and stop, Debugf for
// everything else. Lines begin with "bcache: " and don't end in a newline. A line that repeats is logged
// at most once per 10 seconds and peer, with a count. No line holds a value or the Secret. Texts in it
// are cut after 4 KiB.
//
// A Logger that takes fields gets a sentence without "bcache: " and the count, and beside it fields such
// as peer and addr; docs/operations.md has a table of them. These are: a [FieldLogger], as that of
// NewSlogLogger is, and a type with a method WithFields like those of logrus. The method takes a map of
// interface{} values by strings, and returns a Logger, which gets the line. A type that embeds another
// one with such a method gets no fields, so that its own methods are called.
//
// Nobody waits for the methods but Close. They are called one at a time, on a goroutine that lasts while
// there are lines. 256 lines are queued at most, and 1 MiB; if more are dropped, a line in their place
// says how many. Close waits until the last lines are logged, for 2 seconds at most; none comes after
// it. A panic in a method is dropped. docs/callbacks.md says what they may call.
type Logger interface {
	Errorf(format string, v ...interface{})
	Printf(format string, v ...interface{})
	Debugf(format string, v ...interface{})
}

// FieldLogger is a [Logger] of yours that takes fields. A node calls none of its methods but LogFields,
// and that as it would call the others: from the same queue, one line at a time, and a panic is dropped.
//
// The level is slog.LevelError for an Errorf, slog.LevelInfo for a Printf, slog.LevelDebug for a Debugf.
// A field's value is a text (slog.KindString), an integer (slog.KindInt64 or slog.KindUint64), or a
// time.Duration (slog.KindDuration). No line has two fields of one name. Texts are cut after 4 KiB.
// LogFields may keep the fields.
type FieldLogger interface {
	Logger
	LogFields(level slog.Level, msg string, fields ...slog.Attr)
}

// NewSlogLogger returns a Logger that logs to l: Errorf at slog.LevelError, Printf at
// slog.LevelInfo, Debugf at slog.LevelDebug. It is a [FieldLogger], whose fields are attributes. A line
// whose level is disabled isn't formatted. A nil l logs nothing.
func NewSlogLogger(l *slog.Logger) Logger { return linelog.NewSlog(l) }

const (
	maxPeerID      = 1<<48 - 1 // a mesh.PeerName has six bytes
	maxClusterName = 255       // bytes: it is part of every handshake

	maxMaxClockSkew = 24 * time.Hour // far beyond sense; sums of times stay within range

	maxDeletionDelay = int64(math.MaxInt64 / time.Second) // in seconds: 292 years
)

// validate returns everything that is wrong with c, joined; nil if nothing is.
// Each error names the field, its value and what would be right. Names aren't
// resolved and ports aren't opened: New reports those that fail.
func (c Config) validate() error {
	var errs []error
	wrong := func(format string, v ...any) {
		errs = append(errs, fmt.Errorf("%w: %s", ErrConfig, fmt.Sprintf(format, v...)))
	}
	limit := func(field string, value int64, right string) {
		if value < 0 {
			wrong("%s is %d: must be %s", field, value, right)
		}
	}

	if c.PeerID > maxPeerID {
		wrong("PeerID is %d: must be 1 to %d, or 0 for a random one", c.PeerID, uint64(maxPeerID))
	}
	switch own, all := c.networkFields(); {
	case c.ListenAddr != "":
	case c.Transport != nil && len(own) > 0:
		wrong(`ListenAddr is "", and the Transport has an address, peers and a secret of its own, but %s: `+
			"must be empty", strings.Join(own, " and "))
	case c.Transport == nil && len(all) > 0:
		// Most likely an environment variable that isn't set. Such a node would
		// work, alone, and serve stale values forever.
		wrong(`ListenAddr is "", which means no network, but %s: must be an address such as ":7000" `+
			"(is an environment variable empty?), or the others must be empty too", strings.Join(all, " and "))
	}
	if c.ListenAddr != "" {
		if err := checkAddr(c.ListenAddr, false, 0); err != nil {
			wrong(`ListenAddr is %q: %v; must be host:port such as "10.0.0.1:7000", or ":7000" for all `+
				"interfaces", c.ListenAddr, err)
		}
	}
	for i, peer := range c.Peers {
		if err := checkAddr(peer, true, 1); err != nil {
			wrong(`Peers[%d] is %q: %v; must be host:port such as "10.0.0.1:7000"`, i, peer, err)
		}
	}
	if c.MaxKeys <= 0 {
		wrong("MaxKeys is %d: must be 1 or more", c.MaxKeys)
	}
	limit("DeletionDelay", int64(c.DeletionDelay),
		fmt.Sprintf("a number of seconds, or 0 for %d", defaultDeletionDelay))
	if int64(c.DeletionDelay) > maxDeletionDelay {
		wrong("DeletionDelay is %d: must be at most %d seconds", c.DeletionDelay, maxDeletionDelay)
	}
	limit("MaxBytes", c.MaxBytes, fmt.Sprintf("more than %d, or 0 for no limit", EntryOverhead))
	if c.MaxBytes > 0 && c.MaxBytes <= EntryOverhead {
		wrong("MaxBytes is %d: must be more than %d, which every entry counts beside its key and value, "+
			"or 0 for no limit", c.MaxBytes, EntryOverhead)
	}
	if c.AdvertiseAddr != "" {
		if err := checkAddr(c.AdvertiseAddr, false, 1); err != nil {
			wrong(`AdvertiseAddr is %q: %v; must be host:port such as "10.0.0.1:7000", or "" for the `+
				"address listened on", c.AdvertiseAddr, err)
		}
	}
	if n := len(c.Secret); n > 0 && n < meshnet.MinSecret {
		wrong("Secret has %d bytes: must have at least %d, or none for an open cluster", n, meshnet.MinSecret)
	}
	if n := len(c.ClusterName); n > maxClusterName {
		wrong("ClusterName has %d bytes: must have at most %d", n, maxClusterName)
	}
	if c.MaxClockSkew < 0 {
		wrong("MaxClockSkew is %v: must be a positive duration, or 0 for %v",
			c.MaxClockSkew, defaultMaxClockSkew)
	}
	if c.Settle < 0 || c.Settle > maxMaxClockSkew {
		wrong("Settle is %v: must be 0 to %v", c.Settle, maxMaxClockSkew)
	}
	if c.MaxClockSkew > maxMaxClockSkew {
		wrong("MaxClockSkew is %v: must be at most %v", c.MaxClockSkew, maxMaxClockSkew)
	}
	limit("MinPeers", int64(c.MinPeers), "a number of other nodes, or 0 for a node that may be alone")
	if conns := cmp.Or(max(c.MaxConns, 0), defaultMaxConns); c.MinPeers > conns {
		wrong("MinPeers is %d: must be at most MaxConns, %d, or the node is never ready", c.MinPeers, conns)
	}
	switch {
	case c.Isolation > MissWhenIsolated:
		wrong("Isolation is %d: must be ServeWhenIsolated or MissWhenIsolated", c.Isolation)
	case c.Isolation == MissWhenIsolated && c.MinPeers == 0:
		wrong("Isolation is MissWhenIsolated, and MinPeers is 0: must be the number of other nodes from " +
			"which a node has to hear, 1 or more")
	}
	if after := c.IsolatedAfter; after != 0 && (after < minIsolatedAfter || after > maxMaxClockSkew) {
		wrong("IsolatedAfter is %v: must be %v to %v, or 0 for %v",
			after, minIsolatedAfter, maxMaxClockSkew, defaultIsolatedAfter)
	}
	limit("MaxConns", int64(c.MaxConns), fmt.Sprintf("1 or more, or 0 for %d", defaultMaxConns))
	if c.MaxPending != 0 && c.MaxPending < minMaxPending {
		wrong("MaxPending is %d: must be %d or more, or 0 for %d",
			c.MaxPending, minMaxPending, replica.DefaultMaxPending)
	}
	limit("LogSize", int64(c.LogSize), "1 or more, or 0 for as many as MaxKeys")
	if c.Eviction > LRU {
		wrong("Eviction is %d: must be S3FIFO or LRU", c.Eviction)
	}
	return errors.Join(errs...)
}

// networkFields says which fields are set that mean nothing without a network: without that of bcache
// itself, and without any.
func (c Config) networkFields() (own, all []string) {
	var set []string
	if len(c.Peers) > 0 {
		set = append(set, fmt.Sprintf("Peers are %q", c.Peers))
	}
	if c.AdvertiseAddr != "" {
		set = append(set, fmt.Sprintf("AdvertiseAddr is %q", c.AdvertiseAddr))
	}
	if c.Secret != "" {
		set = append(set, fmt.Sprintf("Secret has %d bytes", len(c.Secret)))
	}
	own = slices.Clip(set)
	if c.ClusterName != "" {
		set = append(set, fmt.Sprintf("ClusterName is %q", c.ClusterName))
	}
	if c.SyncTimeout < 0 {
		set = append(set, fmt.Sprintf("SyncTimeout is %v", c.SyncTimeout))
	}
	if c.MinPeers > 0 {
		set = append(set, fmt.Sprintf("MinPeers is %d", c.MinPeers))
	}
	if c.Isolation == MissWhenIsolated {
		set = append(set, fmt.Sprintf("Isolation is %v", c.Isolation))
	}
	if c.IsolatedAfter > 0 {
		set = append(set, fmt.Sprintf("IsolatedAfter is %v", c.IsolatedAfter))
	}
	return own, set
}

const (
	// Writes that cross a delete arrive within seconds; after that its tombstone only
	// costs memory.
	defaultDeletionDelay = 100 // seconds

	// NTP keeps clocks within tens of milliseconds; one further off is broken.
	defaultMaxClockSkew = 500 * time.Millisecond

	// Every node connects to all others: this bounds strangers, not sensible clusters.
	defaultMaxConns = 256

	minMaxPending = 2 * MaxRecordSize

	// A node asks the others every third of the bound, and its ticks come once a second.
	minIsolatedAfter     = 3 * replica.TickEvery
	defaultIsolatedAfter = 10 * time.Second

	// A small cache still needs room for the writes of a short partition; a large
	// one needn't remember each of its keys to catch up.
	minDefaultLogSize = 1 << 16
	maxDefaultLogSize = 1 << 20
)

// withDefaults returns a copy of c, which is valid, with every zero that stands for
// something else replaced, and that shares no memory with it.
func (c Config) withDefaults() Config {
	for c.PeerID == 0 {
		var b [8]byte
		rand.Read(b[2:]) // 48 bits; it never fails
		c.PeerID = binary.BigEndian.Uint64(b[:])
	}
	c.Peers = slices.Clone(c.Peers)
	c.DeletionDelay = cmp.Or(c.DeletionDelay, defaultDeletionDelay)
	c.MaxClockSkew = cmp.Or(c.MaxClockSkew, defaultMaxClockSkew)
	c.SyncTimeout = cmp.Or(c.SyncTimeout, replica.DefaultSyncTimeout)
	c.IsolatedAfter = cmp.Or(c.IsolatedAfter, defaultIsolatedAfter)
	c.MaxConns = cmp.Or(c.MaxConns, defaultMaxConns)
	c.MaxPending = cmp.Or(c.MaxPending, replica.DefaultMaxPending)
	c.LogSize = cmp.Or(c.LogSize, min(max(c.MaxKeys, minDefaultLogSize), maxDefaultLogSize))
	return c
}

// hidesAfter is the bound after which an isolated node hides what it holds; 0: it never does.
func (c Config) hidesAfter() time.Duration {
	if c.Isolation == MissWhenIsolated {
		return c.IsolatedAfter
	}
	return 0
}

// checkAddr says what is wrong with a host:port; nil if nothing is.
func checkAddr(addr string, needHost bool, minPort uint64) error {
	if addr == "" {
		return errors.New(`empty (strings.Split of "" gives one empty string, not none)`)
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		reason := err.Error()
		if e := (*net.AddrError)(nil); errors.As(err, &e) {
			reason = e.Err // without the address, which the caller names
		}
		if !strings.HasPrefix(addr, "[") && strings.Count(addr, ":") > 1 {
			reason += ` (an IPv6 address needs brackets, as in "[::1]:7000")`
		}
		return errors.New(reason)
	}
	if host == "" && needHost {
		return errors.New("no host")
	}
	if host != "" && !validHost(host) {
		return fmt.Errorf("%q is neither an IP address nor a host name", host)
	}
	// Names of services are refused: what they mean depends on the machine.
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n < minPort {
		return fmt.Errorf("the port %q isn't a number from %d to %d", port, minPort, math.MaxUint16)
	}
	return nil
}

// validHost reports whether host is an IP address or may be the name of a host (RFC
// 1123, section 2.1), with the underscores that containers' names have.
func validHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	if len(host) > 253 || strings.Trim(host, "0123456789.") == "" { // 1.2.3.400 isn't a name
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(host, "."), ".") {
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, notInHostName) {
			return false
		}
	}
	return true
}

func notInHostName(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_')
}

// loopback reports whether a listen address, resolved, is reached from its own machine only.
// Without a host it isn't: that is all interfaces.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	return err == nil && meshnet.LoopbackHost(host)
}
