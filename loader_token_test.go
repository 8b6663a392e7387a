package bcache

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/fill"
	"github.com/iwanbk/bcache/internal/testkit"
)

// unknownToken is of a node that nobody knows.
var unknownToken = Token{[]delta.Dot{{Origin: 1, Seq: 1}}}

func awaiting(c *LoaderConfig) { c.AwaitToken = time.Second }

// gets checks what a Get with a Token returns, after how long, and how often the database is asked.
func gets(
	t *testing.T, l *Loader, db *testDB, ctx context.Context, key, want string, took time.Duration, queries int,
) {
	t.Helper()
	start, before := time.Now(), db.asked()
	val, err := l.Get(ctx, key)
	if val != want || err != nil || time.Since(start) != took || db.asked()-before != queries {
		t.Errorf("Get(%q) = %q, %v after %v and %d queries; want %q after %v and %d",
			key, val, err, time.Since(start), db.asked()-before, want, took, queries)
	}
}

// Who comes with a Token is served what this node holds as soon as that is as new, and not before.
func TestLoaderAwaitsToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &testDB{}
		db.set("k", "old")
		net, nodes := three(t)
		ls := loaders(t, nodes, db, awaiting)
		loaded(t, ls[0], "k", "old")
		synctest.Wait()
		net.Delay(70 * time.Millisecond)
		db.set("k", "new")
		testkit.Must(t, ls[0].Delete("k"))
		ctx := WithToken(t.Context(), nodes[0].Token())
		gets(t, ls[1], db, t.Context(), "k", "old", 0, 0) // who hasn't written it can't tell
		gets(t, ls[1], db, ctx, "k", "new", 70*time.Millisecond, 1)
		gets(t, ls[1], db, ctx, "k", "new", 0, 0)
		if r := ls[2].GetResult(ctx, "k"); r.Value != "new" || r.Err != nil {
			t.Errorf("%+v", r)
		}
		deaf := newLoader(t, nodes[2], db.fill)
		net.Delay(time.Hour)
		testkit.Must(t, ls[0].Delete("k"))
		gets(t, deaf, db, WithToken(t.Context(), nodes[0].Token()), "k", "new", 0, 0)
	})
}

// If the wait is in vain, the database is asked, and in time.
func TestLoaderAwaitsTokenInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &testDB{}
		db.set("k", "old")
		db.set("other", "other")
		net, nodes := three(t)
		ls := loaders(t, nodes, db, awaiting)
		loaded(t, ls[0], "k", "old")
		synctest.Wait()
		net.Delay(time.Hour)
		db.set("k", "new")
		testkit.Must(t, ls[0].Delete("k"))
		ctx := WithToken(t.Context(), nodes[0].Token())
		gets(t, ls[1], db, t.Context(), "k", "old", 0, 0)
		gets(t, ls[1], db, ctx, "k", "new", time.Second, 1)
		gets(t, ls[1], db, t.Context(), "k", "new", 0, 0) // it is cached, as what any Fill brings
		db.set("k", "newer")
		gets(t, ls[1], db, ctx, "k", "newer", 0, 1) // what is held may still be older; one wait is enough
		again := WithToken(t.Context(), nodes[0].Token())
		gets(t, ls[1], db, again, "k", "newer", time.Second, 1)
		gets(t, ls[1], db, again, "other", "other", 0, 1)
		for _, d := range []time.Duration{10 * time.Millisecond, time.Second, time.Minute} {
			ctx := WithToken(t.Context(), nodes[0].Token())
			short, cancel := context.WithTimeout(ctx, d)
			gets(t, ls[1], db, short, "k", "newer", min(d/2, time.Second), 1)
			cancel()
			if d < time.Minute { // that was too short to be in vain
				gets(t, ls[1], db, ctx, "k", "newer", time.Second, 1)
			}
		}
		ctx, cancel := context.WithCancel(WithToken(t.Context(), nodes[0].Token()))
		time.AfterFunc(100*time.Millisecond, cancel)
		if val, err := ls[1].Get(ctx, "k"); val != "" || err != context.Canceled {
			t.Errorf("Get = %q, %v", val, err)
		}
		unknown := WithToken(t.Context(), unknownToken)
		gets(t, ls[1], db, unknown, "k", "newer", 0, 1)
		closeUnheard(t, nodes[2])
		gets(t, ls[2], db, unknown, "k", "newer", 0, 1)
	})
}

// Nobody who asks anew gets what was read before he came, and no more Fills run at a time than always.
func TestLoaderAnewJoinsNoOlderFill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &testDB{took: time.Second}
		l := newLoader(t, localNode(t), db.fill, awaiting)
		var wg sync.WaitGroup
		for i := range 30 {
			wg.Go(func() {
				testkit.Advance(time.Duration(i) * 100 * time.Millisecond)
				db.set("k", fmt.Sprint(i))
			})
		}
		at := func(ms int, ctx context.Context, want string, took time.Duration) {
			wg.Go(func() {
				testkit.Advance(time.Duration(ms) * time.Millisecond)
				start := time.Now()
				val, err := l.Get(ctx, "k")
				if err != nil || val != want || time.Since(start) != took*time.Millisecond {
					t.Errorf("who comes after %d ms gets %q, %v after %v, want %s after %d ms",
						ms, val, err, time.Since(start), want, took)
				}
			})
		}
		anew := WithToken(t.Context(), unknownToken)
		at(50, t.Context(), "0", 1000)
		at(150, anew, "1", 1000)
		at(170, t.Context(), "0", 880) // joins the first
		at(250, anew, "2", 1000)
		at(350, anew, "10", 1700) // there is a place after 1050 ms
		at(450, anew, "10", 1600) // joins that one, which hasn't begun
		at(1060, anew, "11", 1090)
		wg.Wait()
		if n := db.asked(); n != 5 {
			t.Errorf("%d queries", n)
		}
	})
}

// The same of GetMany, by FillMany and by Fill: what is held is left out for all keys.
func TestLoaderAnewGetMany(t *testing.T) {
	for _, one := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			db := &testDB{took: time.Second}
			for _, key := range strings.Fields("a b c") {
				db.set(key, "old")
			}
			l := newLoader(t, localNode(t), db.fill, awaiting, func(c *LoaderConfig) {
				if !one {
					c.Fill, c.FillMany = nil, db.fillMany
				}
			})
			keys := strings.Fields("a b a c none")
			_, err := l.GetMany(t.Context(), keys)
			testkit.Must(t, err)
			for _, key := range strings.Fields("a b c") {
				db.set(key, "new")
			}
			was := db.asked()
			wants := func(ctx context.Context, want string) {
				t.Helper()
				vals, err := l.GetMany(ctx, keys[:4])
				got := strings.Join([]string{vals["a"], vals["b"], vals["c"]}, " ")
				if err != nil || len(vals) != 3 || got != want {
					t.Errorf("one by one %v: %v, %v; want %s", one, vals, err, want)
				}
			}
			wants(t.Context(), "old old old")
			wants(WithToken(t.Context(), unknownToken), "new new new")
			if asked := db.asked() - was; one && asked != 3 || !one && asked != 1 {
				t.Errorf("one by one %v: %d queries", one, asked)
			}
		})
	}
}

// If the database fails, who asks anew isn't served what is held, and nobody else is worse off for it.
func TestLoaderAnewFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &testDB{}
		db.set("k", "old")
		b := localNode(t)
		l := newLoader(t, b, db.fill, awaiting, func(c *LoaderConfig) {
			c.StaleOnErrorFor, c.NegativeTTL = time.Hour, time.Minute
		})
		loaded(t, l, "k", "old")
		down := errors.New("down")
		db.fail(down)
		db.took = time.Second
		anew := WithToken(t.Context(), unknownToken)
		fails := func(key string, want error, queries int) {
			t.Helper()
			before := db.asked()
			if r := l.GetResult(anew, key); r.Value != "" || !errors.Is(r.Err, want) || db.asked()-before != queries {
				t.Errorf("GetResult(%q) = %+v, and %d queries", key, r, db.asked()-before)
			}
		}
		fails("k", down, 1) // though a value is held that is fresh
		fails("k", down, 0) // the database is left alone for RetryAfter
		loaded(t, l, "k", "old")

		testkit.Advance(2 * time.Minute) // it is stale
		var wg sync.WaitGroup
		wg.Go(func() { fails("k", down, 2) })
		wg.Go(func() {
			testkit.Advance(time.Millisecond)
			if r := l.GetResult(t.Context(), "k"); r.Value != "old" || !r.Stale || r.Err != down {
				t.Errorf("who joins nobody that asks anew gets %+v", r)
			}
		})
		wg.Wait()

		testkit.Advance(time.Minute)
		db.fail(nil)
		fails("none", ErrNotFound, 1)
		fails("none", ErrNotFound, 1) // it is remembered, but not for this
		db.set("none", "there is one")
		gets(t, l, db, anew, "none", "there is one", time.Second, 1)
	})
}

// What the fence refuses is returned nevertheless, though something is held: that may be older.
func TestLoaderAnewIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &testDB{took: 10 * time.Millisecond}
		_, nodes := three(t)
		ls := loaders(t, nodes, db, awaiting)
		anew := WithToken(t.Context(), unknownToken)
		testkit.Must(t, ls[0].Set("k", "held", 0)) // is younger than the fence of a fill that begins now
		db.set("k", "new")
		gets(t, ls[0], db, anew, "k", "new", 10*time.Millisecond, 1)
		loaded(t, ls[0], "k", "held")
		testkit.Must(t, ls[0].Set("gone", "held", 0))
		if val, err := ls[0].Get(anew, "gone"); val != "" || !errors.Is(err, ErrNotFound) {
			t.Errorf("Get = %q, %v", val, err)
		}
		if s := nodes[0].Stats(); s.FillsRefused == 0 {
			t.Errorf("%+v", s)
		}
	})
}

// A Fill that ignores its context holds up nobody for longer than always, and nobody gets what is held.
func TestLoaderAnewIsOverdue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		b := localNode(t)
		l := newLoader(t, b, func(context.Context, string) (Loaded, error) {
			<-release
			return Loaded{Value: "late"}, nil
		}, awaiting, func(c *LoaderConfig) { c.FillTimeout = time.Second })
		set(t, b, "k", "held")
		start := time.Now()
		val, err := l.Get(WithToken(t.Context(), unknownToken), "k")
		if val != "" || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second+fill.FillSlack {
			t.Errorf("Get = %q, %v after %v", val, err, time.Since(start))
		}
		close(release)
	})
}

// Who asks anew waits for no other node's fill, which may have begun before he came.
func TestLoaderAnewTakesNoLease(t *testing.T) {
	for _, many := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			db := &testDB{took: time.Second}
			db.set("k", "old")
			db.set("l", "old")
			_, _, ls := leased(t, 3, db, awaiting, func(c *LoaderConfig) {
				if many {
					c.FillMany = db.fillMany
				}
			})
			get := func(l *Loader, ctx context.Context, want string) {
				t.Helper()
				start := time.Now()
				vals, err := l.GetMany(ctx, []string{"k", "l"})
				if err != nil || vals["k"] != want || vals["l"] != want || time.Since(start) != time.Second {
					t.Errorf("GetMany = %v, %v after %v, want %s", vals, err, time.Since(start), want)
				}
			}
			var wg sync.WaitGroup
			wg.Go(func() { get(ls[0], t.Context(), "old") })
			testkit.Advance(time.Second / 2)
			db.set("k", "new")
			db.set("l", "new")
			get(ls[1], WithToken(t.Context(), unknownToken), "new")
			wg.Wait()
		})
	}
}

// A Fill gets the Token of its caller, and one that would wait for itself is told so.
func TestLoaderAnewCycle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l *Loader
		l = newLoader(t, localNode(t), func(ctx context.Context, key string) (Loaded, error) {
			if token := TokenFrom(ctx); token.String() != unknownToken.String() {
				t.Errorf("the Fill has the Token %v", token)
			}
			val, err := l.Get(ctx, key)
			return Loaded{Value: val}, err
		}, awaiting)
		if val, err := l.Get(WithToken(t.Context(), unknownToken), "k"); val != "" || err != ErrFillCycle {
			t.Errorf("Get = %q, %v", val, err)
		}
	})
}

func TestTypedAwaitsToken(t *testing.T) {
	for _, shared := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			row := 1
			users, err := NewTyped(localNode(t), TypedConfig[*int]{
				Shared: shared,
				Fill: func(context.Context, string) (TypedLoaded[*int], error) {
					return TypedLoaded[*int]{Value: &row}, nil
				},
				Loader: LoaderConfig{TTL: time.Minute, AwaitToken: time.Second},
			})
			testkit.Must(t, err)
			anew := WithToken(t.Context(), unknownToken)
			check := func(ctx context.Context, want int) {
				t.Helper()
				one, err := users.Get(ctx, "k")
				r := users.GetResult(ctx, "k")
				many, errs := users.GetMany(ctx, []string{"k"})
				if err != nil || r.Err != nil || errs != nil || *one != want || *r.Value != want || *many["k"] != want {
					t.Errorf("%v, %v, %v; %v, %v, %v", one, r.Value, many, err, r.Err, errs)
				}
			}
			check(t.Context(), 1)
			testkit.Must(t, users.Set("k", new(int), 0))
			check(t.Context(), 0)
			row = 2
			check(anew, 2)
		})
	}
}

// The keys that are looked up anew are those that were asked for, each once.
func TestLoaderAnewAsksOnce(t *testing.T) {
	db := &testDB{}
	_, l := many(t, db, awaiting)
	vals, err := l.GetMany(WithToken(t.Context(), unknownToken), strings.Fields("a b a d b"))
	if got := strings.Join(slices.Sorted(maps.Keys(vals)), ""); err != nil || got != "abd" || db.asked() != 1 {
		t.Errorf("%v, %v, %q", vals, err, db.queries)
	}
}
