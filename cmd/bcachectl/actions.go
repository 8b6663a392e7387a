package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

func deleteCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "delete KEY",
		Short: "Deletes a key on all nodes",
		Long:  aboutDelete,
	}
	return oneKey(cmd, func(cmd *cobra.Command, key url.Values) error {
		return act(cmd, a, "api/delete", key)
	})
}

func clearCommand(a *app) *cobra.Command {
	var (
		yes         bool
		prefix, tag string
	)
	cmd := &cobra.Command{
		Use:   "clear",
		Short: "Deletes all keys on all nodes, or those with a prefix or a tag",
		Long:  aboutClear,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// With a prefix or a tag there is no "confirm": a node of an older version, which doesn't know
			// these, then deletes nothing instead of all.
			what, form := "all keys", url.Values{"confirm": {"clear"}}
			switch byPrefix, byTag := cmd.Flags().Changed("prefix"), cmd.Flags().Changed("tag"); {
			case byPrefix && byTag:
				return usage("give either a --prefix or a --tag")
			case byPrefix && prefix == "" || byTag && tag == "":
				return usage("--prefix and --tag can't be empty")
			case byPrefix:
				what, form = "all keys that begin with "+cut(visible(prefix), maxCell), bytesParams("prefix", prefix)
			case byTag:
				what, form = "all that has the tag "+cut(visible(tag), maxCell), bytesParams("tag", tag)
			}
			if !yes {
				if err := confirm(cmd.Context(), a, what); err != nil {
					return err
				}
			}
			return act(cmd, a, "api/clear", form)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&yes, "yes", false, "don't ask")
	f.StringVar(&prefix, "prefix", "", "only the keys that begin with `PREFIX`")
	f.StringVar(&tag, "tag", "", "only what has the tag `TAG`")
	return cmd
}

// confirm asks whether that is to be deleted.
func confirm(ctx context.Context, a *app, what string) error {
	if !a.asks {
		return usage("this deletes %s on all nodes: --yes says that you mean it", what)
	}
	base, err := pageURL(a.opts.addr)
	if err != nil {
		return err
	}
	const question = "This deletes %s on all nodes of the cluster of %s.\nType clear to do that: "
	_, _ = fmt.Fprintf(a.stderr, question, what, clean(base.Redacted()))
	said, err := interruptible(ctx, func() ([]byte, error) {
		return bufio.NewReader(io.LimitReader(a.stdin, 1024)).ReadBytes('\n')
	})
	if ctx.Err() != nil {
		_, _ = fmt.Fprintln(a.stderr) // the line of the question has no end yet
	}
	if err != nil || strings.TrimSpace(string(said)) != "clear" {
		return failed(exitFailure, "nothing was deleted")
	}
	return nil
}

// act does something, and says that it is done.
func act(cmd *cobra.Command, a *app, path string, form url.Values) error {
	c, err := newClient(a)
	if err != nil {
		return err
	}
	defer c.close()
	got, err := c.post(cmd.Context(), path, form)
	return answered(c, got, err, func(out *printer, d *doneAnswer) error {
		out.line(plain, "%s", d.Done)
		return nil
	})
}
