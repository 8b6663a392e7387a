package main

import (
	"context"
	"encoding/base64"
	"net/url"

	"github.com/spf13/cobra"
)

// asking is a command that asks for one thing and shows it, as the node has it or as show does.
func asking[T any](
	a *app, use, short, path string, query func() url.Values, show func(*T) error,
) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var params url.Values
			if query != nil {
				params = query()
			}
			return ask(cmd.Context(), a, path, params, show)
		},
	}
}

// ask shows one answer.
func ask[T any](ctx context.Context, a *app, path string, query url.Values, show func(*T) error) error {
	c, err := newClient(a)
	if err != nil {
		return err
	}
	defer c.close()
	got, err := c.get(ctx, path, query)
	return answered(c, got, err, show)
}

// answered shows an answer. show also says how the command ends, so it is called with -o json, too: what
// it prints is dropped then.
func answered[T any](c *client, got answer, err error, show func(*T) error) error {
	var to T
	if err := c.decode(got, err, &to); err != nil {
		return err
	}
	a := c.app
	if !a.json() {
		return show(&to)
	}
	a.out.document(got.body, false)
	out := a.out
	a.out = &printer{w: nowhere{}}
	defer func() { a.out = out }()
	return show(&to)
}

// nowhere is where what isn't shown goes.
type nowhere struct{}

func (nowhere) Write(b []byte) (int, error) { return len(b), nil }

// bytes are those of a key.
func (k keyInfo) bytes() string { return exactly(k.Key, k.KeyBase64) }

// text is a key for people. Of one that is cut it is the beginning.
func (k keyInfo) text() string { return visible(k.bytes()) }

// exactly is what was sent as text and, if it isn't UTF-8, in base64.
func exactly(text, coded string) string {
	if b, err := base64.StdEncoding.DecodeString(coded); err == nil && coded != "" {
		return string(b)
	}
	return text
}
