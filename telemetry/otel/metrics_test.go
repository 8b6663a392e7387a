package bcacheotel

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/bcachetest"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// Each figure of Stats has an instrument, or is the sum of what others have.
func TestEveryFigureOfTheNode(t *testing.T) {
	parts := []string{"Hits", "Misses", "StaleServed", "StaleHits", "NotFound", // bcache.requests
		"Fills", "Refreshes", // bcache.fill.starts
		"FillErrors", "FillsRefused", "FillsTooLarge", // bcache.fills
		"StaleFailures", "Undecodable", // those of the Loaders
		"SyncedFrom"} // an attribute
	var names []string
	for m := range (bcache.Stats{}).Metrics() {
		names = append(names, m.Name)
		checkFigure(t, nodeFigures, parts, m.Name, m.Kind)
	}
	for name := range nodeFigures {
		if !slices.Contains(names, name) {
			t.Errorf("Stats has no %s", name)
		}
	}
	checkFields(t, bcache.Stats{}, append(names, "Peers", "Propagation")...)
	checkFields(t, bcache.PeerStats{}, "ID", "Lag", "Silent", "Synced", "Behind", "Late", "ClockOffset", "RoundTrip",
		"PropagationP50", "PropagationP99", "Propagation") // the last one is a part of the node's
}

func TestEveryFigureOfLoaders(t *testing.T) {
	parts := []string{"Hits", "Misses", "StaleServed", "StaleHits", "NotFoundReturned", // bcache.loader.requests
		"OnStaleMissed"} // the cache's bcache.callback.misses
	stats := loader(t, localCache(t), bcache.LoaderConfig{Fill: newRig(t).database(found)}).Stats()
	var names []string
	for m := range stats.Metrics() {
		names = append(names, m.Name)
		checkFigure(t, loaderFigures, parts, m.Name, m.Kind)
		if f := loaderFigures[m.Name]; (m.Of != "") != (f.attribute.Key != "") {
			t.Errorf("%s has the kind %q, and the attribute %q", m.Name, m.Of, f.attribute.Key)
		}
	}
	for name := range loaderFigures {
		if !slices.Contains(names, name) {
			t.Errorf("LoaderStats has no %s", name)
		}
	}
	histograms := []string{"Took", "LeaseTook"}
	checkFields(t, stats, append(histograms, append(names, "Prefix", "Fillers", "Others")...)...)
}

// checkFigure checks that a figure is shown once, by an instrument of its kind.
func checkFigure(t *testing.T, figures map[string]figure, parts []string, name string, kind bcache.MetricKind) {
	t.Helper()
	f, ok := figures[name]
	if ok == slices.Contains(parts, name) {
		t.Errorf("%s is in an instrument of its own: %v, and it should be there once", name, ok)
		return
	}
	if !ok {
		return
	}
	i := slices.IndexFunc(observables, func(i instrument) bool { return i.name == f.instrument })
	if i < 0 {
		t.Fatalf("%s has no instrument %q", name, f.instrument)
	}
	in := observables[i]
	if isCounter := in.kind == counter; isCounter != (kind == bcache.MetricCounter) {
		t.Errorf("%s is a %s, and %s a %s", name, kind, in.name, in.kind)
	}
	if f.attribute.Key != "" && !slices.Contains(in.attributes, f.attribute.Key) {
		t.Errorf("%s has the attribute %s, %s doesn't", name, f.attribute.Key, in.name)
	}
}

// checkFields checks that a struct has these fields, and no others.
func checkFields(t *testing.T, of any, names ...string) {
	t.Helper()
	for _, f := range reflect.VisibleFields(reflect.TypeOf(of)) {
		if !slices.Contains(names, f.Name) {
			t.Errorf("%T has a field %s, which isn't shown", of, f.Name)
		}
	}
}

// No two figures are the same series.
func TestFiguresDiffer(t *testing.T) {
	seen := map[string]string{}
	for _, figures := range []map[string]figure{nodeFigures, loaderFigures} {
		for name, f := range figures {
			series := fmt.Sprint(f.instrument, f.attribute.Key, f.attribute.Value.String())
			if other, twice := seen[series]; twice {
				t.Errorf("%s and %s are both %s", name, other, series)
			}
			seen[series] = name
		}
	}
}

// After some traffic each instrument is there, and says what was done.
func TestMetricsOfTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		c := bcachetest.New(t, 2, bcache.Config{MaxKeys: 100})
		b := c.Node(0)
		var down error
		l := loader(t, b, bcache.LoaderConfig{Prefix: "u:", TTL: time.Second, StaleFor: time.Minute,
			NegativeTTL: time.Hour, ClusterWide: true, Observer: r.observer(),
			Fill: r.database(func(key string) (string, error) {
				time.Sleep(time.Second / 4)
				if key == "none" {
					return "", bcache.ErrNotFound
				}
				return "v", down
			}),
		})
		r.register(b)
		must := func(err error) {
			if err != nil {
				t.Error(err)
			}
		}
		must(b.Set("a", "1", 3600))
		must(b.Set("b", "2", 3600))
		must(b.Delete("b"))
		c.Delay(5 * time.Millisecond)
		time.Sleep(time.Minute) // pings tell of the clocks
		must(c.Node(1).Set("c", "3", 3600))
		c.WaitAll()
		b.Get("a")
		b.Get("b")
		b.GetWithFiller("f", func(string) (string, error) { return "v", nil }, 60) // a miss, and its fill
		l.Get(t.Context(), "k")                                                    // the same
		l.Get(t.Context(), "k")                                                    // a hit
		l.Get(t.Context(), "none")                                                 // a miss
		l.Get(t.Context(), "none")                                                 // known absence
		time.Sleep(2 * time.Second)
		down = errDown
		l.Get(t.Context(), "k") // stale, with a fill in the background that fails
		time.Sleep(time.Second)

		all := r.collect()
		u := keyLoader.String("u:")
		result := func(s string) attribute.KeyValue { return keyResult.String(s) }
		for res, want := range map[string]float64{"hit": 2, "miss": 4, "stale": 1, "negative": 1} {
			r.check(all, "bcache.requests", want, result(res))
		}
		for res, want := range map[string]float64{"hit": 1, "miss": 2, "stale": 1, "negative": 1} {
			r.check(all, "bcache.loader.requests", want, u, result(res))
		}
		r.check(all, "bcache.writes", 2, keyOperation.String("set"))
		r.check(all, "bcache.writes", 1, keyOperation.String("delete"))
		r.check(all, "bcache.writes", 0, keyOperation.String("clear"))
		r.check(all, "bcache.fill.starts", 2, u, keyCause.String("lease"))
		r.check(all, "bcache.fill.starts", 1, u, keyCause.String("refresh"))
		r.check(all, "bcache.fills", 1, u, keyOutcome.String("found"))
		r.check(all, "bcache.fills", 1, u, keyOutcome.String("not_found"))
		r.check(all, "bcache.fills", 1, u, keyOutcome.String("failed"))
		r.check(all, "bcache.fills", 1, keyLoader.String("(fillers)"), keyOutcome.String("found"))
		if n, ok := value(all["bcache.loader.requests"],
			keyLoader.String("(fillers)"), result("hit"), keyCache.String("users")); ok {
			t.Errorf("GetWithFiller has %v Gets of a Loader", n)
		}
		r.check(all, "bcache.fill.active", 0, u)
		r.check(all, "bcache.fill.calls", 3, u)
		r.check(all, "bcache.fill.time", 0.75, u)
		r.check(all, "bcache.stale.failures", 1, u)
		r.check(all, "bcache.lease.waits", 3, u, keyLeaseEnd.String("granted"))
		r.check(all, "bcache.fill.duration", 2, u, keyCause.String("lease"))
		r.check(all, "bcache.fill.duration", 1, u, keyCause.String("refresh"), keyErrorType.String("_OTHER"))
		r.check(all, "bcache.entry.count", float64(b.Len()))
		r.check(all, "bcache.size", float64(b.Stats().Bytes))
		r.check(all, "bcache.tombstone.count", float64(b.Stats().Tombstones))
		r.check(all, "bcache.ready", 1)
		r.check(all, "bcache.synced", 1)
		r.check(all, "bcache.peer.count", 1)
		r.check(all, "bcache.member.count", 1)
		r.check(all, "bcache.wire.records", 1, keyDirection.String("receive"))
		peer := keyPeer.String("2")
		r.check(all, "bcache.peer.synced", 1, peer)
		r.check(all, "bcache.peer.behind", 0, peer)
		frames, took := b.Stats().Propagation.Total(), b.Stats().Propagation.Sum.Seconds()
		r.check(all, "bcache.propagation.frames", float64(frames))
		r.check(all, "bcache.propagation.time", took)
		p := b.Stats().Peers[0]
		if frames == 0 || took == 0 || p.PropagationP50 < 0 || p.RoundTrip < 0 {
			t.Fatalf("the way of %d frames was timed, as %v; the peer has %+v", frames, took, p)
		}
		r.check(all, "bcache.peer.propagation.p50", p.PropagationP50.Seconds(), peer)
		r.check(all, "bcache.peer.propagation.p99", p.PropagationP99.Seconds(), peer)
		r.check(all, "bcache.peer.round_trip", p.RoundTrip.Seconds(), peer)
		r.check(all, "bcache.peer.clock_offset", p.ClockOffset.Seconds(), peer)
		r.check(all, "bcache.peer.silence", p.Silent.Seconds(), peer)
		r.check(all, "bcache.peer.lag", p.Lag.Seconds(), peer)
		r.check(all, "bcache.peer.late", p.Late.Seconds(), peer)
		checkInstruments(t, all)
	})
}

// checkInstruments checks that all instruments are there, and are what the tables say.
func checkInstruments(t *testing.T, all map[string]metricdata.Metrics) {
	t.Helper()
	for _, i := range append(slices.Clone(observables), fillDuration, leaseWaitDuration) {
		m, ok := all[i.name]
		if !ok {
			if i.name != "bcache.sync.source" { // there was no full sync, maybe
				t.Errorf("%s isn't there", i.name)
			}
			continue
		}
		delete(all, i.name)
		if m.Unit != i.unit || m.Description != i.description {
			t.Errorf("%s is in %q, and is %q", i.name, m.Unit, m.Description)
		}
		is, sets := shape(m.Data)
		if is != i.kind {
			t.Errorf("%s is a %s", i.name, is)
		}
		for _, set := range sets {
			for _, a := range set.ToSlice() {
				if a.Key != keyCache && !slices.Contains(i.attributes, a.Key) {
					t.Errorf("%s has the attribute %s", i.name, a.Key)
				}
			}
			if n := set.Len() - 1; n != len(i.attributes) && !slices.Contains(i.attributes, keyErrorType) {
				t.Errorf("%s has %d attributes: %v", i.name, n, set.ToSlice())
			}
		}
	}
	for name := range all {
		t.Errorf("%s is in no table", name)
	}
}

// shape is the kind of a metric, and its attributes.
func shape(of metricdata.Aggregation) (kind, []attribute.Set) {
	switch d := of.(type) {
	case metricdata.Sum[int64]:
		return sumKind(d.IsMonotonic), sets(d.DataPoints)
	case metricdata.Sum[float64]:
		return sumKind(d.IsMonotonic), sets(d.DataPoints)
	case metricdata.Gauge[int64]:
		return gauge, sets(d.DataPoints)
	case metricdata.Gauge[float64]:
		return gauge, sets(d.DataPoints)
	case metricdata.Histogram[float64]:
		var all []attribute.Set
		for _, p := range d.DataPoints {
			all = append(all, p.Attributes)
		}
		return histogram, all
	}
	return "", nil
}

func sumKind(monotonic bool) kind {
	if monotonic {
		return counter
	}
	return upDown
}

func sets[N int64 | float64](points []metricdata.DataPoint[N]) (all []attribute.Set) {
	for _, p := range points {
		all = append(all, p.Attributes)
	}
	return all
}

// A node that got its state from another says from which.
func TestMetricsSayWhereTheStateIsFrom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		c := bcachetest.New(t, 2, bcache.Config{MaxKeys: 100})
		if err := c.Node(0).Set("a", "1", 3600); err != nil {
			t.Fatal(err)
		}
		c.WaitAll()
		c.Restart(1)
		c.WaitConnected()
		from := c.Node(1).Stats().SyncedFrom
		if from == 0 {
			t.Fatal("there was no full sync")
		}
		r.register(c.Node(1))
		r.check(r.collect(), "bcache.sync.source", 1, keyPeer.String(fmt.Sprintf("%x", from)))
	})
}

// The names follow OpenTelemetry's rules for names, units and plurals.
func TestNamesFollowTheRules(t *testing.T) {
	seen := map[string]bool{}
	all := append(slices.Clone(observables), fillDuration, leaseWaitDuration)
	for _, i := range all {
		if seen[i.name] {
			t.Errorf("%s is there twice", i.name)
		}
		seen[i.name] = true
		if !strings.HasPrefix(i.name, "bcache.") || strings.Trim(i.name, "abcdefghijklmnopqrstuvwxyz0123456789._") != "" ||
			strings.HasSuffix(i.name, "_total") {
			t.Errorf("the name %s", i.name)
		}
		if i.kind == upDown && strings.HasSuffix(i.name, "s") {
			t.Errorf("%s is a plural", i.name)
		}
		if !strings.HasSuffix(i.description, ".") || i.kind == counter && i.unit == "" {
			t.Errorf("%s is in %q, and is %q", i.name, i.unit, i.description)
		}
		if u := strings.Trim(i.unit, "{}"); i.unit != "" && i.unit != "s" && i.unit != "By" && i.unit != "{"+u+"}" {
			t.Errorf("%s has the unit %s", i.name, i.unit)
		}
		for _, other := range all {
			if strings.HasPrefix(other.name, i.name+".") {
				t.Errorf("%s is a name, and the namespace of %s", i.name, other.name)
			}
		}
	}
}

// The histograms have the buckets of those of bcache.
func TestHistogramsHaveTheBoundsOfBcache(t *testing.T) {
	r := newRig(t)
	o := r.observer()
	o.FillEnded(t.Context(), bcache.FillResult{Took: 30 * time.Microsecond})
	o.LeaseWaited(t.Context(), bcache.LeaseWait{Took: 30 * time.Microsecond})
	var want []float64
	for _, b := range loader(t, localCache(t), bcache.LoaderConfig{Fill: r.database(found)}).Stats().Took.Bounds {
		want = append(want, b.Seconds())
	}
	all := r.collect()
	for _, name := range []string{"bcache.fill.duration", "bcache.lease.wait.duration"} {
		p := all[name].Data.(metricdata.Histogram[float64]).DataPoints[0]
		if !slices.Equal(p.Bounds, want) {
			t.Errorf("%s has the bounds %v, bcache has %v", name, p.Bounds, want)
		}
		if p.BucketCounts[2] != 1 || p.Sum != 30e-6 {
			t.Errorf("%s counts %v, the sum is %v", name, p.BucketCounts, p.Sum)
		}
	}
}

// Two caches of one process are told apart, and one of them can be given up.
func TestTwoCaches(t *testing.T) {
	r := newRig(t)
	one, two := localCache(t), localCache(t)
	reg := r.register(one)
	r.opts.Cache = "others"
	r.register(two)
	if err := one.Set("k", "v", 60); err != nil {
		t.Fatal(err)
	}
	entries := func(name string) (float64, bool) {
		return value(r.collect()["bcache.entry.count"], keyCache.String(name))
	}
	if n, ok := entries("users"); n != 1 || !ok {
		t.Errorf("%v, %v", n, ok)
	}
	if n, ok := entries("others"); n != 0 || !ok {
		t.Errorf("%v, %v", n, ok)
	}
	if err := reg.Unregister(); err != nil {
		t.Fatal(err)
	}
	if n, ok := entries("users"); ok {
		t.Errorf("it is still read: %v", n)
	}
	if _, ok := entries("others"); !ok {
		t.Error("the other one isn't read any more")
	}
}

// Without a name there is no attribute of the cache.
func TestCacheWithoutAName(t *testing.T) {
	r := newRig(t)
	r.opts.Cache = ""
	r.register(localCache(t))
	if _, ok := value(r.collect()["bcache.entry.count"]); !ok {
		t.Error("there is an attribute")
	}
}

// The figures of Loaders that bcache doesn't tell apart, and of Fillers, have names that no prefix has.
func TestLoaderNames(t *testing.T) {
	prefixes := []string{"", "(none)", "(fillers)", "(others)", `\x28fillers)`, "u:", "a(b", "\xff", `\xff`, `\\xff`, "é", "\xc3",
		"a\uFFFDb", "a\xffb", "\n", `"`, strings.Repeat("x", maxPrefix)}
	names := map[string]string{
		nameOf(&bcache.LoaderStats{Fillers: true}): "GetWithFiller",
		nameOf(&bcache.LoaderStats{Others: true}):  "the others",
	}
	for _, p := range prefixes {
		name := nameOf(&bcache.LoaderStats{Prefix: p})
		if other, twice := names[name]; twice {
			t.Errorf("%q and %q are both %s", p, other, name)
		}
		names[name] = p
		if strings.ToValidUTF8(name, "") != name {
			t.Errorf("%q has the name %q", p, name)
		}
	}
	for prefix, want := range map[string]string{"u:": "u:", "é(": "é(", "\xc3(": `\xc3(`, "(": `\x28`, `\`: `\\`} {
		if got := loaderName(prefix); got != want {
			t.Errorf("%q has the name %s, want %s", prefix, got, want)
		}
	}
}

// An Observer, which is given the whole prefix, names a Loader as its Stats do.
func TestLongPrefixes(t *testing.T) {
	r := newRig(t)
	l := loader(t, localCache(t), bcache.LoaderConfig{Prefix: strings.Repeat("p", 300), Fill: r.database(found)})
	s := l.Stats()
	if got, want := loaderName(strings.Repeat("p", 300)), nameOf(&s); got != want {
		t.Errorf("the Observer's name has %d bytes, that of Stats %d", len(got), len(want))
	}
}

// The attributes of histograms are bounded, as those of the figures of Loaders are.
func TestHistogramsAreBounded(t *testing.T) {
	r := newRig(t)
	o := r.observer()
	for i := range 2 * maxNames {
		o.FillEnded(t.Context(), bcache.FillResult{FillInfo: bcache.FillInfo{Prefix: fmt.Sprintf("%04d", i)}})
	}
	all := r.collect()
	if _, sets := shape(all["bcache.fill.duration"].Data); len(sets) != maxNames+1 {
		t.Errorf("%d sets of attributes", len(sets))
	}
	attrs := []attribute.KeyValue{keyCause.String("foreground")}
	r.check(all, "bcache.fill.duration", 1, append(attrs, keyLoader.String("0001"))...)
	r.check(all, "bcache.fill.duration", maxNames, append(attrs, keyLoader.String("(others)"))...)
}

// Each Get is counted as one result, and no result falls although its parts are read one by one.
func TestRequestsAreCountedOnce(t *testing.T) {
	g := gets{hits: 10, misses: 5, stale: 3, staleHits: 2, negative: 1}
	want := map[string]float64{"hit": 7, "stale": 3, "negative": 1, "miss": 4}
	sum := 0.0
	for _, r := range g.byResult() {
		if r.count != want[r.name] {
			t.Errorf("%s: %v", r.name, r.count)
		}
		sum += r.count
	}
	if sum != 15 {
		t.Errorf("%v requests of 15", sum)
	}
	var m marks
	hit, other := mark{"", "hit"}, mark{"u:", "hit"}
	for _, step := range []struct {
		of         mark
		read, want float64
	}{{hit, 5, 5}, {hit, 4, 5}, {hit, 6, 6}, {other, 1, 1}, {other, -1, 1}} {
		if got := m.raise(step.of, step.read); got != step.want {
			t.Errorf("%v after %v, want %v", got, step.read, step.want)
		}
	}
	if got := m.raise(mark{"new", "hit"}, -1); got != 0 {
		t.Errorf("the first is %v", got)
	}
}

// What is counted by two counters that are read one after the other never falls.
func TestRequestsNeverFall(t *testing.T) {
	r := newRig(t)
	b := localCache(t)
	l := loader(t, b, bcache.LoaderConfig{NegativeTTL: time.Hour,
		Fill: r.database(func(string) (string, error) { return "", bcache.ErrNotFound })})
	r.register(b)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					l.Get(context.Background(), "none")
				}
			}
		})
	}
	last := map[string]float64{}
	for range 500 {
		all := r.collect()
		for _, name := range []string{"hit", "miss", "stale", "negative"} {
			n, ok := value(all["bcache.requests"], keyCache.String("users"), keyResult.String(name))
			if !ok || n < last[name] {
				t.Fatalf("%s was %v, and is %v, %v", name, last[name], n, ok)
			}
			last[name] = n
		}
	}
	close(stop)
	wg.Wait()
}

// Figures are read while the cache is used, closed, and while they are unregistered.
func TestCollectMeanwhile(t *testing.T) {
	r := newRig(t)
	b := localCache(t)
	l := loader(t, b, bcache.LoaderConfig{
		Prefix: "u:", TTL: time.Nanosecond, Observer: r.observer(), Fill: r.database(found)})
	reg := r.register(b)
	var users, readers sync.WaitGroup
	stop := make(chan struct{})
	closing := make(chan struct{})
	for i := range 2 {
		users.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				l.Get(context.Background(), fmt.Sprint("k", i, n%10))
				_ = b.Set("k", "v", 60)
				if n == 50 && i == 0 {
					close(closing)
				}
			}
		})
		readers.Go(func() {
			last := -1.0
			for range 100 {
				var rm metricdata.ResourceMetrics
				if err := r.reader.Collect(context.Background(), &rm); err != nil {
					t.Error(err)
				}
				for _, s := range rm.ScopeMetrics {
					for _, m := range s.Metrics {
						if m.Name != "bcache.requests" {
							continue
						}
						n, ok := value(m, keyCache.String("users"), keyResult.String("hit"))
						if !ok || n < last {
							t.Errorf("hits were %v, and are %v, %v", last, n, ok)
						}
						last = n
					}
				}
			}
		})
	}
	<-closing
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	readers.Wait()
	r.check(r.collect(), "bcache.ready", 0)
	readers.Go(func() { r.collect() })
	if err := reg.Unregister(); err != nil {
		t.Error(err)
	}
	readers.Wait()
	close(stop)
	users.Wait()
	if _, ok := r.collect()["bcache.ready"]; ok {
		t.Error("it is still read")
	}
}

// What can't be used is refused, with an error that says what it is.
func TestOptionsThatCantBeUsed(t *testing.T) {
	refused := func(err error, why string) {
		t.Helper()
		if !errors.Is(err, bcache.ErrConfig) || !strings.Contains(err.Error(), why) {
			t.Errorf("got %v, want that %s", err, why)
		}
	}
	_, err := RegisterMetrics(nil, Options{})
	refused(err, "the cache is nil")
	bad := Options{Cache: "\xff"}
	_, err = RegisterMetrics(localCache(t), bad)
	refused(err, `Cache is "\xff"`)
	_, err = NewObserver(bad)
	refused(err, `Cache is "\xff"`)
	for _, fails := range []string{"bcache.fill.duration", "bcache.lease.wait.duration"} {
		bad := Options{MeterProvider: &badProvider{fails: fails}}
		if _, err := NewObserver(bad); err != errDown {
			t.Errorf("a histogram can't be made: %v", err)
		}
	}
	for _, i := range observables {
		if _, err := RegisterMetrics(localCache(t), Options{MeterProvider: &badProvider{fails: i.name}}); err != errDown {
			t.Errorf("%s can't be made: %v", i.name, err)
		}
	}
}

// A badProvider makes no instrument of one name.
type badProvider struct {
	noop.MeterProvider
	noopMeter
	fails string
}

type noopMeter = noop.Meter // embedded by itself it would be called as the method is

func (p *badProvider) Meter(string, ...metric.MeterOption) metric.Meter { return p }

func (p *badProvider) err(name string) error {
	if name == p.fails {
		return errDown
	}
	return nil
}

func (p *badProvider) Float64Histogram(name string, _ ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	return noop.Float64Histogram{}, p.err(name)
}

func (p *badProvider) Int64ObservableCounter(
	name string, _ ...metric.Int64ObservableCounterOption,
) (metric.Int64ObservableCounter, error) {
	return noop.Int64ObservableCounter{}, p.err(name)
}

func (p *badProvider) Int64ObservableUpDownCounter(
	name string, _ ...metric.Int64ObservableUpDownCounterOption,
) (metric.Int64ObservableUpDownCounter, error) {
	return noop.Int64ObservableUpDownCounter{}, p.err(name)
}

func (p *badProvider) Int64ObservableGauge(
	name string, _ ...metric.Int64ObservableGaugeOption,
) (metric.Int64ObservableGauge, error) {
	return noop.Int64ObservableGauge{}, p.err(name)
}

func (p *badProvider) Float64ObservableCounter(
	name string, _ ...metric.Float64ObservableCounterOption,
) (metric.Float64ObservableCounter, error) {
	return noop.Float64ObservableCounter{}, p.err(name)
}

func (p *badProvider) Float64ObservableGauge(
	name string, _ ...metric.Float64ObservableGaugeOption,
) (metric.Float64ObservableGauge, error) {
	return noop.Float64ObservableGauge{}, p.err(name)
}

// Without providers those of the program are used.
func TestProvidersOfTheProgram(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		oldMeters, oldTracers := otel.GetMeterProvider(), otel.GetTracerProvider()
		otel.SetMeterProvider(r.opts.MeterProvider)
		otel.SetTracerProvider(r.opts.TracerProvider)
		defer otel.SetMeterProvider(oldMeters)
		defer otel.SetTracerProvider(oldTracers)
		r.opts.MeterProvider, r.opts.TracerProvider = nil, nil
		b := localCache(t)
		l := loader(t, b, bcache.LoaderConfig{Observer: r.observer(), Fill: r.database(found)})
		r.register(b)
		l.Get(t.Context(), "k")
		synctest.Wait()
		r.one("bcache.fill")
		all := r.collect()
		r.check(all, "bcache.entry.count", 1)
		r.check(all, "bcache.fill.duration", 1, keyLoader.String("(none)"), keyCause.String("foreground"))
	})
}

// Several readers of one provider have the same counts.
func TestSeveralReaders(t *testing.T) {
	r := newRig(t)
	r.reader = sdkmetric.NewManualReader()
	second := sdkmetric.NewManualReader(sdkmetric.WithTemporalitySelector(
		func(sdkmetric.InstrumentKind) metricdata.Temporality { return metricdata.DeltaTemporality }))
	r.opts.MeterProvider = sdkmetric.NewMeterProvider(sdkmetric.WithReader(r.reader), sdkmetric.WithReader(second))
	b := localCache(t)
	r.register(b)
	for range 3 {
		_ = b.Set("k", "v", 60)
	}
	for _, want := range []float64{3, 0} {
		r.check(r.collect(), "bcache.writes", 3, keyOperation.String("set"))
		r2 := &rig{t: t, reader: second}
		r2.check(r2.collect(), "bcache.writes", want, keyOperation.String("set"))
	}
}
