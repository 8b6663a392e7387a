package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestWrongFlags(t *testing.T) {
	const node = "-node -listen 127.0.0.1:0 -http 127.0.0.1:0 -db x.db "
	for args, want := range map[string][]string{
		"-nonsense":                 {"-nonsense"},
		"-engine carrier-pigeon":    {`-engine is "carrier-pigeon"`, "one of mesh, memberlist, nats"},
		"-nats nats://a:1":          {"-nats is for -engine nats, not for -engine mesh"},
		node + "-engine nats":       {"needs -nats", "-listen isn't for -engine nats"},
		"extra":                     {`"extra"`},
		"-duration 0s":              {"-duration is 0s"},
		"-duration soon":            {"-duration"},
		"-clients 0":                {"-clients is 0"},
		"-listen a:1 -db x":         {"-listen is for -node, not for the demo", "-db is for -node"},
		"-peers a:1 -http b:1":      {"-peers is for -node", "-http is for -node"},
		"-secret abc":               {"-secret is for -node"},
		"-node":                     {"-node needs -listen", "-node needs -http", "either -db"},
		node + "-duration 3s":       {"-duration is for the demo and -hot and -deploy, not for -node"},
		node + "-hot":               {"-hot and -node exclude each other"},
		"-deploy -hot":              {"-deploy and -hot exclude each other"},
		"-hot -clients 3":           {"-clients is for the demo and -deploy, not for -hot"},
		node + "-clients 3":         {"-clients is for the demo"},
		"-updates 101":              {"-updates is 101"},
		"-updates NaN":              {"-updates is NaN"},
		"-hot -wide":                {"-wide is for the demo and -node and -deploy, not for -hot"},
		"-deploy -updates 5":        {"-updates is for the demo, not for -deploy"},
		"-gets 5 -puts 5 -users 5":  {"-gets is for -deploy", "-puts is for -deploy", "-users is for -deploy"},
		"-deploy -users 0 -gets 0":  {"-users is 0", "-gets is 0"},
		"-deploy -users 10001":      {"-users is 10001"},
		"-deploy -puts -1":          {"-puts is -1"},
		node + "-dsn postgres://ho": {"either -db (SQLite) or -dsn"},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), strings.Fields(args), &stdout, &stderr); code != exitUsage {
			t.Errorf("users %s: exit %d, want %d", args, code, exitUsage)
		}
		for _, w := range want {
			if !strings.Contains(stderr.String(), w) {
				t.Errorf("users %s says %q, want it to mention %q", args, stderr.String(), w)
			}
		}
		if stdout.Len() > 0 {
			t.Errorf("users %s writes %q to stdout", args, stdout.String())
		}
	}
}

func TestHelp(t *testing.T) {
	t.Setenv(secretVar, "never printed in the help")
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"-h"}, &stdout, &stderr); code != exitOK || stderr.Len() > 0 {
		t.Errorf("exit %d, stderr %q", code, stderr.String())
	}
	help := stdout.String()
	for _, name := range []string{
		"node", "hot", "deploy", "engine", "nats", "dsn", "wide", "listen", "peers", "http", "db", "secret", "duration",
		"clients", "updates", "users", "gets", "puts",
	} {
		if !strings.Contains(help, "\n  -"+name+" ") && !strings.Contains(help, "\n  -"+name+"\n") {
			t.Errorf("-%s isn't explained", name)
		}
	}
	if strings.Contains(help, "never printed") {
		t.Error("the help shows the secret")
	}
}

func TestNodeFlags(t *testing.T) {
	t.Setenv(secretVar, "from the environment")
	o, err := parseOptions(strings.Fields("-node -listen a:1 -http b:2 -db c -peers d:3,,e:4,"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(o.peers, []string{"d:3", "e:4"}) {
		t.Errorf("peers are %q", o.peers)
	}
	if o.secret != "from the environment" {
		t.Errorf("the secret is %q", o.secret)
	}
}
