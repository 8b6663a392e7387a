package main

import "github.com/spf13/cobra"

func loadersCommand(a *app) *cobra.Command {
	cmd := asking(a, "loaders", "Shows the fills of the node, by Loader", "api/loaders", nil,
		func(out *printer, l *loadersAnswer) error {
			showLoaders(out, l.Loaders)
			return nil
		})
	cmd.Long = aboutLoaders
	return cmd
}

func showLoaders(out *printer, loaders []loaderInfo) {
	t := &table{columns: []string{
		"PREFIX", ">HITS", ">MISSES", ">RATIO", ">RUNNING", ">FILLS", ">NONE", ">FAILED", ">REFUSED", ">LOCAL",
		">STALE", ">P50", ">P99",
	}}
	for i := range loaders {
		l := &loaders[i]
		hits := number(l.Hits)
		misses, ratio := number(l.Misses), percent(l.Hits, l.Hits+l.Misses)
		if l.Fillers {
			hits, misses, ratio = "-", "-", "-" // the cache counts those
		}
		fills := 0.0
		for _, n := range l.Begun {
			fills += n
		}
		if l.Fillers && fills == 0 {
			continue // GetWithFiller isn't used
		}
		t.add(loaderName(l), hits, misses, ratio, number(l.Running), number(fills),
			number(l.Ended["not_found"]), number(l.Ended["failed"]), number(l.Ended["refused"]),
			number(l.Ended["local"]), number(l.StaleServed), maybeSpan(l.Took.P50), maybeSpan(l.Took.P99))
	}
	if len(t.rows) == 0 {
		out.line(plain, "There is no Loader.")
		return
	}
	out.table(t)
}

func loaderName(l *loaderInfo) string {
	switch {
	case l.Fillers:
		return "(GetWithFiller)"
	case l.Others:
		return "(others)"
	}
	return visible(exactly(l.Prefix, l.PrefixBase64))
}
