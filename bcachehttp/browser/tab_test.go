package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// A tab is one of the browser, with a profile of its own. Whatever the browser complains of in it, such
// as an error of the page or a violation of its policy, fails the test at its end, if it isn't expected.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu         sync.Mutex
	complaints []string
}

func newTab(t *testing.T) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser(t).ctx, chromedp.WithNewBrowserContext())
	tb := &tab{t: t, ctx: ctx}
	t.Cleanup(func() {
		cancel()
		for _, c := range tb.took() {
			t.Errorf("the browser complains: %s", c)
		}
	})
	if _, err := chromedp.Run(ctx, chromedp.Title()); err != nil { // opens it
		t.Fatal(err)
	}
	if err := chromedp.Listen(ctx, tb.listen); err != nil {
		t.Fatal(err)
	}
	call(tb, audits.Enable, cdp.Empty{})
	call(tb, log.Enable, cdp.Empty{})
	tb.size(1280, 800, 1)
	return tb
}

// listen notes what the browser complains of.
func (tb *tab) listen(event any) {
	switch e := event.(type) {
	case *log.EventEntryAdded:
		tb.complain("%s, %s: %s %s", e.Entry.Source, e.Entry.Level, e.Entry.Text, e.Entry.URL)
	case *runtime.EventConsoleAPICalled:
		tb.complain("the page writes to the console: %s", e.Type)
	case *runtime.EventExceptionThrown:
		tb.complain("an exception: %s", e.ExceptionDetails.Text)
	case *audits.EventIssueAdded:
		details, err := json.Marshal(e.Issue.Details)
		if err != nil {
			details = []byte(err.Error())
		}
		tb.complain("%s: %s", e.Issue.Code, details)
	case *network.EventLoadingFailed:
		if !e.Canceled {
			tb.complain("not loaded: %s %s", e.ErrorText, e.BlockedReason)
		}
	case *page.EventJavascriptDialogOpening:
		tb.complain("a dialog: %s", e.Message)
	}
}

func (tb *tab) complain(format string, v ...any) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	tb.complaints = append(tb.complaints, fmt.Sprintf(format, v...))
}

// took takes what the browser complains of.
func (tb *tab) took() []string {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	all := tb.complaints
	tb.complaints = nil
	return all
}

// expect waits until the browser has complained of something, and forgets all that it complains of.
func (tb *tab) expect(text string) {
	tb.t.Helper()
	var all []string
	tb.wait(func() error {
		all = append(all, tb.took()...)
		if !slices.ContainsFunc(all, func(c string) bool { return strings.Contains(c, text) }) {
			return fmt.Errorf("the browser doesn't complain of %q: %q", text, all)
		}
		return nil
	})
}

// call tells the browser to do something.
func call[P, R any](tb *tab, cmd cdp.Command[P, R], params P) R {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, limit)
	defer cancel()
	r, err := chromedp.Call(ctx, cmd, params)
	if err != nil {
		tb.t.Fatalf("%s: %v", cmd.Method, err)
	}
	return r
}

// try is an expression's value in the page.
func try[T any](tb *tab, expression string) (T, error) {
	ctx, cancel := context.WithTimeout(tb.ctx, limit)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T](expression))
}

// eval is try for what can't fail.
func eval[T any](tb *tab, expression string) T {
	tb.t.Helper()
	v, err := try[T](tb, expression)
	if err != nil {
		tb.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// open goes to an address, and returns the status of the answer.
func (tb *tab) open(url string) int64 { return tb.follow(chromedp.Navigate(url)) }

// follow does what leads to another page, and returns the status of the answer.
func (tb *tab) follow(step chromedp.Action[chromedp.Void]) int64 {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, limit)
	defer cancel()
	r, err := chromedp.RunResponse(ctx, step)
	if err != nil {
		tb.t.Fatal(err)
	}
	if r == nil {
		return 0 // it isn't from a server
	}
	return r.Status
}

// click clicks what leads to another page.
func (tb *tab) click(selector string) int64 {
	tb.t.Helper()
	return tb.follow(chromedp.Click(chromedp.CSS(selector)))
}

// press presses and releases keys.
func (tb *tab) press(keys string) {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, limit)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.KeyEvent(keys)); err != nil {
		tb.t.Fatal(err)
	}
}

// tabKey goes to what has the focus next.
func (tb *tab) tabKey() { tb.press(kb.Tab) }

// size sets how large the window is, in CSS pixels, and how many of the screen one has.
func (tb *tab) size(width, height int64, scale float64) {
	tb.t.Helper()
	call(tb, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: width, Height: height, DeviceScaleFactor: scale, Mobile: width < 500,
	})
}

// scheme sets whether the user prefers light or dark.
func (tb *tab) scheme(name string) {
	tb.t.Helper()
	call(tb, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
	})
}

// texts are those of the elements that a selector finds, with single spaces.
func (tb *tab) texts(selector string) []string {
	tb.t.Helper()
	const of = `[...document.querySelectorAll(%q)].map(e => e.textContent)`
	list := eval[[]string](tb, fmt.Sprintf(of, selector))
	for i, text := range list {
		list[i] = strings.Join(strings.Fields(text), " ")
	}
	return list
}

// text is that of the one element that a selector finds.
func (tb *tab) text(selector string) string {
	tb.t.Helper()
	list := tb.texts(selector)
	if len(list) != 1 {
		tb.t.Fatalf("there are %d %s: %q", len(list), selector, list)
	}
	return list[0]
}

// count is how many elements a selector finds.
func (tb *tab) count(selector string) int {
	tb.t.Helper()
	return eval[int](tb, fmt.Sprintf(`document.querySelectorAll(%q).length`, selector))
}

// wait waits until cond returns nil.
func (tb *tab) wait(cond func() error) {
	tb.t.Helper()
	if err := within(limit, cond); err != nil {
		tb.t.Fatal(err)
	}
}
