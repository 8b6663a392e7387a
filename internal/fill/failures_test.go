package fill

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestFailuresAreBounded(t *testing.T) {
	var f Failures
	boom := errors.New("boom")
	held := func() int { return f.byKey.Len() }
	for i := range 3 * MaxFailures {
		f.Add(time.Duration(i), fmt.Sprint(i), boom, 54, time.Hour)
		f.Add(time.Duration(i), "again", boom, 54, time.Hour)
		if held() > MaxFailures {
			t.Fatalf("%d after %d", held(), i)
		}
	}
	if err, rests := f.Of(0, "again", false); err != boom || !rests {
		t.Error("the last one isn't known")
	}
	const hour = time.Hour
	f.Add(3*hour, "k", boom, 54, hour)
	if held() != 1 {
		t.Errorf("%d are left", held())
	}
	for _, tt := range []struct {
		at    time.Duration
		keep  bool
		err   error
		rests bool
	}{
		{4*hour - 1, true, boom, true}, {4 * hour, true, boom, false}, {6*hour - 2, false, boom, false}, {6*hour - 1, false, nil, false},
	} {
		if err, rests := f.Of(tt.at, "k", tt.keep); err != tt.err || rests != tt.rests {
			t.Errorf("at %v: %v, %v", tt.at, err, rests)
		}
	}
	f.End(3*hour, "k")
	if err, _ := f.Of(3*hour, "k", false); err != nil {
		t.Errorf("%v is still known", err)
	}
	f.Add(4*hour, "other", boom, 54, hour)
	if held() != 1 {
		t.Errorf("%d are left", held())
	}
}

// What is remembered is bounded in bytes too, of keys and of errors; an error that has ended isn't held.
func TestFailuresAreBoundedInBytes(t *testing.T) {
	err := errors.New("down")
	for name, tt := range map[string]struct {
		key  string
		size int // of an error
		min  int // that are remembered
	}{
		"nothing cached": {"%d", 0, MaxFailures},
		"small errors":   {"%d", 54, MaxFailures},
		"cut errors":     {"%d", 1100, MaxFailures},
		"large errors":   {"%d", 2048, 14_000},
		"large keys":     {strings.Repeat("k", 1<<20-10) + "%d", 54, 30},
	} {
		var f Failures
		n := 2 * tt.min
		for i := range n {
			f.Add(0, fmt.Sprintf(tt.key, i), err, tt.size, time.Hour)
			if f.bytes > maxFailureBytes {
				t.Fatalf("%s: %d bytes", name, f.bytes)
			}
		}
		if f.byKey.Len() < tt.min {
			t.Errorf("%s: %d of %d are remembered", name, f.byKey.Len(), tt.min)
		}
		for i := range n {
			f.End(0, fmt.Sprintf(tt.key, i))
		}
		if f.bytes != 0 || f.byKey.Len() != 0 {
			t.Errorf("%s: %d bytes of %d failures after they ended", name, f.bytes, f.byKey.Len())
		}
	}

	// What has ended by time goes with the next fill, of whatever key.
	var f Failures
	f.Add(0, "old", err, 54, time.Second)
	if f.End(time.Hour, "other"); f.byKey.Len() != 0 {
		t.Error("it is still held")
	}
}
