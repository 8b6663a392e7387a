package bcache

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
)

// What Set writes has the times of what a Fill brings, on all nodes.
func TestLoaderSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		db := &testDB{}
		soft := func(c *LoaderConfig) {
			c.Prefix, c.TTL, c.RefreshAhead, c.StaleFor = "p:", 10*time.Second, 0.2, 5*time.Second
		}
		l, other := newLoader(t, nodes[0], db.fill, soft), newLoader(t, nodes[1], db.fill, soft)
		db.set("k", "filled")
		testkit.Must(t, l.Set("k", "set", 0))
		synctest.Wait()
		for _, b := range nodes {
			get(t, b, "p:k", "set")
		}
		loaded(t, other, "k", "set")
		testkit.Advance(7 * time.Second)
		loaded(t, other, "k", "set")
		if synctest.Wait(); db.asked() != 0 {
			t.Errorf("%d queries before the refresh", db.asked())
		}
		testkit.Advance(time.Second)
		loaded(t, other, "k", "set")
		if synctest.Wait(); db.asked() != 1 {
			t.Errorf("%d queries from the refresh on", db.asked())
		}

		testkit.Must(t, l.Set("stale", "old", time.Second))
		synctest.Wait()
		testkit.Advance(time.Second)
		miss(t, nodes[1], "p:stale")
		if r := other.GetResult(t.Context(), "stale"); r.Value != "old" || !r.Stale {
			t.Errorf("%+v", r)
		}
		testkit.Must(t, l.Set("ever", "v", NoExpiry))
		testkit.Advance(2 * time.Minute)
		get(t, nodes[1], "p:ever", "v")
		testkit.Must(t, l.Set("ever", "", -1)) // deletes
		synctest.Wait()
		miss(t, nodes[1], "p:ever")
	})
}

// A Set is a write: it ends what is known to be missing, and beats a fill that began before it.
func TestLoaderSetIsAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		negative := func(c *LoaderConfig) { c.NegativeTTL = time.Hour }
		db := &testDB{}
		l, other := newLoader(t, nodes[0], db.fill, negative), newLoader(t, nodes[1], db.fill, negative)
		if _, err := l.Get(t.Context(), "k"); !errors.Is(err, ErrNotFound) {
			t.Fatal(err)
		}
		synctest.Wait()
		testkit.Must(t, other.Set("k", "v", 0))
		synctest.Wait()
		loaded(t, l, "k", "v")

		db.took = time.Second
		db.set("slow", "old")
		done := make(chan error)
		go func() { _, err := l.Get(context.Background(), "slow"); done <- err }()
		synctest.Wait()
		testkit.Must(t, other.Set("slow", "new", 0))
		testkit.Must(t, <-done)
		synctest.Wait()
		for _, b := range nodes {
			get(t, b, "slow", "new")
		}
		if s := other.cache.Stats(); s.Sets != 2 || s.ProvisionalKept != 0 || s.RecordsOut < 2 {
			t.Errorf("%+v", s)
		}
	})
}

// Jitter shortens what is set as it does what is filled.
func TestLoaderSetJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		l := newLoader(t, b, (&testDB{}).fill, func(c *LoaderConfig) { c.TTL, c.Jitter = 100*time.Second, 0.2 })
		keys := manyKeys("k", 400)
		for _, key := range keys {
			testkit.Must(t, l.Set(key, "v", 0))
		}
		left := func() (n int) {
			for _, key := range keys {
				if _, ok := b.Get(key); ok {
					n++
				}
			}
			return n
		}
		testkit.Advance(80*time.Second - time.Millisecond)
		if n := left(); n != 400 {
			t.Errorf("%d are left before any may go", n)
		}
		if testkit.Advance(10 * time.Second); left() < 100 || left() > 300 {
			t.Errorf("%d of 400 are left at the half", left())
		}
		if testkit.Advance(11 * time.Second); left() != 0 {
			t.Errorf("%d outlive the TTL", left())
		}
	})
}

// Errors of a Loader's writes: what is too large deletes what is no longer true.
func TestLoaderWriteErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		l := newLoader(t, b, (&testDB{}).fill, func(c *LoaderConfig) { c.Prefix = "p:" })
		testkit.Must(t, l.Set("k", "v", 0))
		if err := l.Set("k", strings.Repeat("v", MaxRecordSize-2), 0); err != ErrTooLarge {
			t.Error(err)
		}
		miss(t, b, "p:k")
		long := strings.Repeat("k", MaxRecordSize-1) // it is too long with the Prefix
		for _, err := range []error{l.Set(long, "", 0), l.Set(long, "", -1), l.Delete(long)} {
			if err != ErrTooLarge {
				t.Error(err)
			}
		}
		testkit.Must(t, l.Set("1", "v", 0))
		testkit.Must(t, l.Set("2", "v", 0))
		testkit.Must(t, b.Set("3", "v", 60))
		var errs KeyErrors
		if err := l.DeleteMany([]string{"1", long, "2", "3"}); !errors.As(err, &errs) || len(errs) != 1 || errs[long] != ErrTooLarge {
			t.Errorf("%.200v", err)
		}
		miss(t, b, "p:1")
		miss(t, b, "p:2")
		get(t, b, "3", "v") // of no Loader
		testkit.Must(t, l.Set("1", "v", 0))
		testkit.Must(t, l.Delete("1"))
		miss(t, b, "p:1")
		testkit.Must(t, b.Close())
		for _, err := range []error{l.Set("k", "v", 0), l.Set("k", "v", -1), l.Delete("k"), l.DeleteMany([]string{"k"})} {
			if err != ErrClosed {
				t.Error(err)
			}
		}
	})
}

// GetResult of a Typed tells what that of a Loader does.
func TestTypedGetResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		var fails error
		typed, err := NewTyped(b, TypedConfig[int]{
			Codec: oddCodec{},
			Fill: func(context.Context, string) (TypedLoaded[int], error) {
				return TypedLoaded[int]{Value: 4}, fails
			},
			Loader: LoaderConfig{TTL: time.Second, StaleFor: time.Second, StaleOnErrorFor: time.Minute, Prefix: "p:"},
		})
		testkit.Must(t, err)
		is := func(want TypedResult[int]) {
			t.Helper()
			if r := typed.GetResult(t.Context(), "k"); r != want {
				t.Errorf("%+v, want %+v", r, want)
			}
		}
		is(TypedResult[int]{Value: 4})
		is(TypedResult[int]{Value: 4}) // cached
		testkit.Must(t, typed.Set("k", 6, 0))
		is(TypedResult[int]{Value: 6})
		fails = fs("down")
		testkit.Advance(time.Second)
		is(TypedResult[int]{Value: 6, Stale: true})
		synctest.Wait() // in the background it has failed
		is(TypedResult[int]{Value: 6, Stale: true, Err: fails})
		if v, err := typed.Get(t.Context(), "k"); v != 6 || err != nil {
			t.Error(v, err)
		}
		testkit.Must(t, typed.DeleteMany([]string{"k"}))
		testkit.Advance(time.Minute)
		is(TypedResult[int]{Err: fails})
		fails = ErrNotFound
		testkit.Advance(time.Minute)
		is(TypedResult[int]{Err: ErrNotFound})
		testkit.Must(t, b.Set("p:k", "12", 60)) // it can't be decoded
		fails = fs("down")
		testkit.Advance(2 * time.Second)
		is(TypedResult[int]{Err: fails})
		if s := b.Stats(); s.Undecodable == 0 {
			t.Errorf("%+v", s)
		}
	})
}
