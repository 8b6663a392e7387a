package bcachehttp

import (
	"bytes"
	"encoding/json"
	"errors"
	"html/template"
	"net/http"
	"strconv"
	"strings"

	"github.com/iwanbk/bcache"
)

// An answer is made as a whole before any of it is sent: so it has the right status, and who reads
// slowly keeps nothing but its bytes.
type answer struct {
	status int // 0: 200
	typ    string
	header string // one more, unless it is ""
	value  string
	body   []byte
}

const (
	typeHTML = "text/html; charset=utf-8"
	typeJSON = "application/json; charset=utf-8"
	typeText = "text/plain; charset=utf-8"
	typeCSS  = "text/css; charset=utf-8"
)

// policy allows the style sheet, forms to where they came from, and nothing else.
const policy = "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; " +
	"base-uri 'none'; frame-ancestors 'none'"

// write sends it.
func (a answer) write(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("Content-Type", a.typ)
	head.Set("Content-Length", strconv.Itoa(len(a.body)))
	head.Set("Content-Security-Policy", policy)
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("X-Frame-Options", "DENY")
	// Addresses of pages have keys in them, which other sites needn't know. With "no-referrer" forms would
	// come with the Origin "null", which is refused where a browser sends nothing else, as over plain HTTP.
	head.Set("Referrer-Policy", "same-origin")
	head.Set("Cross-Origin-Resource-Policy", "same-origin")
	head.Set("Cache-Control", "no-store")
	if a.header != "" {
		head.Set(a.header, a.value)
	}
	if a.status != 0 {
		w.WriteHeader(a.status)
	}
	if r.Method != http.MethodHead {
		_, _ = w.Write(a.body) // who has gone gets nothing
	}
}

func plain(text string) answer { return answer{typ: typeText, body: []byte(text + "\n")} }

// inJSON is an answer to a program.
func inJSON(v any) (answer, error) {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return answer{}, err
	}
	return answer{typ: typeJSON, body: body.Bytes()}, nil
}

// inHTML is an answer to a person.
func inHTML(t *template.Template, v any) (answer, error) {
	var body bytes.Buffer
	if err := t.Execute(&body, v); err != nil {
		return answer{}, err
	}
	return answer{typ: typeHTML, body: bytes.ToValidUTF8(body.Bytes(), []byte("\ufffd"))}, nil
}

// A problem is why there is no answer.
type problem struct {
	status        int
	text          string
	header, value string // one more header, if any
}

func (p problem) Error() string { return p.text }

// problemOf says what an error is to the other side.
func problemOf(err error) problem {
	var p problem
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, bcache.ErrClosed):
		return problem{status: http.StatusServiceUnavailable, text: "the cache is closed"}
	case errors.Is(err, bcache.ErrBusy):
		return problem{
			status: http.StatusTooManyRequests, text: reason(err), header: "Retry-After", value: "1",
		}
	case errors.Is(err, bcache.ErrTags):
		return problem{status: http.StatusBadRequest, text: reason(err)}
	case errors.Is(err, bcache.ErrTooLarge):
		return problem{status: http.StatusRequestURITooLong, text: reason(err)}
	}
	return problem{status: http.StatusInternalServerError, text: reason(err)}
}

// reason is the text of an error for who knows that bcache speaks.
func reason(err error) string { return strings.TrimPrefix(err.Error(), "bcache: ") }

// failure is the answer that there is none, in what is spoken at a path.
func failure(to string, err error) answer {
	p := problemOf(err)
	var a answer
	switch {
	case strings.HasPrefix(to, "/api/"), to == "/api":
		a, err = inJSON(map[string]string{"error": p.text})
	case to == "/healthz", to == "/readyz", strings.Count(to, "/") > 1: // where a page's links lead nowhere
		a, err = plain(p.text), nil
	default:
		a, err = inHTML(errorPage, errorView{Title: http.StatusText(p.status), Text: sentence(p.text)})
	}
	if err != nil {
		a = plain(p.text)
	}
	a.status, a.header, a.value = p.status, p.header, p.value
	return a
}
