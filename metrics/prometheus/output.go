package bcacheprom

import (
	"time"

	"github.com/iwanbk/bcache"
	"github.com/prometheus/client_golang/prometheus"
)

// An output is where the metrics of one scrape go.
type output struct {
	ch    chan<- prometheus.Metric
	descs map[*family]*prometheus.Desc
}

// number sends a counter or a gauge.
func (o *output) number(f *family, value float64, labels ...string) {
	typ := prometheus.GaugeValue
	if f.kind == counter {
		typ = prometheus.CounterValue
	}
	m, err := prometheus.NewConstMetric(o.descs[f], typ, value, labels...)
	o.send(f, m, err)
}

// duration sends a gauge, unless it is unknown, which is negative.
func (o *output) duration(f *family, value time.Duration, labels ...string) {
	if value >= 0 {
		o.number(f, value.Seconds(), labels...)
	}
}

func (o *output) histogram(f *family, h bcache.Histogram, labels ...string) {
	atMost := make(map[float64]uint64, len(h.Bounds))
	total := uint64(0)
	for i, in := range h.Counts {
		total += in
		if i < len(h.Bounds) {
			atMost[h.Bounds[i].Seconds()] = total
		}
	}
	m, err := prometheus.NewConstHistogram(o.descs[f], total, h.Sum.Seconds(), atMost, labels...)
	o.send(f, m, err)
}

// summary sends what a histogram has counted, beside quantiles of the last minute.
func (o *output) summary(f *family, h bcache.Histogram, at map[float64]float64, labels ...string) {
	m, err := prometheus.NewConstSummary(o.descs[f], h.Total(), h.Sum.Seconds(), at, labels...)
	o.send(f, m, err)
}

// send has the scrape say what was wrong, rather than leave something out.
func (o *output) send(f *family, m prometheus.Metric, err error) {
	if err != nil {
		m = prometheus.NewInvalidMetric(o.descs[f], err)
	}
	o.ch <- m
}

func number(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
