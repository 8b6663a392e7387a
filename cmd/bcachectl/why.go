package main

import (
	"fmt"
	"net/url"

	"github.com/spf13/cobra"
)

func whyCommand(a *app) *cobra.Command {
	var values bool
	cmd := &cobra.Command{
		Use:   "why KEY",
		Short: "Says what all nodes have of a key, and why",
		Long:  aboutWhy,
	}
	cmd.Flags().BoolVar(&values, "values", false, "show the beginning of the value, if that is allowed")
	return oneKey(cmd, func(cmd *cobra.Command, key url.Values) error {
		if values {
			key.Set("values", "1")
		}
		return ask(cmd.Context(), a, "api/why", key, showWhy)
	})
}

func showWhy(out *printer, w *whyAnswer) error {
	out.line(bold, "%s", w.text())
	out.line(plain, "%s", w.Summary.Text)
	for i := range w.Reports {
		out.blank()
		showReport(out, &w.Reports[i])
	}
	if s := &w.Summary; !s.Agree || s.Answered < s.Nodes {
		return failed(exitDisagree, "")
	}
	return nil
}

func showReport(out *printer, r *reportInfo) {
	state := plain
	if r.State == "older" || r.State == "unknown" {
		state = red
	}
	out.line(state, "node %s: %s", r.Node, r.State)
	out.line(plain, "  %s", r.Text)
	showHeld(out, "", r.Held)
	showHeld(out, "fill's ", r.Provisional) // they may both be there
	if x := r.KeyClear; x != nil {
		what := "tag " + visible(exactly(x.Tag, x.TagBase64))
		if x.Prefix != "" {
			what = "prefix " + visible(exactly(x.Prefix, x.PrefixBase64))
		}
		if v := x.Version; v != nil {
			what += fmt.Sprintf(", version: %s, origin %s, node %s", v.Time, v.Origin, orDash(v.Node))
		}
		out.line(dim, "  last clear of the %s", what)
	}
	for _, d := range r.Decisions {
		what := d.What
		if d.Provisional {
			what = "a value without a version: " + what
		}
		if d.At != "" {
			what += ", " + ago(d.At, r.At)
		}
		out.line(dim, "  before: %s", what)
	}
}

// showHeld shows what the sentence above it doesn't say.
func showHeld(out *printer, whose string, h *heldInfo) {
	if h == nil {
		return
	}
	if v := h.Version; v != nil {
		out.line(plain, "  %sversion: %s, origin %s, node %s", whose, v.Time, v.Origin, orDash(v.Node))
	}
	if h.Value != nil {
		out.line(plain, "  %svalue: %s", whose, visible(exactly(*h.Value, h.ValueBase64)))
	}
	for i, tag := range h.Tags {
		if i < len(h.TagsBase64) {
			tag = exactly(tag, h.TagsBase64[i])
		}
		out.line(plain, "  %stag: %s", whose, visible(tag))
	}
}
