package main

import (
	"bufio"
	"cmp"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/klauspost/cpuid/v2"
)

// A machine is where it was measured, and with what.
type machine struct {
	CPU      string
	Cores    int
	OS       string
	Go       string
	Versions map[string]string // of modules
}

func thisMachine() machine {
	m := machine{
		CPU:      cmp.Or(cpuid.CPU.BrandName, "unknown"),
		Cores:    runtime.GOMAXPROCS(0),
		OS:       osName(),
		Go:       runtime.Version(),
		Versions: make(map[string]string),
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			m.Versions[d.Path] = d.Version
		}
	}
	return m
}

// osName is the system's name for itself, where it has one, and Go's.
func osName() string {
	name := runtime.GOOS + "/" + runtime.GOARCH
	f, err := os.Open("/etc/os-release")
	if err != nil {
		return name
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if pretty, ok := strings.CutPrefix(lines.Text(), "PRETTY_NAME="); ok {
			return strings.Trim(pretty, `"`) + ", " + name
		}
	}
	return name
}
