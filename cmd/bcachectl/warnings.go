package main

import "github.com/spf13/cobra"

func warningsCommand(a *app) *cobra.Command {
	cmd := asking(a, "warnings", "Says what is wrong, and what to do about it", "api/warnings", nil,
		func(out *printer, w *warningsAnswer) error {
			if len(w.Warnings) == 0 {
				out.line(plain, "All is well.")
			}
			showWarnings(out, w.Warnings)
			for _, warning := range w.Warnings {
				if warning.Grave {
					return failed(exitNotReady, "")
				}
			}
			return nil
		})
	cmd.Long = aboutWarnings
	return cmd
}

func showWarnings(out *printer, warnings []warningInfo) {
	for _, w := range warnings {
		if w.Grave {
			out.line(red, "! %s: %s", w.Name, w.Text)
		} else {
			out.line(plain, "- %s: %s", w.Name, w.Text)
		}
		out.line(plain, "  %s", w.Do)
	}
}
