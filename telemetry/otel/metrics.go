package bcacheotel

import (
	"context"
	"fmt"
	"time"

	"github.com/iwanbk/bcache"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// RegisterMetrics has the figures of a cache read whenever the MeterProvider's readers collect them:
// Stats once, and the figures of its Loaders. README.md lists the instruments. A collection takes some
// tenths of a millisecond, and more with hundreds of prefixes. It goes on after Close of the cache, and
// keeps the cache in memory, until Unregister of what is returned.
//
// OpenTelemetry can't read a histogram that somebody else keeps: how long fills took is measured by an
// Observer, see [NewObserver].
//
// The error wraps [bcache.ErrConfig] and says what can't be used, or is the MeterProvider's.
func RegisterMetrics(cache *bcache.Bcache, opts Options) (metric.Registration, error) {
	if cache == nil {
		return nil, fmt.Errorf("%w: telemetry: the cache is nil", bcache.ErrConfig)
	}
	if err := opts.validate(); err != nil {
		return nil, err
	}
	r := &reader{cache: cache, opts: opts, of: map[string]readable{}}
	m := opts.meter()
	var all []metric.Observable
	for _, i := range observables {
		in, err := newReadable(m, i)
		if err != nil {
			return nil, err
		}
		r.of[i.name] = in
		all = append(all, in.observable())
	}
	return m.RegisterCallback(r.read, all...)
}

// A reader reads the figures of a cache.
type reader struct {
	cache *bcache.Bcache
	opts  Options
	of    map[string]readable // by name
	marks marks
}

// read is called by the readers of the MeterProvider, by several at a time if there are several.
func (r *reader) read(_ context.Context, to metric.Observer) error {
	s := r.cache.Stats()
	for m := range s.Metrics() {
		if f, ok := nodeFigures[m.Name]; ok {
			r.show(to, f, m)
		}
	}
	r.readGets(to, "bcache.requests", "", gets{s.Hits, s.Misses, s.StaleServed, s.StaleHits, s.NotFound})
	if s.SyncedFrom != 0 {
		r.observe(to, "bcache.sync.source", 1, keyPeer.String(peerName(s.SyncedFrom)))
	}
	r.observe(to, "bcache.propagation.frames", float64(s.Propagation.Total()))
	r.observe(to, "bcache.propagation.time", s.Propagation.Sum.Seconds())
	r.observe(to, "bcache.ready", number(r.cache.Ready() == nil))
	r.observe(to, "bcache.member.count", float64(len(r.cache.Members())))
	r.observe(to, "bcache.peer.count", float64(len(s.Peers)))
	for i := range s.Peers {
		r.readPeer(to, &s.Peers[i])
	}
	for _, l := range r.cache.Inspect().Loaders() {
		r.readLoader(to, &l)
	}
	return nil
}

// readGets shows the Gets of a Loader or, if that is "", of the cache.
func (r *reader) readGets(to metric.Observer, instrument, loader string, of gets) {
	for _, got := range of.byResult() {
		attrs := []attribute.KeyValue{keyResult.String(got.name)}
		if loader != "" {
			attrs = append(attrs, keyLoader.String(loader))
		}
		r.observe(to, instrument, r.marks.raise(mark{loader, got.name}, got.count), attrs...)
	}
}

func (r *reader) readPeer(to metric.Observer, p *bcache.PeerStats) {
	peer := keyPeer.String(peerName(p.ID))
	known := func(instrument string, d time.Duration) {
		if d >= 0 {
			r.observe(to, instrument, d.Seconds(), peer)
		}
	}
	known("bcache.peer.lag", p.Lag)
	known("bcache.peer.late", p.Late)
	known("bcache.peer.silence", p.Silent)
	known("bcache.peer.round_trip", p.RoundTrip)
	if p.RoundTrip >= 0 {
		r.observe(to, "bcache.peer.clock_offset", p.ClockOffset.Seconds(), peer)
	}
	known("bcache.peer.propagation.p50", p.PropagationP50)
	known("bcache.peer.propagation.p99", p.PropagationP99)
	r.observe(to, "bcache.peer.synced", number(p.Synced), peer)
	r.observe(to, "bcache.peer.behind", number(p.Behind), peer)
}

func (r *reader) readLoader(to metric.Observer, l *bcache.LoaderStats) {
	name := nameOf(l)
	loader := keyLoader.String(name)
	waited := l.LeaseTook.Total() > 0 // most Loaders never wait for a lease
	for m := range l.Metrics() {
		if f, ok := loaderFigures[m.Name]; ok && (waited || m.Name != "LeaseWaits") {
			r.show(to, f, m, loader)
		}
	}
	r.observe(to, "bcache.fill.calls", float64(l.Took.Total()), loader)
	r.observe(to, "bcache.fill.time", l.Took.Sum.Seconds(), loader)
	if waited {
		r.observe(to, "bcache.lease.wait.time", l.LeaseTook.Sum.Seconds(), loader)
	}
	if !l.Fillers { // whose Gets are those of the cache
		r.readGets(to, "bcache.loader.requests", name,
			gets{l.Hits, l.Misses, l.StaleServed, l.StaleHits, l.NotFoundReturned})
	}
}

// nameOf is the attribute of a Loader, of the Fillers, or of all that have no figures of their own.
func nameOf(l *bcache.LoaderStats) string {
	switch {
	case l.Fillers:
		return fillersName
	case l.Others:
		return othersName
	}
	return loaderName(l.Prefix)
}

// show observes a figure with its attribute.
func (r *reader) show(to metric.Observer, f figure, m bcache.Metric, more ...attribute.KeyValue) {
	a := f.attribute
	if a.Key != "" && m.Of != "" {
		a = a.Key.String(m.Of)
	}
	if a.Key != "" {
		more = append(more, a)
	}
	r.observe(to, f.instrument, m.Value, more...)
}

func (r *reader) observe(to metric.Observer, instrument string, v float64, attrs ...attribute.KeyValue) {
	r.of[instrument].observe(to, v, metric.WithAttributes(r.opts.with(attrs...)...))
}

func number(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// A readable is an instrument of a Meter: one of the two.
type readable struct {
	whole   metric.Int64Observable
	seconds metric.Float64Observable
}

func newReadable(m metric.Meter, i instrument) (r readable, err error) {
	unit, about := metric.WithUnit(i.unit), metric.WithDescription(i.description)
	switch {
	case i.seconds() && i.kind == counter:
		r.seconds, err = m.Float64ObservableCounter(i.name, unit, about)
	case i.seconds():
		r.seconds, err = m.Float64ObservableGauge(i.name, unit, about)
	case i.kind == counter:
		r.whole, err = m.Int64ObservableCounter(i.name, unit, about)
	case i.kind == upDown:
		r.whole, err = m.Int64ObservableUpDownCounter(i.name, unit, about)
	default:
		r.whole, err = m.Int64ObservableGauge(i.name, unit, about)
	}
	return r, err
}

func (r readable) observable() metric.Observable {
	if r.seconds != nil {
		return r.seconds
	}
	return r.whole
}

func (r readable) observe(to metric.Observer, v float64, opts metric.ObserveOption) {
	if r.seconds != nil {
		to.ObserveFloat64(r.seconds, v, opts)
	} else {
		to.ObserveInt64(r.whole, int64(v), opts)
	}
}
