package main

import (
	"slices"
	"strings"
	"testing"
)

const sample = "example.com/cache"

// two are the root and a public module that requires it, as they are between releases.
func two(text string) []module {
	return []module{
		{dir: ".", path: sample, public: true, gomod: []byte("module " + sample + "\n\ngo 1.25.0\n")},
		{dir: "metrics", path: sample + "/metrics", public: true, gomod: []byte(text)},
		{dir: "examples", path: sample + "/examples", gomod: []byte("module " + sample + "/examples\n")},
	}
}

const unreleased = "module " + sample + "/metrics\n\ngo 1.25.0\n\nrequire (\n\t" + sample + " v0.0.0\n" +
	"\texample.org/other v1.0.0\n)\n\nreplace " + sample + " => ../\n"

const after = "module " + sample + "/metrics\n\ngo 1.25.0\n\nrequire (\n\t" + sample + " v0.2.0\n" +
	"\texample.org/other v1.0.0\n)\n"

const beforeLine = "Release before: 0123456789abcdef0123456789abcdef01234567\n"

// What is in a tag requires the root in the version, and replaces nothing. What does already stays.
func TestReleased(t *testing.T) {
	for _, text := range []string{unreleased, after} {
		modules := two(text)
		b, err := released(modules[1], modules, "v0.2.0")
		if err != nil || string(b) != after {
			t.Errorf("%v\n%s", err, b)
		}
	}
}

// What importers couldn't use isn't released.
func TestReleasedRefuses(t *testing.T) {
	for _, text := range []struct{ gomod, says string }{
		{unreleased + "replace example.org/other => ../other\n", "importers don't see that"},
		{unreleased + "require " + sample + "/examples v0.0.0\n", "isn't public"},
		{unreleased + "require " + sample + "/metrics v0.0.0\n", "only the root can be released before it"},
		{"module", "metrics/go.mod"},
	} {
		modules := two(text.gomod)
		_, err := released(modules[1], modules, "v0.2.0")
		if err == nil || !strings.Contains(err.Error(), text.says) {
			t.Errorf("not %q: %v", text.says, err)
		}
	}
}

// The root is tagged before a module can require it, and the module when it does.
func TestReleaseInOrder(t *testing.T) {
	for _, at := range []struct {
		gomod string
		tags  []string
		next  []string
	}{
		{unreleased, nil, []string{"git tag -a v0.2.0 -m v0.2.0 && git push origin v0.2.0"}},
		{unreleased, []string{"v0.2.0"}, []string{
			"go run ./scripts/release -write v0.2.0",
			"(cd metrics && GOWORK=off go mod tidy)",
			"git commit -am 'Modules of v0.2.0'",
		}},
		{after, []string{"v0.2.0"}, []string{
			"git tag -a metrics/v0.2.0 -m metrics/v0.2.0 && git push origin metrics/v0.2.0",
			"git revert --no-edit HEAD",
		}},
		{unreleased, []string{"v0.2.0", "metrics/v0.2.0"}, []string{"# everything has its tag"}},
	} {
		r := release{version: "v0.2.0", modules: two(at.gomod), tags: at.tags}
		if next := r.next(); !slices.Equal(next, at.next) {
			t.Errorf("with the tags %q:\n%s", at.tags, strings.Join(next, "\n"))
		}
	}
}

// Everything that keeps a version from being released is said at once.
func TestReleaseCheck(t *testing.T) {
	good := release{
		version: "v0.2.0", modules: two(unreleased), clean: true, recorded: true,
		changelog: "# Changelog\n\n## 0.2.0 - 2026-01-31\n\n" + beforeLine + "\n## 0.1.0 - 2026-01-01\n",
	}
	if err := good.check(); err != nil {
		t.Error(err)
	}
	alone := good
	alone.changelog, _, _ = strings.Cut(good.changelog, "## 0.1.0")
	if err := alone.check(); err != nil {
		t.Error(err)
	}
	for _, bad := range []struct {
		says  string
		spoil func(*release)
	}{
		{"aren't committed", func(r *release) { r.clean = false }},
		{"isn't a version", func(r *release) { r.version = "0.2.0" }},
		{"isn't a version", func(r *release) { r.version = "v0.2" }},
		{"end in /v2", func(r *release) { r.version = "v2.0.0" }},
		{"first version of CHANGELOG.md isn't v0.3.0", func(r *release) { r.version = "v0.3.0" }},
		{"name the release before", func(r *release) {
			r.changelog = "## 0.2.0 - 2026-01-31\n## 0.1.0 - 2026-01-01\n" + beforeLine
		}},
		{"recorded/0.2.0 is empty", func(r *release) { r.recorded = false }},
		{"no date", func(r *release) { r.changelog = "## 0.2.0 - unreleased\n" }},
		{"importers don't see", func(r *release) { r.modules = two(unreleased + "replace a.com/b => ../b\n") }},
	} {
		r := good
		bad.spoil(&r)
		if err := r.check(); err == nil || !strings.Contains(err.Error(), bad.says) {
			t.Errorf("not %q: %v", bad.says, err)
		}
	}
}
