package main

// What the page answers, as far as it is shown. Durations are in seconds, times are RFC 3339; what isn't
// known isn't there. See docs/observing.md.

type nodeAnswer struct {
	Time       string  `json:"time"`
	ID         string  `json:"id"`
	Origin     string  `json:"origin"`
	Addr       string  `json:"addr"`
	Since      string  `json:"since"`
	Ready      bool    `json:"ready"`
	NotReady   string  `json:"not_ready"`
	Synced     bool    `json:"synced"`
	SyncedFrom string  `json:"synced_from"`
	SyncedAt   string  `json:"synced_at"`
	Version    string  `json:"version"`
	Go         string  `json:"go"`
	Config     configs `json:"config"`
}

type configs struct {
	AdvertiseAddr string   `json:"advertise_addr"`
	Peers         []string `json:"peers"`
	ClusterName   string   `json:"cluster_name"`
	Secret        bool     `json:"secret"`
	MaxKeys       float64  `json:"max_keys"`
	MaxBytes      float64  `json:"max_bytes"`
	Eviction      string   `json:"eviction"`
	MinPeers      float64  `json:"min_peers"`
	Isolation     string   `json:"isolation"`
	IsolatedAfter float64  `json:"isolated_after"`
}

type membersAnswer struct {
	Time    string       `json:"time"`
	Members []memberInfo `json:"members"`
}

type memberInfo struct {
	ID        string    `json:"id"`
	Addr      string    `json:"addr"`
	Since     string    `json:"since"`
	Direct    bool      `json:"direct"`
	Encrypted bool      `json:"encrypted"`
	Peer      *peerInfo `json:"peer"`
}

type peerInfo struct {
	Lag            *float64 `json:"lag"`
	Silent         float64  `json:"silent"`
	Synced         bool     `json:"synced"`
	Behind         bool     `json:"behind"`
	Late           float64  `json:"late"`
	ClockOffset    *float64 `json:"clock_offset"`
	RoundTrip      *float64 `json:"round_trip"`
	PropagationP50 *float64 `json:"propagation_p50"`
	PropagationP99 *float64 `json:"propagation_p99"`
}

type statsAnswer struct {
	Time     string             `json:"time"`
	Counters map[string]float64 `json:"counters"`
	Gauges   map[string]float64 `json:"gauges"`
}

type loadersAnswer struct {
	Time    string       `json:"time"`
	Loaders []loaderInfo `json:"loaders"`
}

type loaderInfo struct {
	Prefix       string             `json:"prefix"`
	PrefixBase64 string             `json:"prefix_base64"`
	Fillers      bool               `json:"fillers"`
	Others       bool               `json:"others"`
	Hits         float64            `json:"hits"`
	Misses       float64            `json:"misses"`
	Begun        map[string]float64 `json:"begun"`
	Ended        map[string]float64 `json:"ended"`
	Running      float64            `json:"running"`
	Took         tookInfo           `json:"took"`
	StaleServed  float64            `json:"stale_served"`
}

type tookInfo struct {
	P50 *float64 `json:"p50"`
	P99 *float64 `json:"p99"`
}

type countInfo struct {
	keyInfo
	Count float64 `json:"count"`
	Error float64 `json:"error"`
}

type hotAnswer struct {
	Hits float64     `json:"hits"`
	Keys []countInfo `json:"keys"`
}

type refusedAnswer struct {
	Keys []countInfo `json:"keys"`
}

type slowAnswer struct {
	Time  string `json:"time"`
	Fills []struct {
		keyInfo
		Took float64 `json:"took"`
		At   string  `json:"at"`
	} `json:"fills"`
}

type warningsAnswer struct {
	Warnings []warningInfo `json:"warnings"`
}

type warningInfo struct {
	Name  string `json:"name"`
	Grave bool   `json:"grave"`
	Text  string `json:"text"`
	Do    string `json:"do"`
}

type overviewAnswer struct {
	Time     string        `json:"time"`
	Node     nodeAnswer    `json:"node"`
	Members  []memberInfo  `json:"members"`
	Stats    statsAnswer   `json:"stats"`
	Loaders  []loaderInfo  `json:"loaders"`
	Warnings []warningInfo `json:"warnings"`
}

type whyAnswer struct {
	keyInfo
	Summary struct {
		Text     string      `json:"text"`
		Agree    bool        `json:"agree"` // those that answered
		Answered int         `json:"answered"`
		Nodes    int         `json:"nodes"`
		Newest   *versioning `json:"newest"`
	} `json:"summary"`
	Reports []reportInfo `json:"reports"`
}

type versioning struct {
	Time   string `json:"time"`
	Origin string `json:"origin"`
	Node   string `json:"node"`
}

type reportInfo struct {
	Node        string    `json:"node"`
	Text        string    `json:"text"`
	State       string    `json:"state"`
	At          string    `json:"at"`
	Held        *heldInfo `json:"held"`
	Provisional *heldInfo `json:"provisional"`
	KeyClear    *struct {
		Prefix       string      `json:"prefix"`
		PrefixBase64 string      `json:"prefix_base64"`
		Tag          string      `json:"tag"`
		TagBase64    string      `json:"tag_base64"`
		Version      *versioning `json:"version"`
	} `json:"key_clear"`
	Decisions []struct {
		What        string `json:"what"`
		Provisional bool   `json:"provisional"`
		At          string `json:"at"`
	} `json:"decisions"`
}

type heldInfo struct {
	Kind        string      `json:"kind"`
	Version     *versioning `json:"version"`
	Value       *string     `json:"value"`
	ValueBase64 string      `json:"value_base64"`
	Tags        []string    `json:"tags"`
	TagsBase64  []string    `json:"tags_base64"`
}

type doneAnswer struct {
	Done string `json:"done"`
}
