package bcachehttp

import (
	"net/http"
	"strconv"
	"time"

	"github.com/iwanbk/bcache"
)

const (
	fewKeys  = 20  // a list of keys has, unless another number is asked for by n
	mostKeys = 512 // it has at most
)

// views are what is at /api/ but for keys: the figures of a node, a part each.
var views = map[string]func(*handler, *http.Request) (answer, error){
	"node":     of(theNode),
	"members":  of(theMembers),
	"stats":    of(func(h *handler) statsJSON { return newStatsJSON(newSample(h.cache)) }),
	"loaders":  of(theLoaders),
	"warnings": of(theWarnings),
	"history":  of(theRates),
	"overview": of(theOverview),
	"hot":      listed(hotKeys),
	"slow":     listed(slowFills),
	"refused":  listed(refusedFills),
}

// of serves figures that need nothing of the request.
func of[T any](figures func(*handler) T) func(*handler, *http.Request) (answer, error) {
	return func(h *handler, _ *http.Request) (answer, error) { return inJSON(figures(h)) }
}

type membersJSON struct {
	Time    string       `json:"time"`
	Members []memberJSON `json:"members"`
}

type loadersJSON struct {
	Time    string       `json:"time"`
	Loaders []loaderJSON `json:"loaders"`
}

type warningsJSON struct {
	Time     string        `json:"time"`
	Warnings []warningJSON `json:"warnings"`
}

type historyJSON struct {
	Time  string     `json:"time"`
	Rates []rateJSON `json:"rates"` // the oldest first, one every two seconds, of five minutes
}

type hotJSON struct {
	Time string      `json:"time"`
	Hits uint64      `json:"hits"` // about how many Gets found something since keys are counted
	Keys []countJSON `json:"keys"`
}

type refusedJSON struct {
	Time string      `json:"time"`
	Keys []countJSON `json:"keys"`
}

type slowFillsJSON struct {
	Time  string     `json:"time"`
	Fills []slowJSON `json:"fills"`
}

// overviewJSON has what the others have, but for the history and lists of keys.
type overviewJSON struct {
	Time     string        `json:"time"`
	Node     nodeJSON      `json:"node"`
	Members  []memberJSON  `json:"members"`
	Stats    statsJSON     `json:"stats"`
	Loaders  []loaderJSON  `json:"loaders"`
	Warnings []warningJSON `json:"warnings"`
}

func theNode(h *handler) nodeJSON {
	n := h.cache.Inspect().Node()
	return newNodeJSON(&n, h.cache.Ready(), time.Now())
}

func theMembers(h *handler) membersJSON {
	list := members(h.cache.Members(), h.cache.Stats().Peers)
	return membersJSON{moment(time.Now()), newMembersJSON(list)}
}

func theLoaders(h *handler) loadersJSON {
	j := loadersJSON{Time: moment(time.Now()), Loaders: []loaderJSON{}}
	for _, l := range h.cache.Inspect().Loaders() {
		j.Loaders = append(j.Loaders, newLoaderJSON(&l))
	}
	return j
}

func theWarnings(h *handler) warningsJSON {
	c := conditionOf(h)
	return warningsJSON{moment(c.now.at), newWarningsJSON(warningsOf(c))}
}

func theRates(h *handler) historyJSON {
	return historyJSON{moment(time.Now()), newRatesJSON(rates(h.history.list()))}
}

func theOverview(h *handler) overviewJSON {
	c := conditionOf(h)
	return overviewJSON{
		Time: moment(c.now.at), Node: newNodeJSON(&c.node, c.ready, c.now.at),
		Members: newMembersJSON(c.members), Stats: newStatsJSON(c.now), Loaders: theLoaders(h).Loaders,
		Warnings: newWarningsJSON(warningsOf(c)),
	}
}

// listed serves a list of as many keys as are asked for.
func listed[T any](keys func(bcache.Inspector, int) T) func(*handler, *http.Request) (answer, error) {
	return func(h *handler, r *http.Request) (answer, error) {
		n, err := number(r)
		if err != nil {
			return answer{}, err
		}
		return inJSON(keys(h.cache.Inspect(), n))
	}
}

// hotKeys has hits sampled for a minute.
func hotKeys(in bcache.Inspector, n int) hotJSON {
	keys, hits := in.HotKeys(n)
	return hotJSON{moment(time.Now()), hits, newCountsJSON(keys)}
}

func refusedFills(in bcache.Inspector, n int) refusedJSON {
	return refusedJSON{moment(time.Now()), newCountsJSON(in.RefusedFills(n))}
}

func slowFills(in bcache.Inspector, n int) slowFillsJSON {
	return slowFillsJSON{moment(time.Now()), newSlowJSON(in.SlowFills(n))}
}

// number is how many keys are asked for.
func number(r *http.Request) (int, error) {
	p, err := query(r)
	if err != nil {
		return 0, err
	}
	text, ok, err := p.one("n")
	if err != nil || !ok {
		return fewKeys, err
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > mostKeys {
		return 0, badRequest("n must be 1 to %d", mostKeys)
	}
	return n, nil
}

// A member is another node, with what is known of it if it is connected directly.
type member struct {
	bcache.Member
	Peer *bcache.PeerStats
}

func members(list []bcache.Member, peers []bcache.PeerStats) []member {
	of := make(map[uint64]*bcache.PeerStats, len(peers))
	for i := range peers {
		of[peers[i].ID] = &peers[i]
	}
	all := make([]member, len(list))
	for i, m := range list {
		all[i] = member{m, of[m.ID]}
	}
	return all
}
