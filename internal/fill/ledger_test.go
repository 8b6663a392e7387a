package fill

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A sum never goes back, whoever leaves.
func TestLedgerKeepsWhatWasCounted(t *testing.T) {
	var l Ledger
	want := uint64(0)
	for range 3 {
		f, left := l.Enter("p:")
		f.Count(true)
		f.Begin(&[NumCauses]int{Refresh: 2})
		f.End(time.Second, &[NumOutcomes]int{Found: 1, Failed: 1})
		f.EndWait(time.Second, WaitFilled)
		f.Stale.Add(1)
		f.StaleFailures.Add(1)
		f.StaleMissed.Add(1)
		f.Missing.Add(1)
		f.Undecodable.Add(1)
		f.Count(false)
		want++
		for range 2 { // open, and left; who leaves twice is counted once
			s := l.Total()
			if s.Hits != want || s.Misses != want || s.Begun[Refresh] != 2*want || s.Fills() != 2*want ||
				s.Ended[Found] != want || s.Ended[Failed] != want || s.Took.Total() != want || s.Running != 0 ||
				s.Waits[WaitFilled] != want || s.Waited.Total() != want || s.Stale != want ||
				s.StaleFailures != want || s.StaleMissed != want || s.Missing != want || s.Undecodable != want {
				t.Fatalf("after %d: %+v", want, s)
			}
			left()
			left()
		}
	}
	if n := l.Open(); n != 0 {
		t.Errorf("%d are left open", n)
	}
}

// However many prefixes there are, and however long: there is a bound.
func TestLedgerIsBounded(t *testing.T) {
	var l Ledger
	for i := range 2 * maxAccounts {
		f, left := l.Enter(fmt.Sprintf("%04d", i))
		f.Count(true)
		left()
	}
	long := strings.Repeat("x", MaxAccountName)
	for _, prefix := range []string{long + "a", long + "b"} {
		f, _ := l.Enter(prefix)
		f.Count(true)
	}
	all := l.All()
	if len(all) != maxAccounts+1 {
		t.Fatalf("%d accounts", len(all))
	}
	last := all[maxAccounts]
	if !last.Others || last.Hits != maxAccounts+2 || all[0].Others || all[0].Name != "0000" {
		t.Errorf("the last is %q with %d hits, the first %q", last.Name, last.Hits, all[0].Name)
	}
	var short Ledger
	for _, prefix := range []string{long + "a", long + "b"} {
		f, _ := short.Enter(prefix)
		f.Count(true)
	}
	if all := short.All(); len(all) != 1 || all[0].Name != long || all[0].Hits != 2 {
		t.Errorf("long prefixes have %d accounts", len(all))
	}
}
