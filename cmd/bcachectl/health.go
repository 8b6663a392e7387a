package main

import (
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"strings"

	"github.com/spf13/cobra"
)

func healthCommand(a *app) *cobra.Command {
	return probe(a, "health", "Says whether the service answers, and its cache isn't closed", "healthz")
}

func readyCommand(a *app) *cobra.Command {
	return probe(a, "ready", "Says whether the node has what the others have", "readyz")
}

// probe is a command that shows what a probe of an orchestrator sees.
func probe(a *app, use, short, path string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		Long: short + ". The exit code is 4 if not. With -o json\n" +
			`the answer is {"ok": true, "text": "ready"}, as the node says it in plain text.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return showProbe(cmd.Context(), a, path) },
	}
}

func showProbe(ctx context.Context, a *app, path string) error {
	c, err := newClient(a)
	if err != nil {
		return err
	}
	defer c.close()
	got, err := c.get(ctx, path, nil)
	switch {
	case err != nil:
		return err
	case got.status != http.StatusOK && got.status != http.StatusServiceUnavailable:
		return c.refusal(got)
	}
	ok := got.status == http.StatusOK
	text := strings.TrimSpace(string(got.body))
	typ, _, _ := mime.ParseMediaType(got.typ)
	if typ != "text/plain" || len(text) > maxProbe {
		return c.notPage(errors.New("no line of text"))
	}
	if a.json() {
		body, err := json.Marshal(struct {
			OK   bool   `json:"ok"`
			Text string `json:"text"`
		}{ok, text})
		if err != nil {
			return err
		}
		a.out.document(body, false)
	} else {
		a.out.line(plain, "%s", text)
	}
	if !ok {
		return failed(exitNotReady, "")
	}
	return nil
}

// maxProbe is how long a line a probe answers, at most.
const maxProbe = 4 << 10
