package bcachehttp

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/iwanbk/bcache"
)

// The JSON of the API: names are stable, and more may come. IDs and origins are strings in hexadecimal,
// as log lines have them; times are RFC 3339 with milliseconds, in UTC; durations are in seconds. What
// isn't known, or isn't there, is left out.

// hexID is an ID or an origin; "" for none.
func hexID(id uint64) string {
	if id == 0 {
		return ""
	}
	return fmt.Sprintf("%x", id)
}

// moment is a time; "" for none.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z07:00")
}

// seconds is a duration that may be unknown, which is nil.
func seconds(d time.Duration) *float64 {
	if d < 0 {
		return nil
	}
	s := d.Seconds()
	return &s
}

type nodeJSON struct {
	Time       string     `json:"time"` // when it said so
	ID         string     `json:"id"`
	Origin     string     `json:"origin"`
	Addr       string     `json:"addr,omitempty"`
	Since      string     `json:"since"`
	Ready      bool       `json:"ready"`
	NotReady   string     `json:"not_ready,omitempty"` // why it isn't
	Synced     bool       `json:"synced"`
	SyncedFrom string     `json:"synced_from,omitempty"`
	SyncedAt   string     `json:"synced_at,omitempty"`
	Version    string     `json:"version,omitempty"`
	Go         string     `json:"go"`
	Config     configJSON `json:"config"`
}

type configJSON struct {
	PeerID        string   `json:"peer_id"`
	ListenAddr    string   `json:"listen_addr"`
	AdvertiseAddr string   `json:"advertise_addr"`
	Peers         []string `json:"peers"`
	ClusterName   string   `json:"cluster_name"`
	Secret        bool     `json:"secret"` // there is one
	MaxKeys       int      `json:"max_keys"`
	MaxBytes      int64    `json:"max_bytes"`
	Eviction      string   `json:"eviction"`
	DeletionDelay int      `json:"deletion_delay"`
	MaxClockSkew  float64  `json:"max_clock_skew"`
	Settle        float64  `json:"settle"`
	SyncTimeout   float64  `json:"sync_timeout"`
	MinPeers      int      `json:"min_peers"`
	Isolation     string   `json:"isolation"`
	IsolatedAfter float64  `json:"isolated_after"`
	MaxConns      int      `json:"max_conns"`
	MaxPending    int      `json:"max_pending"`
	LogSize       int      `json:"log_size"`
}

func newNodeJSON(n *bcache.NodeInfo, ready error, now time.Time) nodeJSON {
	c := &n.Config
	j := nodeJSON{
		Time: moment(now), ID: hexID(n.ID), Origin: hexID(n.Origin), Addr: n.Addr, Since: moment(n.Since),
		Ready: ready == nil, Synced: n.Synced, SyncedFrom: hexID(n.SyncedFrom),
		Version: n.Version, Go: n.Go,
		Config: configJSON{
			PeerID: hexID(c.PeerID), ListenAddr: c.ListenAddr, AdvertiseAddr: c.AdvertiseAddr,
			Peers: append([]string{}, c.Peers...), ClusterName: c.ClusterName, Secret: c.Secret != "",
			MaxKeys: c.MaxKeys, MaxBytes: c.MaxBytes, Eviction: c.Eviction.String(),
			DeletionDelay: c.DeletionDelay, MaxClockSkew: c.MaxClockSkew.Seconds(),
			Settle: c.Settle.Seconds(), SyncTimeout: c.SyncTimeout.Seconds(), MinPeers: c.MinPeers,
			Isolation: c.Isolation.String(), IsolatedAfter: c.IsolatedAfter.Seconds(),
			MaxConns: c.MaxConns, MaxPending: c.MaxPending, LogSize: c.LogSize,
		},
	}
	if ready != nil {
		j.NotReady = ready.Error()
	}
	if n.Synced {
		j.SyncedAt = moment(n.SyncedAt)
	}
	return j
}

type memberJSON struct {
	ID        string    `json:"id"`
	Addr      string    `json:"addr,omitempty"`
	Since     string    `json:"since"`
	Direct    bool      `json:"direct"`
	Inbound   bool      `json:"inbound"`
	Encrypted bool      `json:"encrypted"`
	Peer      *peerJSON `json:"peer,omitempty"` // of a node that is connected directly
}

type peerJSON struct {
	Lag    *float64 `json:"lag,omitempty"`
	Silent float64  `json:"silent"`
	Synced bool     `json:"synced"`
	Behind bool     `json:"behind"`
	Late   float64  `json:"late"`

	ClockOffset *float64      `json:"clock_offset,omitempty"` // by how much its clock is ahead
	RoundTrip   *float64      `json:"round_trip,omitempty"`
	Propagation histogramJSON `json:"propagation"`               // since it connected
	P50         *float64      `json:"propagation_p50,omitempty"` // of the last minute
	P99         *float64      `json:"propagation_p99,omitempty"`
}

func newMembersJSON(list []member) []memberJSON {
	all := make([]memberJSON, len(list))
	for i := range list {
		all[i] = newMemberJSON(&list[i])
	}
	return all
}

func newMemberJSON(m *member) memberJSON {
	j := memberJSON{
		ID: hexID(m.ID), Addr: m.Addr, Since: moment(m.Since),
		Direct: m.Direct, Inbound: m.Inbound, Encrypted: m.Encrypted,
	}
	if p := m.Peer; p != nil {
		j.Peer = &peerJSON{
			Lag: seconds(p.Lag), Silent: p.Silent.Seconds(), Synced: p.Synced, Behind: p.Behind,
			Late: p.Late.Seconds(), RoundTrip: seconds(p.RoundTrip), Propagation: newHistogramJSON(p.Propagation),
			P50: seconds(p.PropagationP50), P99: seconds(p.PropagationP99),
		}
		if p.RoundTrip >= 0 {
			offset := p.ClockOffset.Seconds() // it may be negative
			j.Peer.ClockOffset = &offset
		}
	}
	return j
}

// statsJSON has all figures of Stats but the peers, which the members have.
type statsJSON struct {
	Time        string             `json:"time"`
	Counters    map[string]float64 `json:"counters"`
	Gauges      map[string]float64 `json:"gauges"` // synced and syncing are 0 or 1
	Propagation histogramJSON      `json:"propagation"`
}

func newStatsJSON(s *sample) statsJSON {
	j := statsJSON{
		Time: moment(s.at), Counters: map[string]float64{}, Gauges: map[string]float64{},
		Propagation: newHistogramJSON(s.stats.Propagation),
	}
	for m := range s.stats.Metrics() {
		switch {
		case m.Name == "SyncedFrom": // it is an ID, and the node has it
		case m.Kind == bcache.MetricCounter:
			j.Counters[snake(m.Name)] = m.Value
		default:
			j.Gauges[snake(m.Name)] = m.Value
		}
	}
	return j
}

// snake writes the name of a field as JSON has it: FramesIn is frames_in.
func snake(name string) string {
	var b strings.Builder
	for i, c := range name {
		if unicode.IsUpper(c) {
			if i > 0 {
				b.WriteByte('_')
			}
			c = unicode.ToLower(c)
		}
		b.WriteRune(c)
	}
	return b.String()
}

type loaderJSON struct {
	Prefix       string `json:"prefix"`
	PrefixBase64 string `json:"prefix_base64,omitempty"`
	Fillers      bool   `json:"fillers,omitempty"`
	Others       bool   `json:"others,omitempty"`

	Hits             uint64        `json:"hits"`
	Misses           uint64        `json:"misses"`
	Begun            kindsJSON     `json:"begun"`
	Ended            kindsJSON     `json:"ended"`
	Running          int           `json:"running"`
	Took             histogramJSON `json:"took"`
	LeaseWaits       kindsJSON     `json:"lease_waits"`
	LeaseTook        histogramJSON `json:"lease_took"`
	StaleServed      uint64        `json:"stale_served"`
	StaleFailures    uint64        `json:"stale_failures"`
	OnStaleMissed    uint64        `json:"on_stale_missed"`
	NotFoundReturned uint64        `json:"not_found_returned"`
	Undecodable      uint64        `json:"undecodable"`
	AskedAnew        uint64        `json:"asked_anew"`
}

// kindsJSON counts by kind, such as "found".
type kindsJSON map[string]uint64

func newKindsJSON[K interface {
	comparable
	fmt.Stringer
}](counts map[K]uint64) kindsJSON {
	j := make(kindsJSON, len(counts))
	for kind, n := range counts {
		j[kind.String()] = n
	}
	return j
}

func newLoaderJSON(s *bcache.LoaderStats) loaderJSON {
	j := loaderJSON{
		Fillers: s.Fillers, Others: s.Others, Hits: s.Hits, Misses: s.Misses,
		Begun: newKindsJSON(s.Begun), Ended: newKindsJSON(s.Ended), Running: s.Running,
		Took: newHistogramJSON(s.Took), LeaseWaits: newKindsJSON(s.LeaseWaits),
		LeaseTook: newHistogramJSON(s.LeaseTook), StaleServed: s.StaleServed,
		StaleFailures: s.StaleFailures, OnStaleMissed: s.OnStaleMissed,
		NotFoundReturned: s.NotFoundReturned, Undecodable: s.Undecodable,
		AskedAnew: s.AskedAnew,
	}
	j.Prefix, j.PrefixBase64 = bytesJSON(s.Prefix)
	return j
}

// histogramJSON says how long things took: how many there were, and quantiles if there was one.
type histogramJSON struct {
	Count uint64   `json:"count"`
	Sum   float64  `json:"sum"`
	P50   *float64 `json:"p50,omitempty"`
	P99   *float64 `json:"p99,omitempty"`
}

func newHistogramJSON(h bcache.Histogram) histogramJSON {
	j := histogramJSON{Count: h.Total(), Sum: h.Sum.Seconds()}
	if j.Count > 0 {
		j.P50, j.P99 = seconds(h.Quantile(0.5)), seconds(h.Quantile(0.99))
	}
	return j
}

// keyJSON is a key in a list. Of one of more than 256 bytes it is the beginning, and "…".
type keyJSON struct {
	Key       string `json:"key"`
	KeyBase64 string `json:"key_base64,omitempty"`
	Cut       bool   `json:"cut,omitempty"`
}

func newKeyJSON(key string) keyJSON {
	j := wholeKeyJSON(key)
	j.Cut = isCut(key)
	return j
}

// wholeKeyJSON is a key that isn't cut.
func wholeKeyJSON(key string) (j keyJSON) {
	j.Key, j.KeyBase64 = bytesJSON(key)
	return j
}

type countJSON struct {
	keyJSON
	Count uint64 `json:"count"`
	Error uint64 `json:"error"` // the true count may be less, by up to so much
}

func newCountsJSON(counts []bcache.KeyCount) []countJSON {
	all := make([]countJSON, len(counts))
	for i, c := range counts {
		all[i] = countJSON{newKeyJSON(c.Key), c.Count, c.Error}
	}
	return all
}

type slowJSON struct {
	keyJSON
	Took float64 `json:"took"`
	At   string  `json:"at"`
}

func newSlowJSON(fills []bcache.SlowFill) []slowJSON {
	all := make([]slowJSON, len(fills))
	for i, f := range fills {
		all[i] = slowJSON{newKeyJSON(f.Key), f.Took.Seconds(), moment(f.At)}
	}
	return all
}

type warningJSON struct {
	Name  string `json:"name"`
	Grave bool   `json:"grave"` // somebody must act
	Text  string `json:"text"`
	Do    string `json:"do"`
}

func newWarningsJSON(warnings []warning) []warningJSON {
	all := make([]warningJSON, len(warnings))
	for i, w := range warnings {
		all[i] = warningJSON{w.name, w.grave, w.text, w.do}
	}
	return all
}

// rateJSON is what was done in the time until a moment, since the one before.
type rateJSON struct {
	Time     string   `json:"time"`
	HitRatio *float64 `json:"hit_ratio,omitempty"` // 0 to 1; not there if there were no Gets
	Gets     float64  `json:"gets"`                // per second, as those that follow
	Sets     float64  `json:"sets"`
	Deletes  float64  `json:"deletes"`
	Fills    float64  `json:"fills"`
	BytesIn  float64  `json:"bytes_in"`
	BytesOut float64  `json:"bytes_out"`
	Keys     int      `json:"keys"` // at that moment
}

func newRatesJSON(all []rate) []rateJSON {
	list := make([]rateJSON, len(all))
	for i, r := range all {
		list[i] = rateJSON{
			Time: moment(r.at), Gets: r.gets, Sets: r.sets, Deletes: r.deletes, Fills: r.fills,
			BytesIn: r.in, BytesOut: r.out, Keys: r.keys,
		}
		if r.gets > 0 {
			list[i].HitRatio = &r.hitRatio
		}
	}
	return list
}
