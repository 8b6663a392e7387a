package bcacheprom

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/iwanbk/bcache"
	"github.com/prometheus/client_golang/prometheus"
)

// Options say how the metrics of one cache are told from those of others.
type Options struct {
	// Cache is the value of the label cache, which every metric has. Two caches that are registered with
	// one registry need different ones. With "" there is no such label, as far as Prometheus is
	// concerned; the dashboard and the alerts work with that too.
	Cache string

	// ConstLabels are further labels of every metric. Caches of one registry need the same names, with
	// whatever values. Names are of letters, digits and _, and aren't those of the metrics' own labels.
	ConstLabels prometheus.Labels
}

// A Collector shows the figures of one cache. It reads them when it is asked, and changes nothing: it
// needs no goroutine, and costs nothing between two scrapes. It is safe for concurrent use, also during
// and after Close of the cache: then it shows the last figures, and that the cache isn't ready.
// [prometheus.Unregister] ends it.
//
// How many series there are is bounded: by the number of directly connected nodes, at most
// Config.MaxConns, and of the Loaders' prefixes, of which the first 1,024 have series of their own.
type Collector struct {
	node  node
	about bcache.NodeInfo // it never changes
	descs map[*family]*prometheus.Desc
	gets  getCounts
}

// New returns a Collector, which is to be registered with a [prometheus.Registerer]. If cache is nil, or
// something about the Options can't work, the error wraps [bcache.ErrConfig] and says what.
func New(cache *bcache.Bcache, opts Options) (*Collector, error) {
	if cache == nil {
		return nil, fmt.Errorf("%w: metrics: the cache is nil", bcache.ErrConfig)
	}
	return newCollector(liveNode{cache}, opts)
}

func newCollector(n node, opts Options) (*Collector, error) {
	if err := opts.validate(); err != nil {
		return nil, err
	}
	labels := prometheus.Labels{"cache": strings.Clone(opts.Cache)}
	maps.Copy(labels, opts.ConstLabels)
	c := &Collector{node: n, about: n.Node(), descs: map[*family]*prometheus.Desc{}}
	for _, f := range families {
		c.descs[f] = prometheus.NewDesc(f.name, f.help, f.labels, labels)
	}
	return c, nil
}

var labelName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// validate returns everything that is wrong with o, joined.
func (o *Options) validate() error {
	var errs []error
	wrong := func(format string, v ...any) {
		errs = append(errs, fmt.Errorf("%w: metrics: %s", bcache.ErrConfig, fmt.Sprintf(format, v...)))
	}
	if !utf8.ValidString(o.Cache) {
		wrong("Cache is %q: must be valid UTF-8", o.Cache)
	}
	for _, name := range slices.Sorted(maps.Keys(o.ConstLabels)) {
		switch value := o.ConstLabels[name]; {
		case !labelName.MatchString(name) || strings.HasPrefix(name, "__"):
			wrong("ConstLabels has the name %q: must be letters, digits and _, no digit first and no __", name)
		case slices.Contains(ownLabels(), name):
			wrong("ConstLabels has the name %q, which is a label of the metrics: must be another one", name)
		case !utf8.ValidString(value):
			wrong("ConstLabels[%q] is %q: must be valid UTF-8", name, value)
		}
	}
	return errors.Join(errs...)
}

// Describe implements [prometheus.Collector].
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range families {
		ch <- c.descs[f]
	}
}

// Collect implements [prometheus.Collector].
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	o := output{ch, c.descs}
	s := c.node.Stats()
	for m := range s.Metrics() {
		if at, ok := byField[m.Name]; ok {
			o.number(at.family, m.Value, at.labels...)
		}
	}
	o.number(info, 1, peerLabel(c.about.ID), cmp.Or(c.about.Version, "unknown"), c.about.Go)
	o.number(maxEntries, float64(c.about.Config.MaxKeys))
	if most := c.about.Config.MaxBytes; most > 0 {
		o.number(maxSize, float64(most))
	}
	o.number(ready, number(c.node.Ready() == nil))
	o.number(members, float64(len(c.node.Members())))
	if s.SyncedFrom != 0 {
		o.number(syncedFrom, 1, peerLabel(s.SyncedFrom))
	}
	o.peers(&s)
	c.loaders(&o)
	for result, n := range c.gets.next("", gets{s.Hits, s.Misses, s.NotFound, s.StaleServed, s.StaleHits}) {
		o.number(requests, n, result)
	}
}

// loaders shows the figures of the Loaders, by their prefixes, and those of Fillers.
func (c *Collector) loaders(o *output) {
	for _, l := range c.node.Loaders() {
		name := loaderLabel(&l)
		for cause, n := range l.Begun {
			o.number(fillsStarted, float64(n), name, cause.String())
		}
		for outcome, n := range l.Ended {
			o.number(fills, float64(n), name, outcome.String())
		}
		o.number(fillsRunning, float64(l.Running), name)
		o.histogram(fillDuration, l.Took, name)
		if l.Fillers {
			continue // they have nothing of what follows
		}
		of := gets{l.Hits, l.Misses, l.NotFoundReturned, l.StaleServed, l.StaleHits}
		for result, n := range c.gets.next(name, of) {
			o.number(loaderRequests, n, name, result)
		}
		o.number(staleFailures, float64(l.StaleFailures), name)
		o.number(undecodable, float64(l.Undecodable), name)
		o.number(askedAnew, float64(l.AskedAnew), name)
		if l.LeaseTook.Total() == 0 {
			continue // most Loaders ask for no lease
		}
		for end, n := range l.LeaseWaits {
			o.number(leaseWaits, float64(n), name, end.String())
		}
		o.histogram(leaseWaitDuration, l.LeaseTook, name)
	}
}
