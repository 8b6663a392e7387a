package browser

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"

	"github.com/iwanbk/bcache/bcachehttp"
)

var shots = flag.String("shots", "", "a folder for pictures of the page under load, after five minutes")

// A shot is a picture of a page, from its top until the end of an element.
type shot struct {
	name   string
	why    bool // of the page of a key
	scheme string
	width  int64
	until  string
}

var allShots = []shot{
	{"desktop-light", false, "light", 1280, `section[aria-labelledby="h-members"]`},
	{"desktop-dark", false, "dark", 1280, `section[aria-labelledby="h-members"]`},
	{"phone-light", false, "light", 390, ".plots figure:nth-child(3)"},
	{"phone-dark", false, "dark", 390, ".plots figure:nth-child(3)"},
	{"why-desktop-light", true, "light", 1280, "article:nth-of-type(2)"},
	{"why-phone-dark", true, "dark", 390, "article"},
}

// The pages under load can be seen: their pictures have many colours. They are small, as documents have
// them.
func TestShots(t *testing.T) {
	s := newSite(t, bcachehttp.Options{Actions: true})
	t.Parallel()
	s.start(t)
	dir, samples := t.TempDir(), 3
	wait := limit
	if *shots != "" {
		dir, samples, wait = *shots, 149, 6*time.Minute
	}
	if err := within(wait, func() error { return s.sampled(samples) }); err != nil {
		t.Fatal(err)
	}
	const key = "user:0"
	if err := s.nodes[1].Delete(key); err != nil {
		t.Fatal(err)
	}
	tb := newTab(t)
	for _, shot := range allShots {
		tb.scheme(shot.scheme)
		scale := 1.0
		if shot.width < 500 {
			scale = 2
		}
		tb.size(shot.width, 800, scale)
		url := s.urls[0] + "?refresh=0&hot=1"
		if shot.why {
			url = s.why(0, key)
		}
		tb.open(url)
		picture := tb.shoot(shot)
		if err := os.WriteFile(filepath.Join(dir, shot.name+".png"), picture, 0o644); err != nil {
			t.Fatal(err)
		}
		img, err := png.Decode(bytes.NewReader(picture))
		if err != nil {
			t.Fatal(err)
		}
		if !colourful(img, 50) || len(picture) > 300<<10 {
			t.Errorf("%s is blank, or too large: it has %d bytes", shot.name, len(picture))
		}
	}
}

// sampled waits until the plots of the first node have so many points.
func (s *site) sampled(n int) error {
	r, err := http.Get(s.urls[0] + "api/history")
	if err != nil {
		return err
	}
	defer r.Body.Close()
	var history struct{ Rates []json.RawMessage }
	if err := json.NewDecoder(r.Body).Decode(&history); err != nil {
		return err
	}
	if len(history.Rates) < n {
		return fmt.Errorf("there are %d points of %d", len(history.Rates), n)
	}
	return nil
}

// shoot takes a picture of the upper part of the page.
func (tb *tab) shoot(s shot) []byte {
	tb.t.Helper()
	const end = `document.querySelector(%q).getBoundingClientRect().bottom`
	height := math.Ceil(eval[float64](tb, fmt.Sprintf(end, s.until))) + 10
	yes := true
	return call(tb, page.CaptureScreenshot, page.CaptureScreenshotParams{
		CaptureBeyondViewport: &yes,
		Clip:                  &page.Viewport{Width: float64(s.width), Height: height, Scale: 1},
	}).Data
}

// colourful reports whether a picture has so many colours.
func colourful(img image.Image, least int) bool {
	seen := map[color.Color]bool{}
	b := img.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			if seen[img.At(x, y)] = true; len(seen) == least {
				return true
			}
		}
	}
	return false
}
