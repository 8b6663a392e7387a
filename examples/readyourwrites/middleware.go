package main

import (
	"net/http"
	"time"

	"github.com/iwanbk/bcache"
)

const (
	cookieName = "written"

	// cookieAge is for how long a user's writes are followed: long after all nodes that are reached have
	// them, and no longer, as what a node wrote right before it died may never come, and is waited for.
	cookieAge = 10 * time.Minute
)

// unknown is the Token of a node that doesn't exist: no node can tell whether it has processed its
// writes, so who comes with it reads the database.
var unknown = mustParse("1AAAAAAAAAAEB")

// readYourWrites lets a user who has written on one node read that on every other node. A cookie has
// what the user has written, as a Token; the context of each request has it for Loaders with AwaitToken.
//
// next must have written, and told the cache, before it writes the first byte of its answer. Of a
// request that fails the cookie is set, too: it may have changed something nevertheless. When two writes
// of one user run at a time, the cookie is that of the one whose answer comes last.
func readYourWrites(cache *bcache.Bcache, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		had := tokenOf(r)
		r = r.WithContext(bcache.WithToken(r.Context(), had))
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			next.ServeHTTP(w, r)
			return
		}
		answer := &answerWriter{ResponseWriter: w, cache: cache, had: had, secure: r.TLS != nil}
		next.ServeHTTP(answer, r)
		answer.setCookie()
	})
}

// tokenOf reads the cookie. One that isn't ours is as good as none: who garbles his own only harms
// himself.
func tokenOf(r *http.Request) bcache.Token {
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return bcache.Token{}
	}
	token, err := bcache.ParseToken(cookie.Value)
	if err != nil {
		return bcache.Token{}
	}
	return token
}

// An answerWriter sets the cookie when the answer begins: after what was written, and before its header
// leaves.
type answerWriter struct {
	http.ResponseWriter
	cache  *bcache.Bcache
	had    bcache.Token
	secure bool
	begun  bool
}

func (w *answerWriter) WriteHeader(status int) {
	if status >= 200 { // not those before the answer
		w.setCookie()
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *answerWriter) Write(b []byte) (int, error) {
	w.setCookie()
	return w.ResponseWriter.Write(b)
}

func (w *answerWriter) setCookie() {
	if w.begun {
		return
	}
	w.begun = true
	token, err := bcache.MergeTokens(w.had, w.cache.Token())
	if err != nil {
		token = unknown // of too many nodes, within cookieAge
	}
	if token.IsZero() {
		return
	}
	http.SetCookie(w.ResponseWriter, &http.Cookie{
		Name: cookieName, Value: token.String(), Path: "/", MaxAge: int(cookieAge.Seconds()),
		HttpOnly: true, Secure: w.secure, SameSite: http.SameSiteLaxMode,
	})
}

func mustParse(text string) bcache.Token {
	token, err := bcache.ParseToken(text)
	if err != nil {
		panic(err)
	}
	return token
}
