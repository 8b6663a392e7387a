package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// A printer writes to stdout. Everything that it is given is cleaned, so that neither a key nor a server
// sends anything else than text to a terminal.
type printer struct {
	w      io.Writer
	err    error // the first one of writing
	colour bool
}

func newPrinter(s surroundings) *printer {
	p := &printer{
		colour: s.shows && s.getenv("NO_COLOR") == "",
	}
	p.w = remembering{s.stdout, &p.err}
	return p
}

// Remembering keeps the first error of writing.
type remembering struct {
	w   io.Writer
	err *error
}

func (r remembering) Write(b []byte) (int, error) {
	if *r.err != nil {
		return 0, *r.err
	}
	n, err := r.w.Write(b)
	if err != nil {
		*r.err = &writeError{err}
	}
	return n, err
}

// A writeError is a failure, too.
type writeError struct{ err error }

func (e *writeError) Error() string { return e.err.Error() }
func (e *writeError) Unwrap() []error {
	return []error{e.err, failed(exitFailure, "can't write: %v", e.err)}
}

// A style is how text looks in a terminal.
type style string

const (
	plain style = ""
	bold  style = "1"
	red   style = "31"
	dim   style = "2"
)

// styled is a text that is clean, in a style if that is shown.
func (p *printer) styled(s style, text string) string {
	if !p.colour || s == plain || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

func (p *printer) line(s style, format string, v ...any) {
	_, _ = io.WriteString(p.w, p.styled(s, clean(fmt.Sprintf(format, v...)))+"\n")
}

// blank separates.
func (p *printer) blank() { _, _ = io.WriteString(p.w, "\n") }

// A table has its columns aligned. The names of those with numbers begin with ">": they are aligned at
// the right.
type table struct {
	columns []string
	rows    [][]string
	styles  []style // of rows, if there are any
}

func (t *table) add(cells ...string) {
	t.rows, t.styles = append(t.rows, cells), append(t.styles, plain)
}

// maxCell is how many runes a cell has, but for those of the last column. JSON has all.
const maxCell = 80

// cut leaves off what is more than so many runes.
func cut(s string, most int) string {
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-1]) + "…"
}

func (p *printer) table(t *table) {
	head := make([]string, len(t.columns))
	right := make([]bool, len(t.columns))
	for i, name := range t.columns {
		head[i], right[i] = strings.TrimPrefix(name, ">"), strings.HasPrefix(name, ">")
	}
	rows := append([][]string{head}, t.rows...)
	widths := make([]int, len(head))
	for _, row := range rows {
		for i := range row {
			row[i] = clean(row[i])
			if i < len(row)-1 {
				row[i] = cut(row[i], maxCell)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	for n, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			if i > 0 {
				b.WriteString("  ")
			}
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			switch {
			case right[i]:
				b.WriteString(pad + cell)
			case i == len(row)-1:
				b.WriteString(cell)
			default:
				b.WriteString(cell + pad)
			}
		}
		s := bold
		if n > 0 {
			s = t.styles[n-1]
		}
		_, _ = io.WriteString(p.w, p.styled(s, strings.TrimRight(b.String(), " "))+"\n")
	}
}

// document prints JSON as the node sent it. What a terminal might not take for text is escaped: for a
// program that is the same. So is white space, of which one line has none but blanks.
func (p *printer) document(body []byte, oneLine bool) {
	var b strings.Builder
	for _, r := range string(bytes.TrimSpace(body)) { // bytes that aren't UTF-8 become U+FFFD
		switch {
		case r == '\r' || r == '\t' || r == '\n' && oneLine: // they aren't in a string of JSON
			b.WriteByte(' ')
		case r == '\n' || unicode.IsPrint(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	b.WriteByte('\n')
	_, _ = io.WriteString(p.w, b.String())
}
