package browser

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
)

// A colour has its parts from 0 to 1.
type colour struct{ r, g, b, a float64 }

// parseColour reads one as browsers compute it: rgb(11, 96, 115) or rgba(11, 96, 115, 0.13).
func parseColour(text string) (colour, error) {
	name, list, _ := strings.Cut(strings.TrimSuffix(text, ")"), "(")
	parts := strings.Split(list, ",")
	if name != "rgb" && name != "rgba" || len(parts) != len(name) {
		return colour{}, fmt.Errorf("%q is no colour", text)
	}
	c := [4]float64{3: 1}
	for i, part := range parts {
		f, err := strconv.ParseFloat(strings.TrimSpace(part), 64)
		if err != nil {
			return colour{}, fmt.Errorf("%q is no colour: %w", text, err)
		}
		if c[i] = f; i < 3 {
			c[i] /= 255
		}
	}
	return colour{c[0], c[1], c[2], c[3]}, nil
}

// over is a colour as it is seen on another one, which lets nothing through.
func (c colour) over(under colour) colour {
	mix := func(top, bottom float64) float64 { return c.a*top + (1-c.a)*bottom }
	return colour{mix(c.r, under.r), mix(c.g, under.g), mix(c.b, under.b), 1}
}

// luminance is that of WCAG 2.
func (c colour) luminance() float64 {
	linear := func(f float64) float64 {
		if f <= 0.04045 {
			return f / 12.92
		}
		return math.Pow((f+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c.r) + 0.7152*linear(c.g) + 0.0722*linear(c.b)
}

// contrast is that of WCAG 2, from 1 to 21.
func contrast(a, b colour) float64 {
	low, high := a.luminance(), b.luminance()
	if low > high {
		low, high = high, low
	}
	return (high + 0.05) / (low + 0.05)
}

// contrastOn is that of a colour and what is below it: the innermost ground first.
func contrastOn(text string, grounds []string) (float64, error) {
	top, err := parseColour(text)
	if err != nil {
		return 0, err
	}
	var layers []colour
	for _, ground := range grounds {
		c, err := parseColour(ground)
		if err != nil {
			return 0, err
		}
		if layers = append(layers, c); c.a == 1 {
			break
		}
	}
	n := len(layers)
	if n == 0 || layers[n-1].a != 1 {
		return 0, fmt.Errorf("below %s nothing is opaque: %q", text, grounds)
	}
	under := layers[n-1]
	for i := n - 2; i >= 0; i-- {
		under = layers[i].over(under)
	}
	return contrast(top.over(under), under), nil
}

// The figures are those that WCAG and its tools give.
func TestContrastOfColours(t *testing.T) {
	const white, black, none = "rgb(255, 255, 255)", "rgb(0, 0, 0)", "rgba(0, 0, 0, 0)"
	for _, c := range []struct {
		text    string
		grounds []string
		want    float64
	}{
		{black, []string{white}, 21},
		{white, []string{white}, 1},
		{"rgb(118, 118, 118)", []string{none, white, black}, 4.54},
		{"rgb(119, 119, 119)", []string{white}, 4.48},
		{"rgba(0, 0, 0, 0.5)", []string{white}, 3.98},
		{black, []string{"rgba(255, 255, 255, 0.5)", black}, 5.28},
	} {
		if got, err := contrastOn(c.text, c.grounds); err != nil || math.Abs(got-c.want) > 0.005 {
			t.Errorf("%s on %q: %.3f, not %.2f: %v", c.text, c.grounds, got, c.want, err)
		}
	}
	for _, bad := range []string{"", "red", "rgb(1, 2)", "rgba(1, 2, 3)", "rgb(1, 2, x)", "lab(1, 2, 3)"} {
		if c, err := parseColour(bad); err == nil {
			t.Errorf("%q is %v", bad, c)
		}
	}
	if _, err := contrastOn(black, []string{none}); err == nil {
		t.Error("on nothing there is a contrast")
	}
}
