package bcachehttp

import (
	"strconv"
	"strings"
	"time"

	"github.com/iwanbk/bcache"
)

// A setting is a field of the Config, as it is shown.
type setting struct{ Name, Value string }

// settings lists the Config of a node, which has no Secret any more.
func settings(c *bcache.Config) []setting {
	secret := "none"
	if c.Secret != "" {
		secret = "set"
	}
	maxBytes := "no limit"
	if c.MaxBytes > 0 {
		maxBytes = size(float64(c.MaxBytes))
	}
	timeout := span(c.SyncTimeout)
	if c.SyncTimeout < 0 {
		timeout = "never alone"
	}
	return []setting{
		{"PeerID", hexID(c.PeerID)},
		{"ListenAddr", visible(orNone(c.ListenAddr))},
		{"AdvertiseAddr", visible(orNone(c.AdvertiseAddr))},
		{"Peers", visible(orNone(strings.Join(c.Peers, ", ")))},
		{"ClusterName", visible(orNone(c.ClusterName))},
		{"Secret", secret},
		{"MaxKeys", whole(c.MaxKeys)},
		{"MaxBytes", maxBytes},
		{"Eviction", c.Eviction.String()},
		{"DeletionDelay", seconds64(c.DeletionDelay)},
		{"MaxClockSkew", span(c.MaxClockSkew)},
		{"Settle", span(c.Settle)},
		{"SyncTimeout", timeout},
		{"MinPeers", strconv.Itoa(c.MinPeers)},
		{"Isolation", c.Isolation.String()},
		{"IsolatedAfter", span(c.IsolatedAfter)},
		{"MaxConns", whole(c.MaxConns)},
		{"MaxPending", size(float64(c.MaxPending))},
		{"LogSize", whole(c.LogSize)},
	}
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// seconds64 is a number of seconds, which may be too many for a Duration.
func seconds64(n int) string {
	if int64(n) > int64(1<<62/time.Second) {
		return whole(n) + " s"
	}
	return span(time.Duration(n) * time.Second)
}
