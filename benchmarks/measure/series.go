package measure

import (
	"math"
	"slices"
)

// A Series is one figure of several subjects, measured in rounds: in each round every subject
// once, so that what disturbs the machine for a while disturbs all of them.
type Series struct {
	Subjects []string
	values   map[string][]float64
}

// Add appends the figure of a round.
func (s *Series) Add(subject string, v float64) {
	if s.values == nil {
		s.values = make(map[string][]float64)
	}
	if _, ok := s.values[subject]; !ok {
		s.Subjects = append(s.Subjects, subject)
		slices.Sort(s.Subjects)
	}
	s.values[subject] = append(s.values[subject], v)
}

// Median over the rounds; NaN if there is none.
func (s *Series) Median(subject string) float64 { return median(s.values[subject]) }

// Values are a subject's figures, in the order of the rounds.
func (s *Series) Values(subject string) []float64 { return s.values[subject] }

// Ratio is the median of a's figure over b's of the same round; NaN if there is none.
func (s *Series) Ratio(a, b string) float64 {
	var ratios []float64
	for i := range min(len(s.values[a]), len(s.values[b])) {
		ratios = append(ratios, s.values[a][i]/s.values[b][i])
	}
	return median(ratios)
}

func median(v []float64) float64 { return Quantile(v, .5) }

// Quantile returns the q-quantile of v, in between if need be; NaN if v is empty.
func Quantile(v []float64, q float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	v = slices.Clone(v)
	slices.Sort(v)
	at := q * float64(len(v)-1)
	low := int(at)
	if low+1 == len(v) {
		return v[low]
	}
	return v[low] + (at-float64(low))*(v[low+1]-v[low])
}
