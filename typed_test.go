package bcache

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
)

type user struct {
	Name string
	Age  int
}

// users is a Typed of a table.
func users(t *testing.T, b *Bcache, rows map[string]user, edit ...func(*TypedConfig[user])) (*Typed[user], *atomic.Int64) {
	t.Helper()
	fills := new(atomic.Int64)
	cfg := TypedConfig[user]{
		Fill: func(_ context.Context, key string) (TypedLoaded[user], error) {
			fills.Add(1)
			u, ok := rows[key]
			if !ok {
				return TypedLoaded[user]{}, ErrNotFound
			}
			return TypedLoaded[user]{Value: u}, nil
		},
		Loader: LoaderConfig{Prefix: "user:", TTL: time.Minute},
	}
	for _, e := range edit {
		e(&cfg)
	}
	typed, err := NewTyped(b, cfg)
	testkit.Must(t, err)
	return typed, fills
}

func TestTyped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		rows := map[string]user{"1": {"Ada", 36}, "2": {"Bob", 7}}
		a, fills := users(t, nodes[0], rows)
		b, _ := users(t, nodes[1], rows)
		ctx := t.Context()
		if u, err := a.Get(ctx, "1"); u != rows["1"] || err != nil {
			t.Errorf("%v, %v", u, err)
		}
		synctest.Wait()
		get(t, nodes[1], "user:1", `{"Name":"Ada","Age":36}`)
		if u, err := b.Get(ctx, "1"); u != rows["1"] || err != nil || fills.Load() != 1 {
			t.Errorf("%v, %v", u, err)
		}
		if u, err := a.Get(ctx, "none"); u != (user{}) || err != ErrNotFound {
			t.Errorf("%v, %v", u, err)
		}
		got, err := a.GetMany(ctx, []string{"1", "2", "none"})
		if err != nil || !maps.Equal(got, rows) {
			t.Errorf("%v, %v", got, err)
		}
		testkit.Must(t, b.Set("3", user{"Cyd", 50}, time.Hour))
		testkit.Must(t, b.Set("4", user{"Dan", 60}, 0))
		testkit.Must(t, nodes[2].Set("order:1", "x", 60))
		synctest.Wait()
		want := map[string]user{"1": rows["1"], "2": rows["2"], "3": {"Cyd", 50}, "4": {"Dan", 60}}
		if all := maps.Collect(a.All()); !maps.Equal(all, want) {
			t.Errorf("All: %v", all)
		}
		if keys := slices.Sorted(a.Keys()); !slices.Equal(keys, []string{"1", "2", "3", "4"}) {
			t.Errorf("Keys: %v", keys)
		}
		for range a.All() {
			break
		}
		for range a.Keys() {
			break
		}
		testkit.Must(t, a.Delete("1"))
		testkit.Must(t, a.Set("2", user{}, -1))
		synctest.Wait()
		miss(t, nodes[1], "user:1")
		miss(t, nodes[1], "user:2")
		testkit.Advance(time.Minute)
		if keys := slices.Sorted(b.Keys()); !slices.Equal(keys, []string{"3"}) {
			t.Errorf("a minute later: %v", keys)
		}
	})
}

// What a Set writes has the Loader's times.
func TestTypedSetIsStaleLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows := map[string]user{"1": {"Ada", 36}}
		b := localNode(t)
		typed, fills := users(t, b, rows, func(c *TypedConfig[user]) { c.Loader.StaleFor = time.Hour })
		testkit.Must(t, typed.Set("1", user{"old", 1}, 0))
		testkit.Advance(time.Minute)
		if u, err := typed.Get(t.Context(), "1"); u.Name != "old" || err != nil {
			t.Errorf("%v, %v", u, err)
		}
		synctest.Wait()
		if u, err := typed.Get(t.Context(), "1"); u.Name != "Ada" || err != nil || fills.Load() != 1 {
			t.Errorf("%v, %v", u, err)
		}
	})
}

func TestTypedUndecodable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		rows := map[string]user{"1": {"Ada", 36}, "2": {"Bob", 7}}
		b := nodes[0]
		typed, fills := users(t, b, rows)
		testkit.Must(t, b.Set("user:1", "{", 3600))
		testkit.Must(t, b.Set("user:2", "{", 3600))
		testkit.Must(t, b.Set("user:gone", "{", 3600))
		testkit.Advance(time.Second)
		for range 2 {
			if u, err := typed.Get(t.Context(), "1"); u != rows["1"] || err != nil {
				t.Errorf("%v, %v", u, err)
			}
		}
		synctest.Wait()
		get(t, nodes[1], "user:1", "{") // the refill stands beside it on its node
		if n := b.Stats().Undecodable; n != 1 || fills.Load() != 1 {
			t.Errorf("Undecodable = %d, %d fills", n, fills.Load())
		}
		if all := maps.Collect(typed.All()); !maps.Equal(all, map[string]user{"1": rows["1"]}) {
			t.Errorf("All: %v", all)
		}
		got, err := typed.GetMany(t.Context(), []string{"1", "2", "gone"})
		if !maps.Equal(got, rows) || err != nil {
			t.Errorf("%v, %v", got, err)
		}

		// A write ends what stands beside, and begins anew.
		testkit.Must(t, b.Set("user:1", "[", 3600))
		if u, err := typed.Get(t.Context(), "1"); u != rows["1"] || err != nil {
			t.Errorf("%v, %v", u, err)
		}
	})
}

type oddCodec struct{}

var errOdd = errors.New("odd")

func (oddCodec) Encode(n int) (string, error) {
	if n%2 == 1 {
		return "", errOdd
	}
	return strconv.Itoa(n), nil
}

func (oddCodec) Decode(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if n >= 10 {
		return 0, errOdd
	}
	return n, err
}

// Errors of a Codec name the key.
func TestTypedCodecErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		typed, err := NewTyped(b, TypedConfig[int]{
			Codec: oddCodec{},
			FillMany: func(_ context.Context, keys []string) (map[string]TypedLoaded[int], error) {
				m := map[string]TypedLoaded[int]{}
				for _, key := range keys {
					n, _ := strconv.Atoi(key)
					m[key] = TypedLoaded[int]{Value: n}
				}
				delete(m, "8")
				return m, KeyErrors{"8": fs("down")}
			},
			Loader: LoaderConfig{TTL: time.Minute, RetryAfter: 1},
		})
		testkit.Must(t, err)
		named := func(err, want error, key string) {
			t.Helper()
			if !errors.Is(err, want) || !errors.Is(err, errOdd) || !strings.Contains(fmt.Sprint(err), fmt.Sprintf("%q", key)) {
				t.Errorf("%v", err)
			}
		}
		_, err = typed.Get(t.Context(), "3")
		named(err, ErrEncode, "3")
		named(typed.Set("5", 5, 0), ErrEncode, "5")
		_, err = typed.Get(t.Context(), "12") // can't be decoded, filled again or not
		named(err, ErrDecode, "12")
		got, err := typed.GetMany(t.Context(), []string{"2", "4", "7", "8", "14"})
		errs, _ := err.(KeyErrors)
		if len(got) != 2 || got["4"] != 4 || len(errs) != 3 || errs["8"] != fs("down") {
			t.Errorf("%v, %v", got, err)
		}
		named(errs["7"], ErrEncode, "7")
		named(errs["14"], ErrDecode, "14")
	})
}

// fs is an error that is equal to itself.
type fs string

func (s fs) Error() string { return string(s) }

func TestTypedRaw(t *testing.T) {
	b := localNode(t)
	typed, err := NewTyped(b, TypedConfig[[]byte]{
		Codec: Raw[[]byte]{},
		Fill: func(context.Context, string) (TypedLoaded[[]byte], error) {
			return TypedLoaded[[]byte]{Value: []byte{0, 0xff}}, nil
		},
		Loader: LoaderConfig{TTL: time.Minute},
	})
	testkit.Must(t, err)
	for range 2 {
		v, err := typed.Get(t.Context(), "k")
		if testkit.Must(t, err); string(v) != "\x00\xff" {
			t.Errorf("%q", v)
		}
		v[0] = 7 // it is the caller's own
	}
	big := make([]byte, MaxRecordSize)
	if err := typed.Set("k", big, 0); err != ErrTooLarge {
		t.Error(err)
	}
	miss(t, b, "k")
	testkit.Must(t, b.Close())
	if err := typed.Set("k", nil, 0); err != ErrClosed {
		t.Error(err)
	}
	if err := typed.Set("k", big, 0); err != ErrClosed {
		t.Error(err)
	}
}

func TestTypedConfig(t *testing.T) {
	b := localNode(t)
	if _, err := NewTyped(b, TypedConfig[int]{Loader: LoaderConfig{TTL: 1}}); !errors.Is(err, ErrConfig) {
		t.Error(err)
	}
	if _, err := NewTyped(b, TypedConfig[int]{Loader: LoaderConfig{TTL: 1, Fill: (&testDB{}).fill}}); !errors.Is(err, ErrConfig) {
		t.Error(err)
	}
}

func TestAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := New(Config{MaxKeys: 100_000}) // many shards
		testkit.Must(t, err)
		defer b.Close()
		want := map[string]string{}
		for i := range 5000 {
			key := fmt.Sprint(i)
			testkit.Must(t, b.Set(key, "v"+key, 60+i%2*60))
			if want[key] = "v" + key; i%3 == 0 {
				testkit.Must(t, b.Delete(key))
				delete(want, key)
			}
		}
		if got := maps.Collect(b.All()); !maps.Equal(got, want) {
			t.Errorf("%d of %d", len(got), len(want))
		}
		if keys := slices.Sorted(b.Keys()); !slices.Equal(keys, slices.Sorted(maps.Keys(want))) {
			t.Errorf("%d keys", len(keys))
		}
		before := b.Stats()
		testkit.Advance(time.Minute)
		n := 0
		for key, val := range b.All() { // the body may use the cache
			if val != "v"+key {
				t.Fatal(key, val)
			}
			testkit.Must(t, b.Delete(key))
			testkit.Must(t, b.Set("new"+key, "vnew"+key, 60))
			if n++; n == 1000 {
				break
			}
		}
		if after := b.Stats(); after.Hits != before.Hits || after.Misses != before.Misses {
			t.Error("it counts as reading")
		}
		for key := range b.Keys() {
			if _, ok := b.Get(key); !ok {
				t.Errorf("%q is listed and not there", key)
			}
		}
		testkit.Must(t, b.Clear())
		for key := range b.All() {
			t.Errorf("%q is there after Clear", key)
		}
	})
}
