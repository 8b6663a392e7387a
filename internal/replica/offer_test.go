package replica

import (
	"strings"
	"testing"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/wire"
)

// Offers that wait are bounded in number and in bytes.
func TestOffersAreBounded(t *testing.T) {
	var o offers
	n, four := 0, make([]peerEcho, 4) // a frame for each
	for o.put(offered{wire.Offer{Rec: delta.Record{Key: "k"}}, four}) {
		n++
	}
	if n != maxOffers/4 {
		t.Errorf("%d offers to 4 nodes", n)
	}
	o.take()
	many := make([]delta.Dot, delta.MaxUpTo)
	for i := range many {
		many[i] = delta.Dot{Origin: 1 << 63, Seq: delta.MaxSeq}
	}
	for n = 0; o.put(offered{wire.Offer{Rec: delta.Record{Key: "k"}, UpTo: many}, four}); n++ {
	}
	sum := 0
	for _, m := range o.appendTo(nil, 0) {
		sum += len(m.Frame)
	}
	if o.take(); sum > maxOfferBytes || n == 0 {
		t.Errorf("%d offers that say how far others are take %d bytes", n, sum)
	}
	for n = 0; o.put(offered{wire.Offer{Rec: delta.Record{Val: strings.Repeat("v", 1<<20)}}, four}); n++ {
	}
	if n != maxOfferBytes>>22-1 || o.empty() {
		t.Errorf("%d offers of 1 MiB to 4 nodes", n)
	}
}
