package bcachehttp

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/bcachetest"
)

// Of twenty nodes each is told of; who doesn't answer is shown as such, and holds up nobody for long.
func TestWhyOfManyNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bcachetest.New(t, 20, bcache.Config{MaxKeys: 1000})
		time.Sleep(10 * time.Second) // all know that all can be asked
		h := Handler(c.Node(0), Options{})
		if err := c.Node(1).Set("k", "v", 3600); err != nil {
			t.Fatal(err)
		}
		c.WaitAll()
		time.Sleep(3 * time.Second)
		v := whyIn(t, h, "k", 0)
		if s := v["summary"].(map[string]any); s["agree"] != true || s["answered"] != 20.0 ||
			s["nodes"] != 20.0 || s["text"] != "All 20 nodes have the same: a value." {
			t.Errorf("the summary is %v", s)
		}

		// Two are cut off: they aren't members any more.
		c.Partition([]int{18, 19})
		c.WaitConnected()
		if err := c.Node(1).Delete("k"); err != nil {
			t.Fatal(err)
		}
		c.WaitAll()
		v = whyIn(t, h, "k", 0)
		if s := v["summary"].(map[string]any); s["nodes"] != 18.0 || s["agree"] != true {
			t.Errorf("the summary is %v", s)
		}
		v = whyIn(t, Handler(c.Node(18), Options{}), "k", 0)
		for _, r := range v["reports"].([]any) {
			if text := r.(map[string]any)["text"].(string); !strings.HasPrefix(text, "Has a value") {
				t.Errorf("cut off: %s", text)
			}
		}

		// They are back, but nothing that anybody sends arrives: who is asked isn't heard.
		c.Heal()
		c.WaitConnected()
		c.WaitAll()
		time.Sleep(10 * time.Second)
		c.Loss(1)
		v = whyIn(t, h, "k", 300*time.Millisecond)
		reports := v["reports"].([]any)
		if len(reports) != 20 {
			t.Fatalf("%d reports", len(reports))
		}
		for i, r := range reports {
			r := r.(map[string]any)
			if (r["state"] == stateUnknown) != (i > 0) || (r["error"] != nil) != (i > 0) {
				t.Errorf("report %d: %v", i, r)
			}
		}
		page := pageOf(t, get(t, h, "/why?key=k", 200).Body.String())
		cards := all(page, "article")
		if len(cards) != 20 || !strings.Contains(cards[19].text, "It doesn't answer") ||
			!strings.Contains(cards[0].text, "this one") ||
			!strings.Contains(cards[0].text, "Deleted by node 2") {
			t.Errorf("%d cards, the last one %q", len(cards), cards[len(cards)-1].text)
		}
		c.Loss(0)
	})
}

// whyIn asks about a key, and expects the answer within a time.
func whyIn(t *testing.T, h http.Handler, key string, most time.Duration) map[string]any {
	t.Helper()
	start := time.Now()
	v := getJSON(t, h, whyOf("/api/why", key), 200)
	if took := time.Since(start); took > most {
		t.Errorf("it took %v", took)
	}
	return v
}

// A cluster is asked too much only for a moment, and that has a status of its own.
func TestManyWhys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bcachetest.New(t, 2, bcache.Config{MaxKeys: 1000})
		time.Sleep(10 * time.Second)
		h := Handler(c.Node(0), Options{})
		c.Loss(1)
		codes := make(chan int)
		for range 100 {
			go func() {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/why?key=k", nil))
				if w.Code != http.StatusOK && w.Header().Get("Retry-After") != "1" {
					t.Errorf("%d has the headers %v", w.Code, w.Header())
				}
				codes <- w.Code
			}()
		}
		n := map[int]int{}
		for range 100 {
			n[<-codes]++
		}
		if n[http.StatusOK] < maxAnswers || n[503]+n[429] == 0 {
			t.Errorf("the answers are %v", n)
		}
		c.Loss(0)
		time.Sleep(10 * time.Second)
		get(t, h, "/why?key=k", 200)
	})
	if p := problemOf(bcache.ErrBusy); p.status != http.StatusTooManyRequests || p.header != "Retry-After" {
		t.Errorf("busy is %+v", p)
	}
}

// Values are shown as text, cut, to who may see them; the JSON has their bytes.
func TestWhyValues(t *testing.T) {
	cache, h := local(t, Options{Values: true})
	if err := cache.Set("k", "<b>\x00\xff"+strings.Repeat("v", 3000), 60); err != nil {
		t.Fatal(err)
	}
	page := pageOf(t, get(t, h, "/why?key=k&values=1", 200).Body.String())
	pre := all(page, "pre")
	if len(pre) != 1 || !strings.HasPrefix(pre[0].text, `<b>\x00\xffvvv`) ||
		len(pre[0].text) > mostOfValue+3 {
		t.Fatalf("the value is %v", pre)
	}
	held := heldIn(getJSON(t, h, "/api/why?key=k&values=1", 200))
	if !strings.HasPrefix(held["value_base64"].(string), "PGI+AP92") || held["kind"] != "value" {
		t.Errorf("held is %v", held)
	}
	without := get(t, h, "/why?key=k", 200).Body.String()
	if len(all(pageOf(t, without), "pre")) != 0 || !strings.Contains(without, "values=1") {
		t.Error("the value is shown, or can't be asked for")
	}
	held = heldIn(getJSON(t, h, "/api/why?key=k", 200))
	if _, ok := held["value"]; ok {
		t.Errorf("held is %v", held)
	}
}

// heldIn is what the first node holds.
func heldIn(why map[string]any) map[string]any {
	first := why["reports"].([]any)[0].(map[string]any)
	return first["held"].(map[string]any)
}
