package bcachehttp

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"time"
)

// maxForm is how many bytes a form may have: a key of the greatest length in percent-encoding, and some.
const maxForm = 32 << 10

// A doneView says what an action did.
type doneView struct {
	Title, Text string
	Key         keyView
	OfKey       bool   // it was about the Key
	Of          string // or about this prefix or tag
}

// deleteKey deletes a key on all nodes.
func deleteKey(h *handler, r *http.Request) (key string, err error) {
	p, err := form(r)
	if err != nil {
		return "", err
	}
	key, ok, err := p.key(http.StatusRequestEntityTooLarge)
	if err != nil {
		return "", err
	}
	if !ok {
		return "", badRequest("there is no key")
	}
	return key, h.cache.Delete(key)
}

func deletePage(h *handler, r *http.Request) (answer, error) {
	key, err := deleteKey(h, r)
	if err != nil {
		return answer{}, err
	}
	return inHTML(donePage, doneView{
		Title: "Deleted", Text: "The key is deleted here, and within moments on all nodes that are reached.",
		Key: newKeyView(key), OfKey: true,
	})
}

func deleteJSON(h *handler, r *http.Request) (answer, error) {
	key, err := deleteKey(h, r)
	if err != nil {
		return answer{}, err
	}
	return inJSON(struct {
		Time string `json:"time"`
		Done string `json:"done"`
		keyJSON
	}{moment(time.Now()), "deleted", wholeKeyJSON(key)})
}

// form reads the parameters of a form; the second time they are there.
func form(r *http.Request) (params, error) {
	const want = "application/x-www-form-urlencoded"
	if typ, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || typ != want {
		return nil, problem{status: http.StatusUnsupportedMediaType, text: "the body must be a form: " + want}
	}
	r.Body = http.MaxBytesReader(nil, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			return nil, problem{
				status: http.StatusRequestEntityTooLarge,
				text:   fmt.Sprintf("the form has more than %d bytes", tooLarge.Limit),
			}
		}
		return nil, badRequest("the form isn't well-formed: %v", err)
	}
	return params(r.PostForm), nil
}
