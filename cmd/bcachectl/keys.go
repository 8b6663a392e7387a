package main

import (
	"net/url"
	"strconv"

	"github.com/spf13/cobra"
)

const fewKeys = 20

func hotCommand(a *app) *cobra.Command {
	cmd := listing(a, "hot", "Lists the keys that are found most often by Gets on the node", "api/hot",
		func(out *printer, h *hotAnswer) error {
			if len(h.Keys) == 0 {
				out.line(plain, "Nothing is sampled yet: ask again in some seconds.")
				return nil
			}
			t := &table{columns: []string{">HITS", ">OR LESS BY", ">OF ALL", "KEY"}}
			for _, k := range h.Keys {
				t.add(number(k.Count), number(k.Error), percent(k.Count, h.Hits), k.text())
			}
			out.table(t)
			return nil
		})
	cmd.Long = aboutHot
	return cmd
}

func slowCommand(a *app) *cobra.Command {
	return listing(a, "slow", "Lists the slowest fills of the node in the last minutes", "api/slow",
		func(out *printer, s *slowAnswer) error {
			if len(s.Fills) == 0 {
				out.line(plain, "There was no fill in the last minutes.")
				return nil
			}
			t := &table{columns: []string{">TOOK", "ENDED", "KEY"}}
			for _, f := range s.Fills {
				t.add(span(f.Took), ago(f.At, s.Time), f.text())
			}
			out.table(t)
			return nil
		})
}

func refusedCommand(a *app) *cobra.Command {
	cmd := listing(a, "refused", "Lists the keys whose fills aren't cached most often", "api/refused",
		func(out *printer, r *refusedAnswer) error {
			if len(r.Keys) == 0 {
				out.line(plain, "No fill was refused.")
				return nil
			}
			t := &table{columns: []string{">REFUSED", ">OR LESS BY", "KEY"}}
			for _, k := range r.Keys {
				t.add(number(k.Count), number(k.Error), k.text())
			}
			out.table(t)
			return nil
		})
	cmd.Long = aboutRefused
	return cmd
}

// listing is a command that lists so many keys as -n says.
func listing[T any](a *app, use, short, path string, show shower[T]) *cobra.Command {
	n := fewKeys
	query := func() url.Values { return url.Values{"n": {strconv.Itoa(n)}} }
	cmd := asking(a, use, short, path, query, show)
	cmd.Flags().IntVarP(&n, "number", "n", fewKeys, "how many, at most")
	return cmd
}
