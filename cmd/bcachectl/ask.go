package main

import (
	"context"
	"io"
	"net/url"

	"github.com/spf13/cobra"
)

// A shower shows an answer, and says how the command ends.
type shower[T any] func(out *printer, answer *T) error

// asking is a command that asks for one thing and shows it.
func asking[T any](
	a *app, use, short, path string, query func() url.Values, show shower[T],
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

// ask asks for one thing and shows it.
func ask[T any](ctx context.Context, a *app, path string, query url.Values, show shower[T]) error {
	c, err := newClient(a)
	if err != nil {
		return err
	}
	defer c.close()
	got, err := c.get(ctx, path, query)
	return answered(c, got, err, show)
}

// answered shows an answer. With -o json it is printed as it came, and the command ends in the same way.
func answered[T any](c *client, got answer, err error, show shower[T]) error {
	var to T
	if err := c.decode(got, err, &to); err != nil {
		return err
	}
	if !c.app.json() {
		return show(c.app.out, &to)
	}
	c.app.out.document(got.body, false)
	return show(&printer{w: io.Discard}, &to)
}
