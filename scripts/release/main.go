// Command release checks whether a version can be released, and says what is to be done next. It sets no
// tag, and pushes nothing. Run it from the root of the repository:
//
//	go run ./scripts/release v0.2.0          # what is wrong, and what comes next
//	go run ./scripts/release -write v0.2.0   # has the public modules require v0.2.0
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	write := flag.Bool("write", false, "have the public modules require the version, and replace nothing")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: go run ./scripts/release [-write] vX.Y.Z")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *write); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(version string, write bool) error {
	modules, err := readModules(".")
	if err != nil {
		return err
	}
	changelog, err := os.ReadFile("CHANGELOG.md")
	if err != nil {
		return err
	}
	tags, err := git("tag", "--list")
	if err != nil {
		return err
	}
	changes, err := git("status", "--porcelain")
	if err != nil {
		return err
	}
	recorded, err := filepath.Glob(filepath.FromSlash(recording(version)) + "/*")
	if err != nil {
		return err
	}
	r := release{
		version:   version,
		modules:   modules,
		changelog: string(changelog),
		tags:      strings.Fields(tags),
		clean:     changes == "",
		recorded:  len(recorded) > 0,
	}
	if err := r.check(); err != nil {
		return err
	}
	if write {
		return r.write()
	}
	for _, step := range r.next() {
		fmt.Println(step)
	}
	return nil
}

// write has the public modules require the version.
func (r release) write() error {
	if !r.tagged(r.modules[0]) {
		return fmt.Errorf("there is no tag %s: the root comes first", r.version)
	}
	for _, m := range r.modules {
		if !m.public {
			continue
		}
		b, err := released(m, r.modules, r.version)
		if err != nil {
			return err
		}
		if !bytes.Equal(b, m.gomod) {
			if err := os.WriteFile(filepath.Join(m.dir, "go.mod"), b, 0o644); err != nil {
				return err
			}
			fmt.Println("wrote", m.dir+"/go.mod")
		}
	}
	return nil
}

func git(args ...string) (string, error) {
	out, err := exec.Command("git", args...).Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, failed.Stderr)
	}
	return string(out), err
}
