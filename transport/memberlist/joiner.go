package memberlist

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/transport"
)

const (
	joinFirst     = 100 * time.Millisecond // to the second try; it doubles
	joinEvery     = 5 * time.Second
	joinQuiet     = 300 * time.Millisecond // without a new link
	joinAtOnce    = 3                      // the others are known by then
	joinLonely    = 16
	shareTries    = 3
	discoverLimit = 10 * time.Second
	maxTargets    = 1024 // that Discover may return
)

// A joiner tries the addresses of Join and Discover, as long as they lead to nobody who is there. So two
// parts of a cluster that have lost each other find together again.
type joiner struct {
	cfg    *Config
	node   *transport.Node
	life   *life
	roster *roster
	join   func(netip.AddrPort) error

	found  []string  // by Discover, when it last worked; the loop's
	shared time.Time // when the last link had come that share knew of; the loop's
	vain   int       // tries of share in a row that failed; the loop's

	mu   sync.Mutex
	seen map[string]*attempt // by address, as text and as IP
}

// An attempt is what is known of an address.
type attempt struct {
	transport.DialFailure
	since time.Time // the first try in a row that failed; zero: the last one didn't
	self  bool      // it is this node
	peer  uint64    // who has answered there
	used  bool      // it is still an address to try
	last  time.Time // it was tried
}

func (j *joiner) loop() {
	wait := joinFirst
	for {
		j.round()
		if !j.life.pause(wait/2 + rand.N(wait)) {
			return
		}
		if wait = min(2*wait, joinEvery); len(j.roster.all()) > 0 {
			wait = joinEvery
			if !j.share(time.Now()) {
				wait = joinQuiet
			}
		}
	}
}

// share exchanges all that memberlist knows with one of the neighbours, once no more links come. It reports
// false as long as it waits for that, or has yet to try again. While a large cluster starts, there are few
// links for news to go by, and memberlist doesn't repeat it for long.
func (j *joiner) share(now time.Time) bool {
	all, added := j.roster.all(), j.roster.quietSince()
	if len(all) == 0 || !added.After(j.shared) {
		return true
	}
	if now.Sub(added) < joinQuiet {
		return false
	}
	at, err := lookup(j.life.open, j.cfg.Resolver, all[rand.IntN(len(all))].peer.addr)
	if err == nil {
		err = j.join(at[0]) // who can't be reached is logged by the dialer
	}
	if j.vain++; err != nil && j.vain < shareTries {
		return false
	}
	j.shared, j.vain = added, 0
	return true
}

// round tries some of what leads to nobody.
func (j *joiner) round() {
	j.discover()
	texts := append(slices.Clone(j.cfg.Join), j.found...)
	slices.Sort(texts)
	texts = slices.Compact(texts)
	addrs, errs := j.lookup(texts)
	var open []*attempt
	there := j.roster.addrs()
	j.mu.Lock()
	for _, a := range j.seen {
		a.used = false
	}
	for i, text := range texts {
		if errs[i] != nil {
			j.attempt(text, netip.AddrPort{}).failed(errs[i])
			continue
		}
		for _, ip := range addrs[i] {
			a := j.attempt(text, ip)
			l := j.roster.link(a.peer)
			switch {
			case a.self || there[text] || there[ip.String()] || l != nil:
				a.since = time.Time{}
			default:
				open = append(open, a)
			}
		}
	}
	maps.DeleteFunc(j.seen, func(_ string, a *attempt) bool { return !a.used })
	// Those that were tried longest ago come first.
	rand.Shuffle(len(open), func(i, k int) { open[i], open[k] = open[k], open[i] })
	slices.SortStableFunc(open, func(a, b *attempt) int { return a.last.Compare(b.last) })
	most := joinAtOnce
	if len(j.roster.all()) == 0 {
		most = joinLonely
	}
	open = open[:min(len(open), most)]
	for _, a := range open {
		a.last = time.Now()
	}
	j.mu.Unlock()

	var wg sync.WaitGroup
	for _, a := range open {
		wg.Go(func() {
			err := j.join(a.IP)
			j.mu.Lock()
			defer j.mu.Unlock()
			if err == nil || a.self {
				a.since = time.Time{}
			} else {
				a.failed(err)
			}
		})
	}
	wg.Wait()
}

// attempt returns what is known of an address. j.mu is held.
func (j *joiner) attempt(text string, ip netip.AddrPort) *attempt {
	key := text + " " + ip.String()
	a := j.seen[key]
	if a == nil {
		a = &attempt{DialFailure: transport.DialFailure{Addr: text, IP: ip, Configured: true}}
		j.seen[key] = a
	}
	a.used = true
	return a
}

// failed notes that a try has failed. joiner.mu is held.
func (a *attempt) failed(err error) {
	if a.Err = err; a.since.IsZero() {
		a.since = time.Now()
	}
}

// answered notes who has answered at an address.
func (j *joiner) answered(addr string, peer uint64, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, a := range j.seen {
		if a.IP.IsValid() && a.IP.String() == addr {
			a.peer = peer
			if isRefusal(err, refusedSelf) {
				a.self = true
			}
		}
	}
}

func isRefusal(err error, want refusal) bool {
	var own refusal
	var theirs refused
	return errors.As(err, &own) && own == want || errors.As(err, &theirs) && theirs.refusal == want
}

func isAnyRefusal(err error) bool {
	return errors.As(err, new(refusal)) || errors.As(err, new(refused))
}

// lookup resolves addresses, at the same time.
func (j *joiner) lookup(texts []string) ([][]netip.AddrPort, []error) {
	found, errs := make([][]netip.AddrPort, len(texts)), make([]error, len(texts))
	hands := make(chan struct{}, 16)
	var wg sync.WaitGroup
	for i, text := range texts {
		hands <- struct{}{}
		wg.Go(func() {
			found[i], errs[i] = lookup(j.life.open, j.cfg.Resolver, text)
			<-hands
		})
	}
	wg.Wait()
	return found, errs
}

// discover asks Discover.
func (j *joiner) discover() {
	if j.cfg.Discover == nil {
		return
	}
	ctx, cancel := context.WithTimeout(j.life.open, discoverLimit)
	defer cancel()
	found, err := j.askDiscover(ctx)
	switch {
	case j.life.open.Err() != nil:
	case err != nil:
		j.node.Log.Errorf(0, "Discover: %v", linelog.Field("err", err))
	default:
		j.found = slices.Clone(found[:min(len(found), maxTargets)])
	}
}

func (j *joiner) askDiscover(ctx context.Context) (found []string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return j.cfg.Discover(ctx)
}

// unreached lists the addresses that are tried in vain.
func (j *joiner) unreached(now time.Time) (all []transport.DialFailure) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, a := range j.seen {
		if !a.since.IsZero() {
			f := a.DialFailure
			f.Lasting = now.Sub(a.since)
			all = append(all, f)
		}
	}
	slices.SortFunc(all, func(a, b transport.DialFailure) int {
		return cmp.Or(cmp.Compare(a.Addr, b.Addr), a.IP.Compare(b.IP))
	})
	return all
}
