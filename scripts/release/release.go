package main

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/semver"
)

// A release is a version on its way, and what there is of it.
type release struct {
	version   string
	modules   []module // the root first
	changelog string
	tags      []string // all that git has
	clean     bool     // nothing is uncommitted
	recorded  bool     // what its nodes say to each other is among the recorded traffic
}

// releaseBefore is the line that says which commit is the release before: .ci/run mixed builds it.
var releaseBefore = regexp.MustCompile(`(?m)^Release before: [0-9a-f]{40}$`)

var heading = regexp.MustCompile(`(?m)^## (\S+) - (\S+)$`)

// check says what keeps the version from being released.
func (r release) check() error {
	var errs []error
	if semver.Canonical(r.version) != r.version || semver.Build(r.version) != "" {
		errs = append(errs, fmt.Errorf("%q isn't a version like v0.2.0", r.version))
	} else if major := semver.Major(r.version); major != "v0" && major != "v1" {
		errs = append(errs, fmt.Errorf("%s needs module paths that end in /%s", r.version, major))
	}
	if !r.clean {
		errs = append(errs, errors.New("there are changes that aren't committed"))
	}
	if first := heading.FindStringSubmatch(r.changelog); first == nil || "v"+first[1] != r.version {
		errs = append(errs, fmt.Errorf("the first version of CHANGELOG.md isn't %s", r.version))
	} else if !regexp.MustCompile(`^\d{4}-\d\d-\d\d$`).MatchString(first[2]) {
		errs = append(errs, fmt.Errorf("CHANGELOG.md has no date for %s: %q", r.version, first[2]))
	}
	if !releaseBefore.MatchString(newest(r.changelog)) {
		errs = append(errs, errors.New("the first version of CHANGELOG.md doesn't name the release before"))
	}
	if !r.recorded {
		errs = append(errs, fmt.Errorf("%s is empty, see CONTRIBUTING.md", recording(r.version)))
	}
	for _, m := range r.modules {
		if m.public {
			_, err := released(m, r.modules, r.version)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// newest is the section of a changelog on its first version.
func newest(changelog string) string {
	at := heading.FindAllStringIndex(changelog, 2)
	switch len(at) {
	case 0:
		return ""
	case 1:
		return changelog[at[0][0]:]
	}
	return changelog[at[0][0]:at[1][0]]
}

// recording is the folder of what the nodes of a version say to each other.
func recording(version string) string {
	return "internal/wire/testdata/recorded/" + strings.TrimPrefix(version, "v")
}

func (r release) tagged(m module) bool { return slices.Contains(r.tags, m.tag(r.version)) }

// next are the commands that come next, as lines for a shell.
func (r release) next() []string {
	root, tag := r.modules[0], func(m module) string {
		return fmt.Sprintf("git tag -a %s -m %[1]s && git push origin %[1]s", m.tag(r.version))
	}
	if !r.tagged(root) {
		return []string{tag(root)}
	}
	var requires, tags []string
	for _, m := range r.modules {
		if !m.public || r.tagged(m) {
			continue
		}
		if want, err := released(m, r.modules, r.version); err != nil || !bytes.Equal(want, m.gomod) {
			requires = append(requires, "(cd "+m.dir+" && GOWORK=off go mod tidy)")
		}
		tags = append(tags, tag(m))
	}
	switch {
	case len(requires) > 0:
		write := "go run ./scripts/release -write " + r.version
		commit := "git commit -am 'Modules of " + r.version + "'"
		return slices.Concat([]string{write}, requires, []string{commit})
	case len(tags) > 0:
		return append(tags, "git revert --no-edit HEAD")
	}
	return []string{"# everything has its tag"}
}
