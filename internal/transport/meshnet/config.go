package meshnet

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/iwanbk/bcache/internal/linelog"
)

const maxPending = 64 << 20 // bytes

// Config describes a Transport.
type Config struct {
	PeerID, Origin uint64 // PeerID is 1 to 2^48-1

	ListenAddr    string // host:port; port 0 picks a free one
	AdvertiseAddr string // "" is ListenAddr
	Peers         []string
	ClusterName   string
	Key           []byte        // the stretched secret; empty is open
	MaxClockSkew  time.Duration // nodes whose clocks differ by more are refused
	MaxConns      int
	MaxPending    int           // bytes that may wait for a node; 0 is maxPending
	lineAge       time.Duration // 0 is lineAge
	Log           *linelog.Log
	Now           func() time.Time // the wall clock that handshakes compare; nil is time.Now

	// Resolve returns all addresses of a host in Peers, or of one that was learnt; nil asks
	// the system.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
}

// complete checks what is configured and fills in what isn't.
func (cfg *Config) complete() error {
	if cfg.PeerID == 0 || cfg.PeerID >= 1<<48 {
		return fmt.Errorf("bcache: PeerID %d isn't within 1 to 2^48-1", cfg.PeerID)
	}
	if _, _, err := net.SplitHostPort(cfg.ListenAddr); err != nil {
		return fmt.Errorf("bcache: ListenAddr: %w", err)
	}
	if len(cfg.Key) == 0 {
		cfg.Key = nil // to mesh an empty password is a password
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Resolve == nil {
		cfg.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if cfg.Log == nil {
		cfg.Log = linelog.New(nil, cfg.Now)
	}
	return nil
}
