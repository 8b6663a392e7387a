package main

import (
	"fmt"

	"golang.org/x/mod/modfile"
)

// released is the go.mod of a module as a tag has it: it requires the modules of this repository in the
// version that is released, and replaces none.
func released(m module, modules []module, version string) ([]byte, error) {
	f, err := modfile.Parse(m.dir+"/go.mod", m.gomod, nil)
	if err != nil {
		return nil, err
	}
	own := make(map[string]module)
	for _, other := range modules {
		own[other.path] = other
	}
	for _, r := range f.Replace {
		if _, ours := own[r.Old.Path]; !ours {
			return nil, fmt.Errorf("%s replaces %s: importers don't see that", m.path, r.Old.Path)
		}
		if err := f.DropReplace(r.Old.Path, r.Old.Version); err != nil {
			return nil, err
		}
	}
	for _, r := range f.Require {
		other, ours := own[r.Mod.Path]
		switch {
		case !ours:
			continue
		case !other.public:
			return nil, fmt.Errorf("%s requires %s, which isn't public", m.path, other.path)
		case other.dir != ".":
			return nil, fmt.Errorf("%s requires %s: only the root can be released before it", m.path, other.path)
		}
		if err := f.AddRequire(other.path, version); err != nil {
			return nil, err
		}
	}
	f.Cleanup()
	return f.Format()
}
