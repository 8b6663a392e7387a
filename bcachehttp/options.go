package bcachehttp

import "net/http"

// Options say what whoever reaches the page may see and do. The zero value is the safe one: nothing can
// be changed, and no value is shown. What may be seen then is figures, addresses and keys.
type Options struct {
	// Values has the beginnings of values shown, on the page of a key, to those who ask for them.
	Values bool

	// Actions lets keys be deleted, and all or some of the cache be cleared, on all nodes. Without an
	// Authorize, everybody who reaches the page may do that.
	Actions bool

	// Authorize is asked before each request is answered, with what the request wants. If it returns an
	// error, the answer is 403 Forbidden, which doesn't say why. It is called by several goroutines at a
	// time. nil allows everything that Values and Actions do.
	//
	// A request that wants values is asked about twice: Why, and Value. It is also asked with the request
	// of a page whether that page is to offer Value, Delete or Clear: so it shouldn't take being asked for
	// being done. It isn't asked about a request whose path or method is wrong.
	Authorize func(r *http.Request, action Action) error
}

// An Action is what a request wants.
type Action string

// The actions. A hook that knows only some of them should refuse the others: there may be more one day.
const (
	Health Action = "health" // to know whether the node lives, and is ready: /healthz and /readyz
	View   Action = "view"   // to see the figures of the node, and keys that are hot, slow or refused
	Why    Action = "why"    // to know what all nodes know of a key, but not its value
	Value  Action = "value"  // to see the value too
	Delete Action = "delete" // to delete a key
	Clear  Action = "clear"  // to delete all keys, or those with a prefix or a tag
)
