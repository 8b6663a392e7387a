package main

import (
	"encoding/json"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func versionCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Shows the version of bcachectl", Args: cobra.NoArgs,
		Long: "Shows the version of bcachectl. That of the node is shown by: bcachectl node",
		RunE: func(*cobra.Command, []string) error {
			version := "unknown"
			if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
				version = info.Main.Version
			}
			if !a.json() {
				a.out.line(plain, "bcachectl %s, %s", version, runtime.Version())
				return nil
			}
			body, err := json.Marshal(map[string]string{"version": version, "go": runtime.Version()})
			if err != nil {
				return err
			}
			a.out.document(body, false)
			return nil
		},
	}
}
