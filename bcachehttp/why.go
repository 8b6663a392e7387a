package bcachehttp

import (
	"net/http"
	"time"

	"github.com/iwanbk/bcache"
)

// A question is what is asked about a key, and its answers.
type question struct {
	asked   bool // there is a key
	key     string
	values  bool // values are asked for
	now     time.Time
	reports []bcache.KeyReport // this node's first
}

// ask asks all nodes about the key of a request, if it has one.
func ask(h *handler, r *http.Request) (question, error) {
	p, err := query(r)
	if err != nil {
		return question{}, err
	}
	q := question{}
	if q.key, q.asked, err = p.key(http.StatusRequestURITooLong); err != nil {
		return question{}, err
	}
	if q.values, err = p.is("values"); err != nil {
		return question{}, err
	}
	if q.values && !h.opts.Values {
		return question{}, problem{status: http.StatusForbidden, text: "values aren't shown here"}
	}
	if q.values {
		if err := h.authorize(r, Value); err != nil {
			return question{}, err
		}
	}
	if q.asked {
		q.reports, err = h.cache.Inspect().Why(r.Context(), q.key, q.values)
	}
	q.now = time.Now()
	return q, err
}

func whyAPI(h *handler, r *http.Request) (answer, error) {
	q, err := ask(h, r)
	if err != nil {
		return answer{}, err
	}
	if !q.asked {
		return answer{}, badRequest("there is no key: give it as key, or as key_base64")
	}
	s := summarize(q.reports)
	j := whyJSON{Time: moment(q.now), Summary: newSummaryJSON(&s)}
	j.Key, j.KeyBase64 = bytesJSON(q.key)
	for i := range q.reports {
		r := &q.reports[i]
		j.Reports = append(j.Reports, newReportJSON(r, s.states[i], explain(r), q.values))
	}
	return inJSON(j)
}
