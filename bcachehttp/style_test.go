package bcachehttp

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// What is written can be read, by day and by night: contrasts are those of WCAG's level AA.
func TestContrast(t *testing.T) {
	day, night, ok := strings.Cut(string(styleSheet), "@media (prefers-color-scheme: dark)")
	if !ok {
		t.Fatal("there is no night")
	}
	for name, css := range map[string]string{"day": day, "night": night} {
		colours := map[string]string{}
		for _, m := range regexp.MustCompile(`--([a-z-]+): #([0-9a-f]{6});`).FindAllStringSubmatch(css, -1) {
			colours[m[1]] = m[2]
		}
		if len(colours) != 12 {
			t.Fatalf("%s has %d colours", name, len(colours))
		}
		for on, inks := range map[string]string{
			"paper": "ink quiet accent bad", "card": "ink quiet accent", "accent": "paper", "bad": "paper",
			"good-paper": "good", "note-paper": "note ink", "bad-paper": "bad ink",
		} {
			for ink := range strings.FieldsSeq(inks) {
				if c := contrast(colours[ink], colours[on]); c < 4.5 {
					t.Errorf("%s: %s on %s has a contrast of %.1f", name, ink, on, c)
				}
			}
		}
	}
	if c := contrast("000000", "ffffff"); math.Abs(c-21) > 0.01 {
		t.Errorf("the most is %v", c)
	}
}

func contrast(a, b string) float64 {
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// luminance is that of a colour in sRGB.
func luminance(hex string) (sum float64) {
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
		if err != nil {
			return math.NaN()
		}
		c := float64(n) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}
