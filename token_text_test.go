package bcache

import (
	"encoding/json"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/iwanbk/bcache/internal/delta"
	"pgregory.net/rapid"
)

// genToken draws Tokens of up to so many nodes out of a few.
func genToken(most int) *rapid.Generator[Token] {
	return rapid.Custom(func(t *rapid.T) Token {
		seqs := rapid.MapOfN(rapid.SampledFrom([]uint64{1, 2, 3, 1 << 20, 1<<63 - 1, 1 << 63, math.MaxUint64 - 1,
			math.MaxUint64, 77, 1 << 40}), rapid.Uint64Min(1), 0, most).Draw(t, "seqs")
		var token Token
		for _, o := range slices.Sorted(maps.Keys(seqs)) {
			token.dots = append(token.dots, delta.Dot{Origin: o, Seq: seqs[o]})
		}
		return token
	})
}

// Of each Token there is one text, which cookies and URLs can have, and it is short.
func TestTokenTextLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		token := genToken(MaxTokenNodes).Draw(t, "token")
		text := token.String()
		if most := 25 * len(token.dots); len(text) > most || len(text) > maxTokenText {
			t.Fatalf("%q of %d nodes has %d characters", text, len(token.dots), len(text))
		}
		if i := strings.IndexFunc(text, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
		}); i >= 0 {
			t.Fatalf("%q", text)
		}
		parsed, err := ParseToken(text)
		if err != nil || !slices.Equal(parsed.dots, token.dots) {
			t.Fatalf("%q is read as %v, %v; it was %v", text, parsed.dots, err, token.dots)
		}
		var back struct{ T Token }
		b, err := json.Marshal(struct{ T Token }{token})
		if err != nil || json.Unmarshal(b, &back) != nil || !slices.Equal(back.T.dots, token.dots) {
			t.Fatalf("%s is read as %v, %v", b, back.T.dots, err)
		}
	})
}

// A merged Token stands for what each of them stands for, and for nothing else; those that are merged
// stay.
func TestTokenMergeLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tokens := rapid.SliceOfN(genToken(4), 0, 4).Draw(t, "tokens")
		want := map[uint64]uint64{}
		var before []string
		for _, token := range tokens {
			before = append(before, token.String())
			for _, d := range token.dots {
				want[d.Origin] = max(want[d.Origin], d.Seq)
			}
		}
		merged, err := MergeTokens(tokens...)
		if len(want) > MaxTokenNodes {
			if !errors.Is(err, ErrToken) || !merged.IsZero() {
				t.Fatalf("of %d nodes: %v, %v", len(want), merged, err)
			}
			return
		}
		got := map[uint64]uint64{}
		for _, d := range merged.dots {
			got[d.Origin] = d.Seq
		}
		if err != nil || !maps.Equal(got, want) || !merged.valid() {
			t.Fatalf("merged %v, %v, want %v", merged.dots, err, want)
		}
		for i, token := range tokens {
			if token.String() != before[i] {
				t.Fatalf("a merge has changed %q to %q", before[i], token)
			}
		}
	})
}

func TestTokenRefused(t *testing.T) {
	one := Token{[]delta.Dot{{Origin: 5, Seq: 300}}}.String()
	full := Token{}
	for i := range uint64(MaxTokenNodes) {
		full.dots = append(full.dots, delta.Dot{Origin: math.MaxUint64 - 10 + i, Seq: math.MaxUint64})
	}
	if text := full.String(); len(text) != maxTokenText {
		t.Errorf("the longest text has %d characters, not %d", len(text), maxTokenText)
	}
	nine := Token{append(slices.Clone(full.dots), delta.Dot{Origin: math.MaxUint64, Seq: 1})}
	for _, tt := range []struct{ name, text, says string }{
		{"a later form", "2" + one[1:], `it begins with "2"`},
		{"no form", "\xff", `it begins with "\xff"`},
		{"no dot", "1", "garbled"},
		{"cut", one[:len(one)-1], "garbled"},
		{"more", one + "AA", "garbled"},
		{"no base64", one[:5] + "=" + one[6:], "garbled"},
		{"a line", one + "\n", "garbled"}, // which the decoder skips
		{"a line within", one[:5] + "\r\n" + one[5:], "garbled"},
		{"bits that are left", Token{[]delta.Dot{{Origin: 1, Seq: 5}}}.String() + "A", "garbled"},
		{"seq 0", Token{[]delta.Dot{{Origin: 5}}}.String(), "garbled"},
		{"origin 0", Token{[]delta.Dot{{Seq: 5}}}.String(), "garbled"},
		{"descending", Token{[]delta.Dot{{Origin: 6, Seq: 1}, {Origin: 5, Seq: 1}}}.String(), "garbled"},
		{"twice", Token{[]delta.Dot{{Origin: 5, Seq: 1}, {Origin: 5, Seq: 2}}}.String(), "garbled"},
		{"nine nodes", Token{append([]delta.Dot{{Origin: 1, Seq: 1}}, full.dots...)}.String(), "characters"},
		{"nine nodes, short", "1" + strings.Repeat("A", 108), "garbled"},
		{"a seq that isn't shortest", "1AAAAAAAAAAWAAA", "garbled"}, // 0x80, 0x00
		{"a seq beyond 64 bits", "1AAAAAAAAAAX_____________Bw", "garbled"},
		{"long", strings.Repeat("1", 1<<20), "it has 1048576 characters"},
		{"too many", nine.String(), "characters"},
	} {
		token, err := ParseToken(tt.text)
		if !errors.Is(err, ErrToken) || !strings.Contains(err.Error(), tt.says) || !token.IsZero() {
			t.Errorf("%s: %q is read as %v, %v", tt.name, tt.text[:min(len(tt.text), 50)], token, err)
		}
		if err != nil && len(err.Error()) > 200 {
			t.Errorf("%s: the error has %d characters", tt.name, len(err.Error()))
		}
		was := Token{[]delta.Dot{{Origin: 1, Seq: 2}}}
		if err := was.UnmarshalText([]byte(tt.text)); !errors.Is(err, ErrToken) || was.IsZero() {
			t.Errorf("%s: UnmarshalText = %v, and leaves %v", tt.name, err, was)
		}
	}
	if token, err := ParseToken(""); err != nil || !token.IsZero() || token.String() != "" {
		t.Errorf(`"" is read as %q, %v`, token, err)
	}
}

// Whatever the text, it is read as a Token of which it is the text, or refused.
func FuzzParseToken(f *testing.F) {
	for _, seed := range []Token{{}, {[]delta.Dot{{Origin: 1, Seq: 1}}},
		{[]delta.Dot{{Origin: 3, Seq: 200}, {Origin: math.MaxUint64, Seq: math.MaxUint64}}}} {
		f.Add(seed.String())
		f.Add(seed.String() + "A")
	}
	f.Add("2AAA")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := ParseToken(text)
		switch {
		case err != nil && (!errors.Is(err, ErrToken) || !token.IsZero() || len(err.Error()) > 200):
			t.Errorf("%v, %v", token, err)
		case err == nil && (token.String() != text || !token.valid() || len(text) > maxTokenText):
			t.Errorf("%q is read as %v", text, token)
		}
	})
}
