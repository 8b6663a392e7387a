package bcachehttp

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/bcachetest"
)

// names lists the names of the fields of an object, those of objects in it too.
func fieldNames(of any, in string) []string {
	var all []string
	switch of := of.(type) {
	case map[string]any:
		for name, v := range of {
			all = append(all, in+name)
			all = append(all, fieldNames(v, in+name+".")...)
		}
	case []any:
		for _, v := range of {
			all = append(all, fieldNames(v, in)...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// used is a cluster in which all has happened that the JSON tells of.
func used(t *testing.T) *bcachetest.Cluster {
	t.Helper()
	c := bcachetest.New(t, 2, bcache.Config{MaxKeys: 1000})
	time.Sleep(10 * time.Second)
	cache := c.Node(0)
	cache.Inspect().HotKeys(1)
	l, err := bcache.NewLoader(cache, bcache.LoaderConfig{
		Prefix: "p:", TTL: time.Minute, StaleFor: time.Minute, RefreshAhead: 0.5, ClusterWide: true,
		Fill: func(_ context.Context, key string) (bcache.Loaded, error) {
			time.Sleep(time.Second)
			if key == "bad" {
				return bcache.Loaded{}, errors.New("boom")
			}
			if key == "refused" {
				if err := cache.Delete("p:refused"); err != nil {
					return bcache.Loaded{}, err
				}
			}
			return bcache.Loaded{Value: "v\xff"}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"k", "k\xff", "bad", "refused", strings.Repeat("x", 300)} {
		_, err := l.Get(t.Context(), key)
		if (err != nil) != (key == "bad") {
			t.Fatal(err)
		}
	}
	for range 1000 {
		if _, err := l.Get(t.Context(), "k\xff"); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Get(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Node(1).Set("p:other", "v", 60); err != nil {
		t.Fatal(err)
	}
	c.WaitAll()
	return c
}

// The names of fields are what programs rely on: none goes, and docs/observing.md lists them.
func TestFieldNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := used(t)
		h := Handler(c.Node(0), Options{Values: true})
		time.Sleep(3 * time.Second)
		for path, want := range map[string]string{
			"node": `addr config config.advertise_addr config.cluster_name config.deletion_delay config.eviction
				config.isolated_after config.isolation config.listen_addr config.log_size config.max_bytes
				config.max_clock_skew config.max_conns config.max_keys config.max_pending config.min_peers config.peer_id config.peers config.secret
				config.settle config.sync_timeout go id origin ready since synced synced_at time`,
			"members": `members members.addr members.direct members.encrypted members.id members.inbound
				members.peer members.peer.behind members.peer.clock_offset members.peer.lag members.peer.late
				members.peer.propagation members.peer.propagation.count members.peer.propagation.p50
				members.peer.propagation.p99 members.peer.propagation.sum members.peer.propagation_p50
				members.peer.propagation_p99 members.peer.round_trip members.peer.silent members.peer.synced
				members.since time`,
			"hot":      `hits keys keys.count keys.error keys.key keys.key_base64 time`,
			"slow":     `fills fills.at fills.cut fills.key fills.key_base64 fills.took time`,
			"refused":  `keys keys.count keys.error keys.key time`,
			"warnings": `time warnings warnings.do warnings.grave warnings.name warnings.text`,
			"history": `rates rates.bytes_in rates.bytes_out rates.deletes rates.fills rates.gets rates.keys
				rates.sets rates.time time`,
			"overview": "",
			"loaders":  "", "stats": "",
			"why?values=1&key=p:k%FF": `key key_base64 reports reports.at reports.fills reports.granter
				reports.held reports.held.deadline reports.held.kind reports.held.refresh_from reports.held.size
				reports.held.stale_until reports.held.value reports.held.value_base64 reports.held.version
				reports.held.version.count reports.held.version.node reports.held.version.origin
				reports.held.version.time reports.node reports.state reports.text summary summary.agree
				summary.answered summary.newest summary.newest.count summary.newest.node summary.newest.origin
				summary.newest.time summary.nodes summary.text time`,
		} {
			v := getJSON(t, h, "/api/"+path, 200)
			got := fieldNames(v, "")
			got = slices.DeleteFunc(got, func(name string) bool { return name == "version" }) // as it was built
			if want := strings.Fields(want); len(want) > 0 && !slices.Equal(got, want) {
				t.Errorf("%s has %v", path, got)
			}
			at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(v["time"]))
			if err != nil || at.UnixMilli() != time.Now().UnixMilli() ||
				!strings.HasSuffix(v["time"].(string), "Z") {
				t.Errorf("the time of %s is %v: %v", path, v["time"], err)
			}
		}
	})
}

// The figures are those of the cache.
func TestFiguresOfJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := used(t)
		cache := c.Node(0)
		h := Handler(cache, Options{})
		stats := getJSON(t, h, "/api/stats", 200)
		s := cache.Stats()
		counters, gauges := stats["counters"].(map[string]any), stats["gauges"].(map[string]any)
		if counters["hits"] != float64(s.Hits) || counters["frames_in"] != float64(s.FramesIn) ||
			gauges["keys"] != float64(s.Keys) || gauges["synced"] != 1.0 ||
			gauges["sync_took"] != s.SyncTook.Seconds() {
			t.Errorf("the figures are %v", stats)
		}
		n := 0
		for m := range s.Metrics() {
			n++
			if m.Name == "SyncedFrom" {
				continue
			}
			if _, ok := map[bcache.MetricKind]map[string]any{
				bcache.MetricCounter: counters, bcache.MetricGauge: gauges,
			}[m.Kind][snake(m.Name)]; !ok {
				t.Errorf("there is no %s", m.Name)
			}
		}
		if len(counters)+len(gauges) != n-1 {
			t.Errorf("%d and %d figures of %d", len(counters), len(gauges), n)
		}
		loaders := getJSON(t, h, "/api/loaders", 200)["loaders"].([]any)
		l := loaders[1].(map[string]any)
		if loaders[0].(map[string]any)["fillers"] != true || l["prefix"] != "p:" || l["hits"] != 2000.0 ||
			l["ended"].(map[string]any)["refused"] != 1.0 || l["ended"].(map[string]any)["failed"] != 1.0 ||
			l["took"].(map[string]any)["count"] != 5.0 {
			t.Errorf("the loaders are %v", loaders)
		}
		slow := getJSON(t, h, "/api/slow?n=1", 200)["fills"].([]any)
		if len(slow) != 1 || slow[0].(map[string]any)["took"].(float64) < 1 {
			t.Errorf("slow are %v", slow)
		}
		refused := getJSON(t, h, "/api/refused", 200)["keys"].([]any)
		if len(refused) != 1 || refused[0].(map[string]any)["key"] != "p:refused" {
			t.Errorf("refused are %v", refused)
		}
		hot := getJSON(t, h, "/api/hot?n=2", 200)["keys"].([]any)
		if len(hot) != 2 {
			t.Fatalf("hot are %v", hot)
		}
		for _, k := range hot {
			if k := k.(map[string]any); k["key"] != "p:k" &&
				(k["key"] != "p:k\ufffd" || k["key_base64"] != "cDpr/w==") {
				t.Errorf("hot is %v", k)
			}
		}
		page := pageOf(t, get(t, h, "/?hot=1&refresh=0", 200).Body.String())
		text := all(page, "body")[0].text
		for _, want := range []string{"p:refused", `p:k\xff`, "1 refused", "1 failed", "Node 1", "boo"} {
			if strings.Contains(text, want) == (want == "boo") {
				t.Errorf("%q is wrong in the page: %s", want, text)
			}
		}
		if len(all(page, "table")) != 6 {
			t.Errorf("%d tables", len(all(page, "table")))
		}
	})
}

// To look at the page doesn't have keys counted; to ask does.
func TestHotIsOnlyAskedFor(t *testing.T) {
	cache, h := local(t, Options{})
	if err := cache.Set("k", "v", 60); err != nil {
		t.Fatal(err)
	}
	many := func() {
		for range 10_000 {
			cache.Get("k")
		}
	}
	for _, path := range []string{"/", "/?refresh=0&hot=0", "/api/overview", "/api/stats"} {
		get(t, h, path, 200)
	}
	many()
	if v := getJSON(t, h, "/api/hot", 200); v["hits"] != 0.0 {
		t.Errorf("counted were %v", v)
	}
	many()
	if v := getJSON(t, h, "/api/hot", 200); v["hits"] == 0.0 {
		t.Errorf("counted were %v", v)
	}
}

// The page is read anew every five seconds, unless it is told not to; its links keep what is chosen.
func TestRefresh(t *testing.T) {
	_, h := local(t, Options{})
	for path, want := range map[string]string{
		"/":                 "5 ./?refresh=0 ./?hot=1",
		"/?hot=1":           "5 ./?hot=1&refresh=0",
		"/?refresh=0":       "./ ./?hot=1&refresh=0",
		"/?refresh=0&hot=1": "./?hot=1",
		"/?refresh=1":       "5 ./?refresh=0 ./?hot=1",
	} {
		var got []string
		for _, e := range pageOf(t, get(t, h, path, 200).Body.String()) {
			switch {
			case e.attrs["http-equiv"] == "refresh":
				got = append(got, e.attrs["content"])
			case strings.HasPrefix(e.attrs["href"], "./"):
				got = append(got, e.attrs["href"])
			}
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s has %s", path, s)
		}
	}
}

// The overview has what the parts have.
func TestOverview(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := used(t)
		h := Handler(c.Node(0), Options{})
		v := getJSON(t, h, "/api/overview", 200)
		for name, part := range map[string]string{
			"node": "", "stats": "", "members": "members", "loaders": "loaders", "warnings": "warnings",
		} {
			var want any = getJSON(t, h, "/api/"+name, 200)
			if part != "" {
				want = want.(map[string]any)[part]
			}
			a, _ := json.Marshal(v[name])
			b, _ := json.Marshal(want)
			if string(a) != string(b) {
				t.Errorf("%s is %s, want %s", name, a, b)
			}
		}
	})
}

// A list says of each key that isn't whole that it isn't, wherever a character of it ends; so no page of
// another key is linked.
func TestKeysThatAreCut(t *testing.T) {
	cache, h := local(t, Options{})
	l, err := bcache.NewLoader(cache, bcache.LoaderConfig{TTL: time.Minute,
		Fill: func(context.Context, string) (bcache.Loaded, error) { return bcache.Loaded{}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	whole := map[string]bool{}
	for n := 250; n <= 258; n++ {
		for _, end := range []string{"", "é", "€", "😀", "\x80\x80\x80\x80"} {
			key := strings.Repeat("k", n) + end
			if _, err := l.Get(t.Context(), key); err != nil {
				t.Fatal(err)
			}
			whole[key] = len(key) <= 256
		}
	}
	fills := getJSON(t, h, "/api/slow?n=512", 200)["fills"].([]any)
	if len(fills) == 0 {
		t.Fatal("there are none")
	}
	for _, f := range fills {
		f := f.(map[string]any)
		key := f["key"].(string)
		if coded, ok := f["key_base64"].(string); ok {
			bytes, err := base64.StdEncoding.DecodeString(coded)
			if err != nil {
				t.Fatal(err)
			}
			key = string(bytes)
		}
		if cut, _ := f["cut"].(bool); cut == whole[key] {
			t.Errorf("cut is %v of %d bytes, %q", cut, len(key), key)
		}
	}
}
