package wire

import (
	"errors"
	"strings"
	"testing"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/testkit"
)

var (
	wireTags = func() delta.Tags {
		tags, _ := delta.MakeTags([]string{"team:7", "\x00", strings.Repeat("t", delta.MaxTagLen)})
		return tags
	}()
	wireTagged = []delta.Record{
		{Key: "user:1", Val: "Ann", Tags: wireTags, Version: wireVersion(0), Deadline: testkit.Wall + 60_000},
		{Key: "user:2", Kind: delta.KindNegative, Tags: wireTags, Version: wireVersion(1)},
		{Key: "user:3", Val: "Bob", Version: wireVersion(2)},
	}
	wireClears = []delta.Record{
		{Key: string(delta.SelectPrefix("user:")), Kind: delta.KindClear, Version: wireVersion(0)},
		{Key: string(delta.SelectTag("team:7")), Kind: delta.KindClear, Version: wireVersion(1)},
		{Kind: delta.KindClear, Version: wireVersion(2)},
	}
	wireOfferTags = Offer{
		Origin: wireOrigin, To: wireOther, Rec: delta.Record{Key: "k", Val: "v", Tags: wireTags},
		Dots: wireOffer.Dots[:1], Clears: wireOffer.Dots,
	}
)

func wireVersion(n uint64) delta.Version {
	return delta.Version{Stamp: delta.StampOf(testkit.Wall) + n, Origin: wireOrigin}
}

// What a Clear selects is never more than what is said, and with anything that isn't understood it is
// everything.
func TestWireSelectors(t *testing.T) {
	clearKind := wireAny(1, uint64(delta.KindClear))
	for name, c := range map[string]struct {
		fields [][]byte
		want   delta.Selector
	}{
		"neither":         {nil, ""},
		"prefix":          {[][]byte{wireAny(16, "p")}, delta.SelectPrefix("p")},
		"tag":             {[][]byte{wireAny(17, "t")}, delta.SelectTag("t")},
		"empty":           {[][]byte{wireAny(16, ""), wireAny(17, "")}, ""},
		"both":            {[][]byte{wireAny(16, "p"), wireAny(17, "t")}, ""},
		"the last counts": {[][]byte{wireAny(17, "s"), wireAny(17, "t")}, delta.SelectTag("t")},
		"long tag":        {[][]byte{wireAny(17, strings.Repeat("t", delta.MaxTagLen+1))}, ""},
		"longest prefix": {[][]byte{wireAny(16, strings.Repeat("p", delta.MaxPrefixLen))},
			delta.SelectPrefix(strings.Repeat("p", delta.MaxPrefixLen))},
		"long prefix":      {[][]byte{wireAny(16, strings.Repeat("p", delta.MaxPrefixLen+1))}, ""},
		"wire type":        {[][]byte{wireAny(16, uint64(1))}, ""},
		"a later field":    {[][]byte{wireAny(17, "t"), wireAny(31, "x")}, delta.SelectTag("t")},
		"a later, must be": {[][]byte{wireAny(17, "t"), wireAny(15, "x")}, ""},
	} {
		_, recs, err := wireReadAll(wireDelta(wireHeader(1), wireRec(append(c.fields, clearKind)...)))
		if err != nil || len(recs) != 1 || recs[0].Kind != delta.KindClear || recs[0].Selector() != c.want {
			t.Errorf("%s: %.80v, %v, want the selector %.20q", name, recs, err, c.want)
		}
	}
}

func TestWireTagsRefused(t *testing.T) {
	key := wireAny(2, "k")
	for name, tags := range map[string]string{
		"truncated":  "\x01t",
		"descending": "\x00b\x00a",
		"twice":      "\x00a\x00a",
		"seventeen":  "\x00a\x00b\x00c\x00d\x00e\x00f\x00g\x00h\x00i\x00j\x00k\x00l\x00m\x00n\x00o\x00p\x00q",
	} {
		if _, err := OpenDelta(wireDelta(wireHeader(1), wireRec(key, wireAny(10, tags)))); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
		offer := wireOfferTags
		offer.Rec.Tags = delta.Tags(tags)
		if _, err := DecodeOffer(AppendOffer(nil, &offer)); !errors.Is(err, ErrMalformed) {
			t.Errorf("an offer, %s: %v", name, err)
		}
	}
	_, recs, err := wireReadAll(wireDelta(wireHeader(1), wireRec(key, wireAny(1, uint64(delta.KindTombstone)), wireAny(10, "\x00a"))))
	if err != nil || recs[0].Tags != "" {
		t.Errorf("a tombstone has tags: %+v, %v", recs, err)
	}
}
