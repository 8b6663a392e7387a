// Package bcachehttp is a page for whoever operates a service that uses bcache: what this node does, who
// the others are, what is wrong and what to do about it, and why a node has what it has of a key. The
// same is there as JSON, for programs. It is only there where the service mounts it:
//
//	mux.Handle("/cache/", http.StripPrefix("/cache", bcachehttp.Handler(cache, bcachehttp.Options{})))
//
// Mount it where only operators come: it shows keys and addresses. Options say what else may be seen
// and done. docs/observing.md has the paths, and the fields of the JSON.
//
// The page needs no JavaScript and nothing from elsewhere. It costs the cache next to nothing: once in
// two seconds its figures are read, for the plots.
package bcachehttp

import (
	"errors"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/iwanbk/bcache"
)

// maxAnswers is how many answers are made at a time, to requests of each action. What the one want
// doesn't hold up the others.
const maxAnswers = 16

// Handler serves the page of a node. It may be mounted under any prefix that is stripped: all links are
// relative. Until the cache is closed it has a goroutine, which reads the figures every two seconds. So
// make one Handler for a cache, not one for a request. A nil cache has a Handler that only says so, with
// the status 503.
func Handler(cache *bcache.Bcache, opts Options) http.Handler {
	if cache == nil {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			none := problem{status: http.StatusServiceUnavailable, text: "this is mounted without a cache"}
			failure("/"+strings.TrimPrefix(r.URL.Path, "/"), none).write(w, r)
		})
	}
	h := &handler{
		cache: cache, opts: opts, history: &history{}, routes: routesOf(opts), places: map[Action]places{},
		cross: http.NewCrossOriginProtection(),
	}
	for _, rt := range h.routes {
		h.places[rt.action] = make(places, maxAnswers)
	}
	h.history.begin(cache)
	return h
}

type handler struct {
	cache   *bcache.Bcache
	opts    Options
	history *history
	routes  map[string]route
	places  map[Action]places
	cross   *http.CrossOriginProtection
}

// places hold one for each answer that is being made.
type places chan struct{}

// A route is what is done at a path.
type route struct {
	action Action
	post   bool // by POST; otherwise by GET and HEAD
	serve  func(h *handler, r *http.Request) (answer, error)
}

// routesOf lists the paths.
func routesOf(opts Options) map[string]route {
	routes := map[string]route{
		"/":          {action: View, serve: page},
		"/style.css": {action: View, serve: style},
		"/why":       {action: Why, serve: whyPage},
		"/healthz":   {action: Health, serve: healthz},
		"/readyz":    {action: Health, serve: readyz},
		"/api/why":   {action: Why, serve: whyAPI},
	}
	for name, figures := range views {
		routes["/api/"+name] = route{action: View, serve: figures}
	}
	if opts.Actions {
		routes["/delete"] = route{action: Delete, post: true, serve: deletePage}
		routes["/clear"] = route{action: Clear, post: true, serve: clearPage}
		routes["/api/delete"] = route{action: Delete, post: true, serve: deleteJSON}
		routes["/api/clear"] = route{action: Clear, post: true, serve: clearJSON}
	}
	return routes
}

// methods are those that a path has.
func (rt route) methods() []string {
	if rt.post {
		return []string{http.MethodPost}
	}
	return []string{http.MethodGet, http.MethodHead}
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	to := "/" + strings.TrimPrefix(r.URL.Path, "/")
	if to == "/" && redirected(w, r) {
		return
	}
	a, err := h.answer(to, r)
	if err != nil {
		a = failure(to, err)
	}
	a.write(w, r)
}

// redirected leads from the prefix without its slash to the prefix. Of it nothing is left when it is
// stripped, so it is the request as it came that tells.
func redirected(w http.ResponseWriter, r *http.Request) bool {
	asked, query, _ := strings.Cut(r.RequestURI, "?")
	if r.URL.Path != "" || asked == "" || strings.HasSuffix(asked, "/") {
		return false
	}
	to := "./" + path.Base(asked) + "/" // relative: who is before this server may strip prefixes too
	if query != "" {
		to += "?" + query
	}
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusTemporaryRedirect)
	return true
}

// answer makes the answer to a request of a path.
func (h *handler) answer(to string, r *http.Request) (answer, error) {
	rt, ok := h.routes[to]
	if !ok {
		return answer{}, problem{status: http.StatusNotFound, text: "there is no such page"}
	}
	if methods := rt.methods(); !slices.Contains(methods, r.Method) {
		return answer{}, problem{
			status: http.StatusMethodNotAllowed, text: "the method must be " + strings.Join(methods, " or "),
			header: "Allow", value: strings.Join(methods, ", "),
		}
	}
	if err := h.cross.Check(r); err != nil {
		return answer{}, problem{status: http.StatusForbidden, text: "this came from a page of another site"}
	}
	if err := h.authorize(r, rt.action); err != nil {
		return answer{}, err
	}
	if rt.post { // it is read before there is a place for it: who sends slowly holds up nobody
		if _, err := form(r); err != nil {
			return answer{}, err
		}
	}
	if rt.action == Health {
		return rt.serve(h, r) // a probe is answered also by a node that has much to do
	}
	select {
	case h.places[rt.action] <- struct{}{}:
		defer func() { <-h.places[rt.action] }()
	default:
		return answer{}, problem{
			status: http.StatusServiceUnavailable, text: "too many pages are asked for at a time",
			header: "Retry-After", value: "1",
		}
	}
	if errors.Is(h.cache.Ready(), bcache.ErrClosed) {
		return answer{}, bcache.ErrClosed
	}
	return rt.serve(h, r)
}

// authorize asks whether a request may have what it wants.
func (h *handler) authorize(r *http.Request, action Action) error {
	if h.opts.Authorize != nil && h.opts.Authorize(r, action) != nil {
		return problem{status: http.StatusForbidden, text: "this isn't allowed"}
	}
	return nil
}

// may reports whether an action is to be offered to who asked for a page.
func (h *handler) may(r *http.Request, action Action) bool {
	if action == Value && !h.opts.Values || (action == Delete || action == Clear) && !h.opts.Actions {
		return false
	}
	return h.authorize(r, action) == nil
}

// healthz says that the process answers, and the cache isn't closed.
func healthz(h *handler, _ *http.Request) (answer, error) {
	if errors.Is(h.cache.Ready(), bcache.ErrClosed) {
		return answer{}, bcache.ErrClosed
	}
	return plain("ok"), nil
}

// readyz says whether the node is ready.
func readyz(h *handler, _ *http.Request) (answer, error) {
	if err := h.cache.Ready(); err != nil {
		return answer{}, problem{status: http.StatusServiceUnavailable, text: err.Error()}
	}
	return plain("ready"), nil
}
