package bcache

import (
	"cmp"
	"context"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/iwanbk/bcache/internal/testkit"
)

// The README is short, and its lines are.
func TestReadmeIsShort(t *testing.T) {
	const most, widest = 250, 105
	lines := strings.Split(strings.TrimSuffix(testkit.Document(t, "README.md"), "\n"), "\n")
	if len(lines) > most {
		t.Errorf("the README has %d lines: must have at most %d", len(lines), most)
	}
	for i, line := range lines {
		if n := utf8.RuneCountInString(line); n > widest {
			t.Errorf("line %d of the README has %d columns: must have at most %d", i+1, n, widest)
		}
	}
}

// Whole programs in the documents run as pasted, and print what the documents say.
func TestReadmePrograms(t *testing.T) {
	block := regexp.MustCompile("(?s)```go\n(package main\n.*?)```\n(?:[^`]*```text\n(.*?)```)?")
	for _, name := range []string{"README.md", "docs/start.md"} {
		programs := block.FindAllStringSubmatch(testkit.Document(t, name), -1)
		if len(programs) == 0 {
			t.Errorf("%s has no program", name)
		}
		for i, p := range programs {
			file := filepath.Join(t.TempDir(), "main.go")
			if err := os.WriteFile(file, []byte(p[1]), 0o600); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if out, err := exec.CommandContext(ctx, "go", "vet", file).CombinedOutput(); err != nil {
				t.Fatalf("program %d of %s: %v\n%s", i, name, err, out)
			}
			out, err := exec.CommandContext(ctx, "go", "run", file).CombinedOutput()
			if err != nil || string(out) != p[2] {
				t.Errorf("program %d of %s: %v, prints\n%s", i, name, err, out)
			}
		}
	}
}

// What the documents show in Go is formatted as gofmt does it.
func TestReadmeIsFormatted(t *testing.T) {
	block := regexp.MustCompile("(?s)```go\n(.*?)```")
	n := 0
	for _, name := range documents(t) {
		for _, code := range block.FindAllStringSubmatch(testkit.Document(t, name), -1) {
			n++
			if b, err := format.Source([]byte(code[1])); err != nil || string(b) != code[1] {
				t.Errorf("%s: %v: gofmt makes of it\n%s", name, err, b)
			}
		}
	}
	if n < 10 {
		t.Errorf("only %d blocks of Go were found", n)
	}
}

// The readiness handler of docs/joining.md is the one that ExampleBcache_Ready runs.
func TestReadmeHandler(t *testing.T) {
	example, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```go\n(mux\\.HandleFunc.*?)```")
	handler := block.FindStringSubmatch(testkit.Document(t, "docs/joining.md"))
	if handler == nil {
		t.Fatal("docs/joining.md has no handler")
	}
	flat := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	if !strings.Contains(flat(string(example)), flat(handler[1])) {
		t.Errorf("example_test.go doesn't have\n%s", handler[1])
	}
}

// The program in docs/kubernetes.md compiles, and its environment is that of the manifest.
func TestKubernetesProgram(t *testing.T) {
	text := testkit.Document(t, "docs/kubernetes.md")
	block := func(language string) string {
		m := regexp.MustCompile("(?s)```" + language + "\n(.*?)```").FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("no block of %s", language)
		}
		return m[1]
	}
	program, manifest := block("go"), block("yaml")
	file := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(file, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "go", "vet", file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	env := regexp.MustCompile(`Getenv\("(\w+)"\)`).FindAllStringSubmatch(program, -1)
	if len(env) == 0 {
		t.Error("the program reads no environment")
	}
	for _, m := range env {
		if !strings.Contains(manifest, "- name: "+m[1]+"\n") {
			t.Errorf("%s isn't in the manifest", m[1])
		}
	}
}

// Every field of Config is in the table, with its default.
func TestReadmeConfig(t *testing.T) {
	effective := reflect.ValueOf(Config{MaxKeys: 1}.withDefaults())
	_, rows := testkit.Table(t, "docs/configuration.md", "config")
	table := make(map[string]string)
	for _, row := range rows {
		table[strings.Trim(row[0], "`")] = row[1]
	}
	for i := range effective.NumField() {
		name := effective.Type().Field(i).Name
		says, ok := table[name]
		if !ok {
			t.Errorf("%s isn't in the table", name)
		}
		delete(table, name)
		if name == "PeerID" || effective.Field(i).IsZero() || name == "MaxKeys" {
			continue // no number
		}
		if want := fmt.Sprint(effective.Field(i)); !strings.Contains(strings.ReplaceAll(says, ",", ""), want) {
			t.Errorf("the default of %s is %s, the table says %q", name, want, says)
		}
	}
	if len(table) > 0 {
		t.Errorf("these aren't fields: %v", table)
	}
}

// The documents mention everything that the package exports.
func TestReadmeMentionsTheSurface(t *testing.T) {
	var all strings.Builder
	for _, name := range documents(t) {
		if name != "CHANGELOG.md" {
			all.WriteString(testkit.Document(t, name))
		}
	}
	text := all.String()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range exported(f) {
			n++
			if !regexp.MustCompile(`\b` + name + `\b`).MatchString(text) {
				t.Errorf("no document mentions %s", name)
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d names were found", n)
	}
}

// exported lists the exported names that a file declares on package level, and the
// methods of *Bcache.
func exported(f *ast.File) (names []string) {
	add := func(id *ast.Ident) {
		if id.IsExported() {
			names = append(names, id.Name)
		}
	}
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil || receiver(d) == "Bcache" {
				add(d.Name)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					add(s.Name)
				case *ast.ValueSpec:
					for _, id := range s.Names {
						add(id)
					}
				}
			}
		}
	}
	return names
}

func receiver(d *ast.FuncDecl) string {
	typ := d.Recv.List[0].Type
	if p, ok := typ.(*ast.StarExpr); ok {
		typ = p.X
	}
	id, _ := typ.(*ast.Ident)
	return cmp.Or(id, &ast.Ident{}).Name
}
