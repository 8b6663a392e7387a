package bcache_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/iwanbk/bcache"

// A room is a package of this module, by the end of its import path; "bcache" is the root.
type room struct {
	dir, doc string
	files    []string
	imports  []string
}

// rooms asks the go command for the packages of this module.
func rooms(t *testing.T) map[string]room {
	t.Helper()
	out, err := exec.Command("go", "list", "-json", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]room{}
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p struct {
			Dir, ImportPath, Name, Doc string
			GoFiles, Imports           []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if p.Name != "main" && len(p.GoFiles) > 0 {
			found[roomName(p.ImportPath)] = room{p.Dir, p.Doc, p.GoFiles, p.Imports}
		}
	}
	if len(found) < 10 {
		t.Fatalf("only %d packages were found", len(found))
	}
	return found
}

func roomName(path string) string {
	if path == module {
		return "bcache"
	}
	return strings.TrimPrefix(path, module+"/")
}

// plan reads the table of docs/design.md: what each room may import.
func plan(t *testing.T) map[string][]string {
	t.Helper()
	b, err := os.ReadFile("docs/design.md")
	if err != nil {
		t.Fatal(err)
	}
	_, chapter, ok := strings.Cut(string(b), "\n## The rooms\n")
	if !ok {
		t.Fatal("docs/design.md has no chapter on the rooms")
	}
	chapter, _, _ = strings.Cut(chapter, "\n## ")
	name := regexp.MustCompile("`([\\w/]+)`")
	may := map[string][]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(.*)` \\|.*\\|(.*)\\|$").FindAllStringSubmatch(chapter, -1) {
		may[row[1]] = nil
		for _, m := range name.FindAllStringSubmatch(row[2], -1) {
			may[row[1]] = append(may[row[1]], m[1])
		}
	}
	return may
}

// Every arrow between the rooms is one of the table in docs/design.md, and every arrow there exists.
func TestRoomsImportWhatTheyMay(t *testing.T) {
	may := plan(t)
	for name, r := range rooms(t) {
		allowed, ok := may[name]
		if !ok {
			t.Errorf("%s isn't in the table", name)
			continue
		}
		delete(may, name)
		for _, path := range r.imports {
			if path != module && !strings.HasPrefix(path, module+"/") {
				continue
			}
			to := roomName(path)
			if i := slices.Index(allowed, to); i >= 0 {
				allowed = slices.Delete(allowed, i, i+1)
			} else {
				t.Errorf("%s imports %s: the table has no such arrow", name, to)
			}
		}
		if len(allowed) > 0 {
			t.Errorf("%s imports none of %v, which the table has", name, allowed)
		}
	}
	for name := range may {
		t.Errorf("there is no %s", name)
	}
}

// core is what must be pure: driven by calls, with the time as a parameter.
var core = []string{"delta", "dots", "wire", "store", "lease", "replica"}

// The core has no clock, no socket and no logger; mesh is known to meshnet alone, protowire to it and the
// wire.
func TestRoomsKeepTheirLaws(t *testing.T) {
	all := rooms(t)
	only := map[string][]string{
		"github.com/weaveworks/mesh":                    {"internal/transport/meshnet"},
		"google.golang.org/protobuf/encoding/protowire": {"internal/transport/meshnet", "internal/wire"},
		"github.com/hashicorp/golang-lru/v2/simplelru":  {"internal/fill", "internal/linelog", "internal/store"},
		"golang.org/x/sync/singleflight":                {"bcache"},
	}
	for path, names := range only {
		for name, r := range all {
			if slices.Contains(r.imports, path) != slices.Contains(names, name) {
				t.Errorf("%s imports %s: %v; those that do are %v", name, path, slices.Contains(r.imports, path), names)
			}
		}
	}
	for _, name := range core {
		r, ok := all["internal/"+name]
		if !ok {
			t.Errorf("there is no room %s", name)
			continue
		}
		for _, path := range r.imports {
			if slices.Contains([]string{"net", "os", "log", "log/slog", "syscall", module + "/internal/linelog"}, path) ||
				strings.HasPrefix(path, "net/") {
				t.Errorf("%s imports %s", name, path)
			}
		}
		for _, file := range r.files {
			readsClock(t, filepath.Join(r.dir, file))
		}
	}
}

// readsClock complains of a file that reads the clock or makes a timer.
func readsClock(t *testing.T, file string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	clocks := []string{"Now", "Since", "Until", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Sleep"}
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(clocks, s.Sel.Name) {
				t.Errorf("%s uses time.%s", file, s.Sel.Name)
			}
		}
		return true
	})
}

// Every room says in a sentence what it is.
func TestRoomsSayWhatTheyAre(t *testing.T) {
	for name, r := range rooms(t) {
		if !strings.HasPrefix(r.doc, "Package "+name[strings.LastIndex(name, "/")+1:]+" ") {
			t.Errorf("%s has no package comment: %q", name, r.doc)
		}
	}
}

// A user of the API finds each part of the root by the name of its file: so there are few.
func TestRootHasFewFiles(t *testing.T) {
	all, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	files := slices.DeleteFunc(all, func(name string) bool { return strings.HasSuffix(name, "_test.go") })
	if len(files) == 0 || len(files) > 20 {
		t.Errorf("%d files: %v", len(files), files)
	}
}

// No type has more than 30 methods or 20 fields, nor methods in more than two files.
func TestRoomsHaveNoGodTypes(t *testing.T) {
	// Of figures and options there are as many as there are: each is one line for its reader.
	plain := []string{"Config", "LoaderConfig", "Stats"}
	for name, r := range rooms(t) {
		methods, fields, files := map[string]int{}, map[string]int{}, map[string][]string{}
		for _, file := range r.files {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(r.dir, file), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range f.Decls {
				switch d := d.(type) {
				case *ast.FuncDecl:
					if d.Recv == nil {
						continue
					}
					typ := typeName(d.Recv.List[0].Type)
					methods[typ]++
					if !slices.Contains(files[typ], file) {
						files[typ] = append(files[typ], file)
					}
				case *ast.GenDecl:
					for _, s := range d.Specs {
						if s, ok := s.(*ast.TypeSpec); ok {
							if st, ok := s.Type.(*ast.StructType); ok {
								for _, field := range st.Fields.List {
									fields[s.Name.Name] += max(1, len(field.Names))
								}
							}
						}
					}
				}
			}
		}
		for typ, n := range methods {
			if n > 30 {
				t.Errorf("%s.%s has %d methods", name, typ, n)
			}
			if len(files[typ]) > 2 && typ != "Bcache" { // whose methods stand with the clauses of the API
				t.Errorf("%s.%s has methods in %v", name, typ, files[typ])
			}
		}
		for typ, n := range fields {
			if n > 20 && !slices.Contains(plain, typ) {
				t.Errorf("%s.%s has %d fields", name, typ, n)
			}
		}
	}
}

func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return typeName(e.X)
	case *ast.IndexExpr:
		return typeName(e.X)
	case *ast.IndexListExpr:
		return typeName(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}
