package bcacheprom

import (
	"math"
	"time"

	"github.com/iwanbk/bcache"
)

// peers shows the figures of the directly connected nodes.
func (o *output) peers(s *bcache.Stats) {
	o.number(peers, float64(len(s.Peers)))
	o.histogram(propagation, s.Propagation)
	for i := range s.Peers {
		p := &s.Peers[i]
		name := peerLabel(p.ID)
		o.duration(peerLag, p.Lag, name)
		o.number(peerLate, p.Late.Seconds(), name)
		o.number(peerSilence, p.Silent.Seconds(), name)
		o.number(peerSynced, number(p.Synced), name)
		o.number(peerBehind, number(p.Behind), name)
		if p.RoundTrip >= 0 {
			o.number(peerClock, p.ClockOffset.Seconds(), name)
		}
		o.duration(peerRoundTrip, p.RoundTrip, name)
		o.summary(peerPropagation, p.Propagation, map[float64]float64{
			0.5: quantile(p.PropagationP50), 0.99: quantile(p.PropagationP99),
		}, name)
	}
}

// quantile is NaN if there is none, as client_golang has it.
func quantile(d time.Duration) float64 {
	if d < 0 {
		return math.NaN()
	}
	return d.Seconds()
}
