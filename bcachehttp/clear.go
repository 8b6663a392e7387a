package bcachehttp

import (
	"fmt"
	"net/http"
	"time"

	"github.com/iwanbk/bcache"
)

// A clearance is what was cleared: the keys with a prefix, the values with a tag, or if both are "", all.
type clearance struct{ prefix, tag string }

// clearWhat deletes on all nodes what a form says: keys with a prefix, values with a tag, or all of them
// if that is confirmed. Whoever gives a prefix or a tag doesn't get more than that deleted, whatever it is.
func clearWhat(h *handler, r *http.Request) (done clearance, err error) {
	p, err := form(r)
	if err != nil {
		return done, err
	}
	prefix, byPrefix, err := p.bytes("prefix")
	if err != nil {
		return done, err
	}
	tag, byTag, err := p.bytes("tag")
	if err != nil {
		return done, err
	}
	confirm, _, err := p.one("confirm")
	switch {
	case err != nil:
		return done, err
	case byPrefix && byTag:
		return done, badRequest("there are both a prefix and a tag")
	case byPrefix && prefix == "":
		return done, badRequest("nothing is deleted: all keys have the empty prefix")
	case len(prefix) > bcache.MaxPrefixLen:
		text := fmt.Sprintf("the prefix has %d bytes: the most are %d", len(prefix), bcache.MaxPrefixLen)
		return done, problem{status: http.StatusRequestEntityTooLarge, text: text}
	case byPrefix:
		return clearance{prefix: prefix}, h.cache.ClearPrefix(prefix)
	case byTag:
		return clearance{tag: tag}, h.cache.ClearTag(tag)
	case confirm != "clear":
		return done, badRequest(`nothing is deleted: confirm must be "clear"`)
	}
	return done, h.cache.Clear()
}

func clearPage(h *handler, r *http.Request) (answer, error) {
	done, err := clearWhat(h, r)
	if err != nil {
		return answer{}, err
	}
	v := doneView{Title: "Cleared"}
	what := "All keys are"
	switch {
	case done.prefix != "":
		what, v.Of = "The keys with this prefix are", shown(done.prefix, mostToRead)
	case done.tag != "":
		what, v.Of = "What has this tag is", shown(done.tag, mostToRead)
	}
	v.Text = what + " deleted here, and within moments on all nodes that are reached."
	return inHTML(donePage, v)
}

// clearedJSON says what was cleared.
type clearedJSON struct {
	Time         string `json:"time"`
	Done         string `json:"done"`
	Prefix       string `json:"prefix,omitempty"`
	PrefixBase64 string `json:"prefix_base64,omitempty"`
	Tag          string `json:"tag,omitempty"`
	TagBase64    string `json:"tag_base64,omitempty"`
}

func clearJSON(h *handler, r *http.Request) (answer, error) {
	done, err := clearWhat(h, r)
	if err != nil {
		return answer{}, err
	}
	j := clearedJSON{Time: moment(time.Now()), Done: "cleared"}
	j.Prefix, j.PrefixBase64 = bytesJSON(done.prefix)
	j.Tag, j.TagBase64 = bytesJSON(done.tag)
	return inJSON(j)
}
