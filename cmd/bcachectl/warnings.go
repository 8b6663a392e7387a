package main

import "github.com/spf13/cobra"

func warningsCommand(a *app) *cobra.Command {
	cmd := asking(a, "warnings", "Says what is wrong, and what to do about it", "api/warnings", nil,
		func(w *warningsAnswer) error {
			if len(w.Warnings) == 0 {
				a.out.line(plain, "All is well.")
			}
			a.showWarnings(w.Warnings)
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

func (a *app) showWarnings(warnings []warningInfo) {
	for _, w := range warnings {
		if w.Grave {
			a.out.line(red, "! %s: %s", w.Name, w.Text)
		} else {
			a.out.line(plain, "- %s: %s", w.Name, w.Text)
		}
		a.out.line(plain, "  %s", w.Do)
	}
}
