package bcacheprom

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
)

// Those fields of Stats that follow from others: the sum of these series is what the field says.
var sums = map[string]series{
	"Fills":         of(fillsStarted),
	"Refreshes":     {fillsStarted, []string{"", "refresh"}},
	"FillErrors":    {fills, []string{"", "failed"}},
	"FillsRefused":  {fills, []string{"", "refused"}},
	"FillsTooLarge": {fills, []string{"", "too_large"}},
	"StaleFailures": of(staleFailures),
	"Undecodable":   of(undecodable),
	"StaleServed":   of(requests, "stale"),
	"NotFound":      of(requests, "negative"),
}

// Those that no series has as they are.
var derived = []string{"Hits", "Misses", "StaleHits", "SyncedFrom"}

// fill gives every field of a struct that has figures a value of its own.
func fill(v reflect.Value, from int) {
	for i := range v.NumField() {
		switch f, n := v.Field(i), int64(from+i); {
		case v.Type().Field(i).Tag.Get("stat") == "":
		case f.Type() == reflect.TypeFor[time.Duration]():
			f.SetInt(n * int64(time.Second))
		case f.CanInt():
			f.SetInt(n)
		case f.CanUint():
			f.SetUint(uint64(n))
		case f.Kind() == reflect.Bool:
			f.SetBool(true)
		}
	}
}

// busyNode is a node of which every figure is another number.
func busyNode() *fakeNode {
	n := &fakeNode{}
	for i, prefix := range []string{"a:", "b:", ""} {
		l := bcache.LoaderStats{Begun: map[bcache.FillCause]uint64{}, Ended: map[bcache.FillOutcome]uint64{},
			LeaseWaits: map[bcache.LeaseEnd]uint64{}, Prefix: prefix, Fillers: prefix == ""}
		fill(reflect.ValueOf(&l).Elem(), 100*(i+1))
		for k := bcache.FillForeground; k.String() != "unknown"; k++ {
			l.Begun[k] = uint64(1000*i + 10*int(k) + 1)
		}
		for k := bcache.FillFailed; k.String() != "unknown"; k++ {
			l.Ended[k] = uint64(1000*i + 10*int(k) + 2)
		}
		for k := bcache.LeaseAbandoned; k.String() != "unknown"; k++ {
			l.LeaseWaits[k] = uint64(1000*i + 10*int(k) + 3)
		}
		l.Hits += 10_000
		l.Misses += 10_000
		l.Took = someTook(i + 1)
		l.LeaseTook = someTook(i + 2)
		n.loaders = append(n.loaders, l)
	}
	s := &n.stats
	fill(reflect.ValueOf(s).Elem(), 2000)
	s.Hits, s.Misses, s.SyncedFrom = 100_000, 50_000, 0xabc
	s.Fills, s.Refreshes, s.FillErrors, s.FillsRefused, s.FillsTooLarge = 0, 0, 0, 0, 0
	s.StaleFailures, s.Undecodable = 0, 0
	for _, l := range n.loaders {
		for _, begun := range l.Begun {
			s.Fills += begun
		}
		s.Refreshes += l.Begun[bcache.FillRefresh]
		s.FillErrors += l.Ended[bcache.FillFailed]
		s.FillsRefused += l.Ended[bcache.FillRefused]
		s.FillsTooLarge += l.Ended[bcache.FillTooLarge]
		if !l.Fillers {
			s.StaleFailures += l.StaleFailures
			s.Undecodable += l.Undecodable
		}
	}
	s.Propagation = someTook(6)
	s.Peers = []bcache.PeerStats{
		{ID: 0xabc, Lag: 3 * time.Second, Silent: 4 * time.Second, Late: 5 * time.Second, Synced: true,
			Behind: true, ClockOffset: -6 * time.Second, RoundTrip: 7 * time.Second,
			Propagation: someTook(5), PropagationP50: 8 * time.Second, PropagationP99: 9 * time.Second},
		{ID: 0xdef, Lag: -1, RoundTrip: -1, PropagationP50: -1, PropagationP99: -1},
	}
	n.members = make([]bcache.Member, 4)
	n.about = bcache.NodeInfo{ID: 0x123, Version: "v0.1.0", Go: "go1.25",
		Config: bcache.Config{MaxKeys: 10_000, MaxBytes: 20_000}}
	return n
}

// someTook is a histogram of n milliseconds and n minutes.
func someTook(n int) bcache.Histogram {
	h := bcache.Histogram{Bounds: []time.Duration{time.Millisecond, time.Second}, Counts: make([]uint64, 3)}
	h.Counts[0], h.Counts[2] = uint64(n), uint64(n)
	h.Sum = time.Duration(n) * (time.Millisecond + time.Minute)
	return h
}

// Every figure of Stats is in a metric, with its value, and of its kind.
func TestFieldsAreShown(t *testing.T) {
	n := busyNode()
	s := scrapeOf(t, n)
	figures := 0
	for m := range n.stats.Metrics() {
		figures++
		at, shown := byField[m.Name]
		if !shown {
			if at, shown = sums[m.Name]; !shown {
				if !slices.Contains(derived, m.Name) {
					t.Errorf("no metric shows %s: add it to byField, or say what it follows from", m.Name)
				}
				continue
			}
		} else if len(at.labels) != len(at.family.labels) {
			t.Errorf("%s has %d of %d labels", m.Name, len(at.labels), len(at.family.labels))
		}
		s.is(t, m.Value, at.family.name, at.labelled()...)
		if want := kind(m.Kind); at.family.kind != want {
			t.Errorf("%s is a %s, and %s a %s", m.Name, want, at.family.name, at.family.kind)
		}
	}
	if figures != len(byField)+len(sums)+len(derived) {
		t.Errorf("%d figures, but %d fields are named here", figures, len(byField)+len(sums)+len(derived))
	}
}

// Of what comes and goes, in is what comes.
func TestFieldsHaveTheirDirection(t *testing.T) {
	n := 0
	for name, at := range byField {
		if !slices.Equal(at.family.labels, []string{"direction"}) {
			continue
		}
		n++
		in := strings.HasSuffix(name, "In") || name == "RecordsRepaired"
		if (at.labels[0] == "in") != in || (at.labels[0] == "out") == in {
			t.Errorf("%s has the direction %s", name, at.labels[0])
		}
	}
	if n != 10 {
		t.Errorf("%d fields have one", n)
	}
}

// What Gets returned follows from several figures, and is all Gets together.
func TestFieldsOfGets(t *testing.T) {
	n := busyNode()
	s, st := scrapeOf(t, n), &n.stats
	s.is(t, float64(st.Hits+st.Misses), "bcache_requests_total")
	s.is(t, float64(st.Hits-st.StaleHits-st.NotFound), "bcache_requests_total", "result", "hit")
	missed := st.Misses - (st.StaleServed - st.StaleHits)
	s.is(t, float64(missed), "bcache_requests_total", "result", "miss")
	for _, l := range n.loaders[:2] {
		s.is(t, float64(l.Hits+l.Misses), "bcache_loader_requests_total", "loader", l.Prefix)
		s.is(t, float64(l.StaleServed), "bcache_loader_requests_total", "loader", l.Prefix, "result", "stale")
		s.is(t, float64(l.NotFoundReturned), "bcache_loader_requests_total",
			"loader", l.Prefix, "result", "negative")
	}
	if got := s.series("bcache_loader_requests_total", "loader", loaderFillers); len(got) > 0 {
		t.Errorf("Fillers have %v", got)
	}
}

// Every field of LoaderStats is shown.
func TestFieldsOfLoaders(t *testing.T) {
	n := busyNode()
	s := scrapeOf(t, n)
	shown := []string{"Prefix", "Fillers", "Others", // the label
		"Hits", "Misses", "StaleServed", "StaleHits", "NotFoundReturned", // what Gets returned
		"Begun", "Ended", "Running", "Took", "LeaseWaits", "LeaseTook", "StaleFailures", "Undecodable", "AskedAnew",
		"OnStaleMissed", // of all Loaders together
	}
	for i := range reflect.TypeFor[bcache.LoaderStats]().NumField() {
		if name := reflect.TypeFor[bcache.LoaderStats]().Field(i).Name; !slices.Contains(shown, name) {
			t.Errorf("no metric shows %s", name)
		}
	}
	for i, l := range n.loaders {
		name := []string{"loader", loaderLabel(&l)}
		s.is(t, float64(l.Running), "bcache_fills_running", name...)
		checkHistogram(t, s.series("bcache_fill_duration_seconds", name...)[0].GetHistogram(), i+1)
		for k, want := range l.Begun {
			s.is(t, float64(want), "bcache_fills_started_total",
				"loader", name[1], "cause", k.String())
		}
		for k, want := range l.Ended {
			s.is(t, float64(want), "bcache_fills_total",
				"loader", name[1], "result", k.String())
		}
		if l.Fillers {
			continue
		}
		s.is(t, float64(l.StaleFailures), "bcache_stale_failures_total", name...)
		s.is(t, float64(l.Undecodable), "bcache_undecodable_values_total", name...)
		s.is(t, float64(l.AskedAnew), "bcache_asked_anew_total", name...)
		checkHistogram(t, s.series("bcache_lease_wait_duration_seconds", name...)[0].GetHistogram(), i+2)
		for k, want := range l.LeaseWaits {
			s.is(t, float64(want), "bcache_lease_waits_total",
				"loader", name[1], "end", k.String())
		}
	}
}

// checkHistogram checks one of someTook.
func checkHistogram(t *testing.T, h histogramLike, n int) {
	t.Helper()
	sum := float64(n) * 60.001
	if h.GetSampleCount() != uint64(2*n) || math.Abs(h.GetSampleSum()-sum) > 1e-9 {
		t.Errorf("%d samples, together %v s, want %d and %v", h.GetSampleCount(), h.GetSampleSum(), 2*n, sum)
	}
}

type histogramLike interface {
	GetSampleCount() uint64
	GetSampleSum() float64
}

// The buckets count what is no longer than their bounds; the last one has all.
func TestFieldsOfHistograms(t *testing.T) {
	s := scrapeOf(t, busyNode())
	h := s.series("bcache_fill_duration_seconds", "loader", "b:")[0].GetHistogram()
	var got [][2]float64
	for _, b := range h.GetBucket() {
		got = append(got, [2]float64{b.GetUpperBound(), float64(b.GetCumulativeCount())})
	}
	if want := [][2]float64{{0.001, 2}, {1, 2}, {math.Inf(1), 4}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A Loader that has never waited for a lease has no series of leases.
func TestFieldsOfLeases(t *testing.T) {
	n := busyNode()
	n.loaders[0].LeaseTook = bcache.Histogram{}
	s := scrapeOf(t, n)
	for _, name := range []string{"bcache_lease_waits_total", "bcache_lease_wait_duration_seconds"} {
		if got := s.series(name, "loader", "a:"); len(got) > 0 {
			t.Errorf("%s has %v", name, got)
		}
		if got := s.series(name, "loader", "b:"); len(got) == 0 {
			t.Errorf("%s has none of the other Loader", name)
		}
	}
}

// Every field of PeerStats is shown, and nothing of what isn't known.
func TestFieldsOfPeers(t *testing.T) {
	n := busyNode()
	s := scrapeOf(t, n)
	shown := []string{"ID", "Lag", "Silent", "Synced", "Behind", "Late", "ClockOffset", "RoundTrip",
		"Propagation", "PropagationP50", "PropagationP99"}
	for i := range reflect.TypeFor[bcache.PeerStats]().NumField() {
		if name := reflect.TypeFor[bcache.PeerStats]().Field(i).Name; !slices.Contains(shown, name) {
			t.Errorf("no metric shows %s", name)
		}
	}
	first, second := []string{"peer", "abc"}, []string{"peer", "def"}
	s.is(t, 2, "bcache_peers")
	s.is(t, 1, "bcache_info", "node", "123", "version", "v0.1.0", "go_version", "go1.25")
	s.is(t, 10_000, "bcache_max_entries")
	s.is(t, 20_000, "bcache_max_size_bytes")
	s.is(t, 4, "bcache_members")
	s.is(t, 1, "bcache_synced_from_info", first...)
	s.is(t, 3, "bcache_peer_lag_seconds", first...)
	s.is(t, 4, "bcache_peer_silence_seconds", first...)
	s.is(t, 1, "bcache_peer_synced", first...)
	s.is(t, 1, "bcache_peer_behind", first...)
	s.is(t, 5, "bcache_peer_late_seconds", first...)
	s.is(t, -6, "bcache_peer_clock_offset_seconds", first...)
	s.is(t, 7, "bcache_peer_round_trip_seconds", first...)
	took := s.series("bcache_peer_propagation_seconds", first...)[0].GetSummary()
	checkHistogram(t, took, 5)
	for i, q := range []struct{ at, is float64 }{{0.5, 8}, {0.99, 9}} {
		if got := took.GetQuantile()[i]; got.GetQuantile() != q.at || got.GetValue() != q.is {
			t.Errorf("quantile %v is %v", got.GetQuantile(), got.GetValue())
		}
	}
	checkHistogram(t, s.series("bcache_propagation_seconds")[0].GetHistogram(), 6)
	s.is(t, 0, "bcache_peer_synced", second...)
	for _, of := range []string{"lag", "clock_offset", "round_trip"} {
		name := "bcache_peer_" + of + "_seconds"
		if got := s.series(name, second...); len(got) > 0 {
			t.Errorf("%s has %v", name, got)
		}
	}
	for _, q := range s.series("bcache_peer_propagation_seconds", second...)[0].GetSummary().GetQuantile() {
		if !math.IsNaN(q.GetValue()) {
			t.Errorf("nothing has come, and quantile %v is %v", q.GetQuantile(), q.GetValue())
		}
	}
}
