// Package engines measures bcache's engines side by side: what carries the frames between its nodes. Each
// measurement runs in a process of its own, which is this program, started again: so its CPU time and memory
// are its own. The package knows nothing of how the figures are shown.
package engines

import (
	"fmt"
	"slices"

	"github.com/iwanbk/bcache"
)

// An Engine makes nodes.
type Engine interface {
	// Name is what the engine is called in the documents.
	Name() string

	// Most is how many nodes it is measured with at most. Why not more is said where it is shown.
	Most() int

	// Serve starts what the nodes need besides themselves, in a process of its own, and returns its URL;
	// "" if they need nothing.
	Serve() (url string, stop func(), err error)

	// Config is that of a node which joins the one at first; of the first one itself if that is "".
	Config(url, first string) (bcache.Config, error)
}

// All are the engines that there are.
var All = []Engine{mesh{}, gossiped{}, served{}}

// Named returns the engine of that name.
func Named(name string) (Engine, error) {
	i := slices.IndexFunc(All, func(e Engine) bool { return e.Name() == name })
	if i < 0 {
		return nil, fmt.Errorf("there is no engine %q", name)
	}
	return All[i], nil
}
