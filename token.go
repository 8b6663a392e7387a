package bcache

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/replica"
)

var (
	// ErrToken is wrapped by the error about a text that is no [Token], and about Tokens of too many
	// nodes.
	ErrToken = errors.New("bcache: no valid token")

	// ErrTokenUnknown is wrapped by the error of [Bcache.Await] if this node can't tell whether it has
	// processed what the Token covers. Then read the database.
	ErrTokenUnknown = errors.New("bcache: the token is of a node that isn't known here")
)

// MaxTokenNodes is how many nodes' writes a [Token] may cover. A node that is started again is another
// one.
const MaxTokenNodes = 8

const (
	tokenForm    = '1'                          // the first character of a token's text
	maxTokenText = 1 + MaxTokenNodes*(8+10)*4/3 // characters
)

// A Token stands for writes: all that were made on a node until then, see [Bcache.Token], or on several,
// see [MergeTokens]. A node where [Bcache.Await] of it returns nil serves nothing that is older. The
// zero Token stands for nothing. Tokens are values: nothing alters one, and they may be used
// concurrently.
type Token struct {
	dots []delta.Dot // the last ones of their origins, which ascend
}

// IsZero reports whether t stands for nothing.
func (t Token) IsZero() bool { return len(t.dots) == 0 }

// String returns t as a text for a cookie, a header or a URL: letters, digits, - and _, at most 25 of
// them for each node, and "" for the zero Token. [ParseToken] reads it. It says nothing of keys or
// values.
func (t Token) String() string {
	if t.IsZero() {
		return ""
	}
	b := make([]byte, 0, len(t.dots)*(8+binary.MaxVarintLen64))
	for _, d := range t.dots {
		b = binary.AppendUvarint(binary.BigEndian.AppendUint64(b, d.Origin), d.Seq)
	}
	return string(tokenForm) + base64.RawURLEncoding.EncodeToString(b)
}

// MarshalText implements [encoding.TextMarshaler]: it returns what String does, and no error.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]. The error wraps [ErrToken]; then t is unchanged.
func (t *Token) UnmarshalText(text []byte) error {
	parsed, err := ParseToken(string(text))
	if err == nil {
		*t = parsed
	}
	return err
}

// ParseToken reads the text of a Token; "" is the zero Token. The error wraps [ErrToken], also for a
// text of a later version of bcache. A text may come from anybody: see docs/tokens.md.
func ParseToken(text string) (Token, error) {
	switch {
	case text == "":
		return Token{}, nil
	case len(text) > maxTokenText:
		return Token{}, fmt.Errorf("%w: it has %d characters: may have at most %d",
			ErrToken, len(text), maxTokenText)
	case text[0] != tokenForm:
		return Token{}, fmt.Errorf("%w: it begins with %q, those that are known here with %q",
			ErrToken, text[:1], string(tokenForm))
	}
	var t Token
	b, err := base64.RawURLEncoding.DecodeString(text[1:])
	for len(b) > 8 && err == nil && len(t.dots) <= MaxTokenNodes {
		seq, n := binary.Uvarint(b[8:])
		if n <= 0 {
			break
		}
		t.dots = append(t.dots, delta.Dot{Origin: binary.BigEndian.Uint64(b), Seq: seq})
		b = b[8+n:]
	}
	if err != nil || len(b) > 0 || !t.valid() || t.String() != text { // of each Token there is one text
		return Token{}, fmt.Errorf("%w: its text is garbled", ErrToken)
	}
	return t, nil
}

// valid reports whether t may be what Token and MergeTokens return.
func (t Token) valid() bool {
	last := uint64(0)
	for _, d := range t.dots {
		if d.Origin <= last || d.Seq == 0 {
			return false
		}
		last = d.Origin
	}
	return len(t.dots) <= MaxTokenNodes
}

// MergeTokens returns a Token that stands for all that some Tokens stand for. The error wraps
// [ErrToken]: together they have writes of more than MaxTokenNodes nodes.
func MergeTokens(tokens ...Token) (Token, error) {
	var all []delta.Dot
	for _, t := range tokens {
		all = append(all, t.dots...)
	}
	// of one origin, the last dot first
	slices.SortFunc(all, func(a, b delta.Dot) int {
		return cmp.Or(cmp.Compare(a.Origin, b.Origin), cmp.Compare(b.Seq, a.Seq))
	})
	all = slices.CompactFunc(all, func(a, b delta.Dot) bool { return a.Origin == b.Origin })
	if len(all) > MaxTokenNodes {
		return Token{}, fmt.Errorf("%w: they are of %d nodes: may be of at most %d",
			ErrToken, len(all), MaxTokenNodes)
	}
	return Token{slices.Clip(all)}, nil
}

// Token returns a Token that stands for all that was written on this node so far, by whomever: call it
// after the write that somebody wants to see elsewhere. It never waits for the network. After Close it
// goes on returning the last one.
func (b *Bcache) Token() Token {
	d := b.peer.replica.Written()
	if d.Seq == 0 {
		return Token{}
	}
	return Token{[]delta.Dot{d}}
}

// Await waits until this node has processed all that t stands for, and then returns nil. A Get that
// begins afterwards sees these writes, or newer ones, or misses: never what was there before. That holds
// for fills too: nobody who comes afterwards is given what a fill brought that began before.
//
// The error is one of these:
//
//   - one that wraps that of ctx, and says how many writes of which nodes are still missing;
//   - one that wraps [ErrTokenUnknown], at once, or as soon as it is so: t has writes of a node of which
//     this one has heard nothing, or nothing for so long that it has dropped what it knew. A node that
//     is connected is known: what it has written is waited for. On a node without ListenAddr all others
//     are unknown, and so is a Token of this node that it can't have made;
//   - [ErrClosed] after Close.
//
// For the zero Token, and for those of this node since New, it returns nil at once. If the node that
// wrote has died before anybody had its last writes, these never come: give ctx a deadline.
func (b *Bcache) Await(ctx context.Context, t Token) error { return b.peer.await(ctx, t) }

// await implements Await. Who is woken looks again: a Token may have dots of several nodes.
func (p *peer) await(ctx context.Context, t Token) error {
	for ctx.Err() == nil {
		lacks, err := p.lacks(t)
		if err != nil || len(lacks) == 0 {
			return err
		}
		w := p.awaits.Begin(t.dots)
		if w == nil { // it is there by now, or isn't known any more
			continue
		}
		select {
		case <-w.Woken:
		case <-p.done:
		case <-ctx.Done():
		}
		p.awaits.End(w)
	}
	lacks, err := p.lacks(t)
	if err != nil || len(lacks) == 0 {
		return err
	}
	return fmt.Errorf("bcache: this node still lacks %s: %w", lackList(lacks), ctx.Err())
}

// lacks says what this node hasn't processed of what a Token stands for.
func (p *peer) lacks(t Token) ([]replica.Lack, error) {
	if t.IsZero() {
		return nil, nil
	}
	select {
	case <-p.done:
		return nil, ErrClosed
	default:
	}
	lacks, unknown := p.replica.Lacks(t.dots)
	if unknown != 0 {
		return nil, fmt.Errorf("%w: its life %x", ErrTokenUnknown, unknown)
	}
	return lacks, nil
}

// lackList names what is missing.
func lackList(lacks []replica.Lack) string {
	names := make([]string, len(lacks))
	for i, l := range lacks {
		who := fmt.Sprintf("node %x", l.Peer)
		if l.Peer == 0 {
			who = fmt.Sprintf("a node that isn't connected, in its life %x", l.Origin)
		}
		names[i] = writesOf(l.Writes, who)
	}
	return strings.Join(names, ", ")
}

func writesOf(n uint64, who string) string {
	if n == 1 {
		return "1 write of " + who
	}
	return fmt.Sprintf("%d writes of %s", n, who)
}

// tokenKey is the key of what a context carries.
type tokenKey struct{}

// A carried is a Token in a context.
type carried struct {
	Token
	vain atomic.Bool // somebody has waited for it for as long as that may take
}

// WithToken returns a context with a Token, which a [Loader] awaits whose LoaderConfig.AwaitToken is
// set. It takes the place of the one that ctx has, if any.
func WithToken(ctx context.Context, t Token) context.Context {
	return context.WithValue(ctx, tokenKey{}, &carried{Token: t})
}

// TokenFrom returns the Token of a context; the zero Token if it has none.
func TokenFrom(ctx context.Context) Token {
	if c, ok := ctx.Value(tokenKey{}).(*carried); ok {
		return c.Token
	}
	return Token{}
}

// behind waits for the Token of a caller of a Loader, and reports whether this node may still be behind
// it. Half of the time that the caller has is left to ask the database. Once such a wait was in vain,
// none with the same context waits: a request may need many keys.
func (p *peer) behind(ctx context.Context, patience time.Duration) bool {
	c, ok := ctx.Value(tokenKey{}).(*carried)
	if !ok {
		return false
	}
	if lacks, err := p.lacks(c.Token); err != nil || len(lacks) == 0 {
		return err != nil
	}
	if c.vain.Load() {
		return true
	}
	long := patience
	if deadline, ok := ctx.Deadline(); ok {
		long = min(patience, time.Until(deadline)/2)
	}
	wait, cancel := context.WithTimeout(ctx, long)
	defer cancel()
	err := p.await(wait, c.Token)
	if err != nil && long == patience && ctx.Err() == nil {
		c.vain.Store(true)
	}
	return err != nil
}
