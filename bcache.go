// Package bcache is a cache inside your service, replicated to every node of it. A Get is a look into
// local memory and never crosses the network. A Set or a Delete on one node shows on the others on its
// own, milliseconds later.
//
// It is meant for data that many nodes read and few write, in front of a database that has the truth.
// Replication is eventually consistent: of concurrent writes of a key the last writer wins, and it is
// the same one on all nodes. Every node holds every key, up to its limits. A node may forget an entry at
// any time: for room, or because it can't be sure that the entry is current. So a miss is always
// possible. What fills the cache then is a [Loader], a [Typed], or [Bcache.GetWithFiller].
//
// Don't use it as a store of record, for counters or locks, or for data that doesn't fit into one node's
// memory.
//
//	cache, err := bcache.New(bcache.Config{
//		ListenAddr: ":7000",
//		Peers:      []string{"10.0.0.1:7000", "10.0.0.2:7000"},
//		MaxKeys:    100_000,
//		Secret:     os.Getenv("BCACHE_SECRET"),
//	})
//	if err != nil {
//		return err
//	}
//	defer cache.Close()
//
//	users, err := bcache.NewTyped(cache, bcache.TypedConfig[User]{
//		Fill: func(ctx context.Context, id string) (bcache.TypedLoaded[User], error) {
//			user, err := db.User(ctx, id)
//			return bcache.TypedLoaded[User]{Value: user}, err
//		},
//		Loader: bcache.LoaderConfig{Prefix: "user:", TTL: 10 * time.Minute},
//	})
//	if err != nil {
//		return err
//	}
//	user, err := users.Get(ctx, "42")
//
// After an update, commit to the database, and then delete the key: docs/fills.md says why.
//
// Keys and values are arbitrary bytes. The cache keeps copies of its own. All methods are safe for
// concurrent use.
package bcache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/iwanbk/bcache/internal/callqueue"
	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/fill"
	"github.com/iwanbk/bcache/internal/keyhash"
	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/internal/replica"
	"github.com/iwanbk/bcache/internal/store"
	"github.com/iwanbk/bcache/internal/transport/both"
	"github.com/iwanbk/bcache/internal/transport/meshnet"
	"github.com/iwanbk/bcache/transport"
)

var (
	// ErrClosed is returned after [Bcache.Close] by every method that would change something.
	ErrClosed = delta.ErrClosed

	// ErrUnconfirmed is wrapped by the errors of [Bcache.Confirm], and of [Bcache.Close] if some node
	// didn't confirm in time that it has what was written here.
	ErrUnconfirmed = errors.New("bcache: not every node has confirmed that it has the last writes")

	// ErrCallback is returned by [Bcache.Close] if a subscriber, an OnStale or the Logger was called
	// before, and hasn't returned in time.
	ErrCallback = errors.New("bcache: closed while a callback still runs")
)

const (
	// callLimit is for how long Close, and who ends a subscription, wait for callbacks that run.
	callLimit = 2 * time.Second

	// lastLines is what the Logger has at least for what was said last, when all else has ended.
	lastLines = 100 * time.Millisecond
)

// Bcache is one node's cache. [New] makes one.
type Bcache struct {
	cfg      Config // with its defaults, and without what is secret
	settle   time.Duration
	peer     *peer
	writes   writer
	store    *store.Store // peer.replica.store, for Get
	wall     func() int64
	flights  *flights
	loads    *fill.Loads
	fillers  *fill.Figures // of Fillers
	ledger   *fill.Ledger  // of Loaders; apart, as what ends with a Loader mustn't refer to its cache
	fillKeys *fill.Keys

	watchers watchers
	closed   atomic.Bool
	ending
}

// An ending is what Close waits for besides the peer, and what has become of it.
type ending struct {
	calls     callqueue.Group // of subscribers and OnStales
	log       *linelog.Log
	closing   sync.Once
	closeErr  error
	closeBy   time.Time // callbacks aren't waited for any more
	callsOnce sync.Once
	callsErr  error // closeErr, and that a callback still runs
}

// New starts a node. With a ListenAddr it listens, and connects to Peers in the background. A peer that
// can't be reached is no error: the node tries it again for as long as it lives.
//
// The error wraps [ErrConfig], and then names everything that is wrong with the Config. Or it says why
// the node can't listen on the address.
func New(cfg Config) (*Bcache, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return newBcache(cfg.withDefaults())
}

// newBcache starts a node from a configuration that is valid and has its defaults.
func newBcache(cfg Config) (b *Bcache, err error) {
	now := cfg.Env.Clock()
	log := linelog.New(cfg.Logger, now)
	defer func() {
		if err != nil {
			ctx, cancel := context.WithTimeout(context.Background(), callLimit)
			defer cancel()
			log.Close(ctx)
		}
	}()
	origin := newOrigin()
	var t transport.Transport
	if cfg.ListenAddr != "" {
		if place := cfg.Env.Transport(); place != nil {
			t, err = place(cfg.PeerID, origin, log)
		} else {
			t, err = newTransport(cfg, origin, log, now)
		}
		if err != nil {
			if cfg.Transport != nil {
				err = errors.Join(err, cfg.Transport.Close())
			}
			return nil, err
		}
	}
	first := len(cfg.Peers) == 0
	switch x := cfg.Transport; {
	case x == nil:
	case t == nil:
		t, first = x, !x.Expects()
	default:
		t, first = both.New(t, x), first && !x.Expects()
	}
	hash := keyhash.New()
	b = &Bcache{
		cfg: cfg.shown(), settle: cfg.Settle,
		flights: newFlights(hash), fillers: &fill.Figures{},
		ledger: &fill.Ledger{}, fillKeys: fill.NewKeys(), ending: ending{log: log},
	}
	b.peer = newPeer(replica.Config{
		ID:          cfg.PeerID,
		Origin:      origin,
		MaxSkew:     cfg.MaxClockSkew,
		LogSize:     cfg.LogSize,
		MaxPending:  cfg.MaxPending,
		Changed:     b.changed,
		First:       first,
		SyncTimeout: cfg.SyncTimeout,
		MinPeers:    cfg.MinPeers,
		Isolated:    cfg.hidesAfter(),
		Store: store.Config{
			MaxKeys:       cfg.MaxKeys,
			MaxBytes:      cfg.MaxBytes,
			DeletionDelay: time.Duration(cfg.DeletionDelay) * time.Second,
			LRU:           cfg.Eviction == LRU,
			Seed:          origin,
			Hash:          hash,
		},
	}, t, log, now)
	b.store, b.wall = b.peer.replica.Store, b.peer.wall
	b.loads = fill.NewLoads(hash.Of, &b.store.Clears)
	b.writes = writer{b.peer, cfg.MaxBytes, &b.closed}
	b.peer.goneFor = cfg.IsolatedAfter
	b.watchers.store = b.store
	if cfg.Env != nil {
		start := time.Now()
		b.peer.elapsed = func() time.Duration { return time.Since(start) }
	}
	node := transport.Node{
		PeerID: cfg.PeerID, Origin: origin, ClusterName: cfg.ClusterName,
		MaxPending: cfg.MaxPending, MaxClockSkew: cfg.MaxClockSkew, Now: now, Log: log,
	}
	if err := b.peer.run(node); err != nil {
		return nil, err
	}
	if b.settle > 0 {
		b.peer.replica.Fills.Lag()
	}
	if cfg.ListenAddr != "" {
		warnIfOpen(&cfg, t.Addr(), log)
	}
	cfg.Env.Started(b.peer.replica)
	return b, nil
}

// warnIfOpen tells an operator who could do what with a node that other machines reach.
func warnIfOpen(cfg *Config, addr string, log *linelog.Log) {
	if loopback(cfg.ListenAddr) || loopback(addr) { // a host's name may mean 127.0.1.1
		return
	}
	if cfg.Secret == "" {
		log.Errorf(0, "no Secret is set and %s isn't a loopback address: "+
			"whoever reaches it can read and write the cache", linelog.Field("addr", addr))
	}
	if cfg.ClusterName == "" {
		log.Errorf(0, "no ClusterName is set and %s isn't a loopback address: "+
			"the nodes of another service that reach it become part of this cluster",
			linelog.Field("addr", addr))
	}
}

// newTransport is the production transport.
func newTransport(
	cfg Config, origin uint64, log *linelog.Log, now func() time.Time,
) (transport.Transport, error) {
	key, err := cfg.key()
	if err != nil {
		return nil, fmt.Errorf("bcache: can't stretch the Secret: %w", err)
	}
	return meshnet.New(meshnet.Config{
		PeerID:        cfg.PeerID,
		Origin:        origin,
		ListenAddr:    cfg.ListenAddr,
		AdvertiseAddr: cfg.AdvertiseAddr,
		Peers:         cfg.Peers,
		ClusterName:   cfg.ClusterName,
		Key:           key,
		MaxClockSkew:  cfg.MaxClockSkew,
		MaxConns:      cfg.MaxConns,
		MaxPending:    cfg.MaxPending,
		Log:           log,
		Now:           now,
	})
}

// newOrigin draws the identity of one life of a node, never 0.
func newOrigin() uint64 {
	for {
		if o := rand.Uint64(); o != 0 {
			return o
		}
	}
}

// changed is called for every write that may have changed what a key has. A Clear of a tag forgets no
// fill: what a fill brings may have any tag, and is judged when it is there.
func (b *Bcache) changed(key string, kind delta.Kind) {
	if kind != delta.KindClear {
		b.flights.forget(key)
		b.loads.Written(key)
		return
	}
	by := delta.Selector(key)
	if _, ok := by.Tag(); ok {
		return
	}
	prefix, _ := by.Prefix()
	b.flights.forgetAll(prefix)
	b.loads.WrittenAll(prefix)
}

// Addr returns the address that the node listens on, with its real port; "" if it
// is local only.
func (b *Bcache) Addr() string {
	if b.peer.transport == nil {
		return ""
	}
	return b.peer.transport.Addr()
}

// Member describes another node of the cluster.
type Member struct {
	ID        uint64    // its PeerID
	Addr      string    // the address that it advertises; "" while unknown
	Since     time.Time // when it became known, or its connection began
	Direct    bool      // connected to this node; otherwise reached through others
	Inbound   bool      // it dialled us; false for a relayed node
	Encrypted bool      // the connection is encrypted; false for a relayed node
}

// Members lists the other nodes of the cluster that are known now, sorted by ID. A
// write that is issued while a node is listed as Direct is sent to it.
func (b *Bcache) Members() []Member {
	if b.peer.transport == nil {
		return nil
	}
	members := b.peer.transport.Members()
	if len(members) == 0 {
		return nil
	}
	list := make([]Member, len(members))
	for i, m := range members {
		list[i] = Member(m)
	}
	return list
}

// Close ends the node. First it announces what was written last, and waits until every directly
// connected node has that and all else that this node has of others' writes, two seconds at most. What
// they lack it sends them: this node may be the only one that has it. It waits for all of them for half
// a second; from then on it is enough that eight have what was written here, and one has all else. The
// others get from these what they lack, within seconds as a rule: if all eight end before, it is lost to
// them. Nodes that are closing themselves don't count. When Close returns, its port is free, and no
// connection, no callback and no goroutine is left, except those of Fills and Fillers that still run.
// Gets miss, and writes return [ErrClosed].
//
// If fewer confirmed in time, the error wraps [ErrUnconfirmed] and names the nodes that didn't. To know
// that every node has it, call [Bcache.Confirm] before. If the network couldn't be ended, the error says
// so.
//
// Close waits for a subscriber, an OnStale or the Logger that doesn't return. It does so until two
// seconds after its own beginning, or a tenth of a second after everything else has ended. If the
// callback still runs then, the error wraps [ErrCallback] and says which one it is; its goroutine is
// left. So Close takes no longer than some six seconds, whatever callbacks do. None is called after
// Close has returned.
//
// Close may be called at any time, from within callbacks too. A Close that a subscriber, an OnStale or
// the Logger itself calls doesn't wait for those, and its error doesn't tell of them. Otherwise a
// further Close has the same result.
func (b *Bcache) Close() error {
	b.closing.Do(func() {
		b.closed.Store(true)
		b.closeBy = time.Now().Add(callLimit)
		b.watchers.close()
		b.calls.Close()
		b.loads.Close(ErrClosed)
		b.closeErr = b.peer.close()
	})
	if callqueue.CalledBack() { // another Close may wait for who calls this one
		b.endLog()
		return b.closeErr
	}
	b.callsOnce.Do(func() { b.callsErr = errors.Join(b.closeErr, b.endCalls()) })
	return b.callsErr
}

// endCalls waits for callbacks that run, which may log until they have ended.
func (e *ending) endCalls() error {
	ctx, cancel := context.WithDeadline(context.Background(), e.closeBy)
	defer cancel()
	left := e.calls.Wait(ctx)
	if !e.endLog() {
		left = append(left, "the Logger")
	}
	if len(left) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrCallback, strings.Join(left, ", "))
}

// endLog has nothing logged any more, once what was said before has been.
func (e *ending) endLog() bool {
	by := e.closeBy
	if least := time.Now().Add(lastLines); by.Before(least) {
		by = least
	}
	ctx, cancel := context.WithDeadline(context.Background(), by)
	defer cancel()
	return e.log.Close(ctx)
}

// shown is what may be shown of a configuration: not the Secret, nor what isn't a setting.
func (c Config) shown() Config {
	if c.Secret != "" {
		c.Secret = "(set)"
	}
	c.Peers = slices.Clone(c.Peers)
	c.Logger, c.Env = nil, nil
	return c
}

// key is what the transport encrypts with; nil: it doesn't.
func (c Config) key() ([]byte, error) { return meshnet.StretchSecret(c.Secret) }
