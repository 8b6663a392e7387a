package bcachehttp

import (
	"crypto/sha256"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"unicode"
	"unicode/utf8"
)

//go:embed templates
var files embed.FS

//go:embed style.css
var styleSheet []byte

// styleMark names the style sheet as it is, so that a browser may keep it.
var styleMark = fmt.Sprintf("%x", sha256.Sum256(styleSheet))[:12]

var (
	mainPage  = parse("page")
	keyPage   = parse("why")
	donePage  = parse("done")
	errorPage = parse("error")
)

// parse reads the template of a page, with what all have in common.
func parse(name string) *template.Template {
	funcs := template.FuncMap{
		"hex": hexID, "style": func() string { return styleMark },
	}
	return template.Must(template.New("layout.tmpl").Funcs(funcs).
		ParseFS(files, "templates/layout.tmpl", "templates/"+name+".tmpl"))
}

// style serves the style sheet.
func style(*handler, *http.Request) (answer, error) {
	return answer{
		typ: typeCSS, body: styleSheet, header: "Cache-Control", value: "private, max-age=86400",
	}, nil
}

// An errorView is a problem for people.
type errorView struct{ Title, Text string }

// sentence writes the text of an error as people write.
func sentence(text string) string {
	first, n := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + text[n:] + "."
}
