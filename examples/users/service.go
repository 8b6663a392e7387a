package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/iwanbk/bcache"
)

const (
	dbTimeout   = 3 * time.Second
	maxBody     = 4 << 10 // bytes
	maxNameLen  = 100     // characters
	cacheHeader = "X-Cache"
)

// A reader reads users: a *bcache.Typed, or the database itself.
type reader interface {
	Get(ctx context.Context, key string) (User, error)
}

// users are read, and deleted from the cache.
type users interface {
	reader
	Delete(key string) error
}

// userCache is what else the service needs of a *bcache.Bcache.
type userCache interface {
	Ready() error
	Members() []bcache.Member
	Stats() bcache.Stats
}

// A service serves users over HTTP.
type service struct {
	store     *store
	users     users
	cache     userCache
	operators http.Handler // nil: there is nothing to look at
	log       *slog.Logger
}

// handler returns the service's routes.
func (s *service) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /users/{id}", s.getUser)
	mux.HandleFunc("PUT /users/{id}", s.putUser)
	mux.HandleFunc("/users/{id}", methodNotAllowed("GET, HEAD, PUT"))
	mux.HandleFunc("GET /healthz", s.getHealth)
	mux.HandleFunc("/healthz", methodNotAllowed("GET, HEAD"))
	mux.HandleFunc("GET /ready", s.getReady)
	mux.HandleFunc("/ready", methodNotAllowed("GET, HEAD"))
	mux.HandleFunc("GET /stats", s.getStats)
	mux.HandleFunc("/stats", methodNotAllowed("GET, HEAD"))
	if s.operators != nil {
		mux.Handle("/metrics", s.operators)
		mux.Handle("/cache/", s.operators)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, http.StatusNotFound,
			"no such path; try /users/1, /healthz, /ready, /stats, /metrics or /cache/")
	})
	return mux
}

// userKey makes the key from the number, not from what the client wrote: "7" and
// "07" are one user, so they must be one key.
func userKey(id int64) string { return strconv.FormatInt(id, 10) }

// getUser reads a user through the cache.
func (s *service) getUser(w http.ResponseWriter, r *http.Request) {
	id, err := pathID(r)
	if err != nil {
		writeError(w, http.StatusBadRequest, err.Error())
		return
	}

	// Hit or miss is told by whether this request went to the database.
	ctx, asked := withAsked(r.Context())
	u, err := s.users.Get(ctx, userKey(id))
	cached := "hit"
	if asked.Load() {
		cached = "miss"
	}
	switch {
	case errors.Is(err, bcache.ErrNotFound):
		writeError(w, http.StatusNotFound, fmt.Sprintf("no user %d", id))
	case err != nil:
		s.unavailable(w, "reading a user", err)
	default:
		w.Header().Set(cacheHeader, cached)
		writeJSON(w, http.StatusOK, u)
	}
}

// putUser changes a user's name: it commits to the database and THEN deletes the
// key, on all nodes. The next read fills it from the database.
//
// To Set the new value instead looks better and is wrong, because the order of
// two Sets needn't be that of the two commits:
//
//  1. request A commits name = "Ann"
//  2. request B commits name = "Bob"   (the database says Bob from now on)
//  3. request B: Set(key, "Bob")
//  4. request A: Set(key, "Ann")       (the cache says Ann until the TTL ends)
//
// Two Deletes are the same in either order. To delete before the commit is
// wrong too: a read in between fills the old value again. A fill that began
// before the Delete, here or on another node, loses against it.
func (s *service) putUser(w http.ResponseWriter, r *http.Request) {
	id, err := pathID(r)
	if err != nil {
		writeError(w, http.StatusBadRequest, err.Error())
		return
	}
	name, err := bodyName(w, r)
	if tooBig := (*http.MaxBytesError)(nil); errors.As(err, &tooBig) {
		writeError(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body has more than %d bytes", tooBig.Limit))
		return
	} else if err != nil {
		writeError(w, http.StatusBadRequest, err.Error())
		return
	}

	// A client that goes away mustn't leave the update half done.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), dbTimeout)
	defer cancel()
	err = s.store.Rename(ctx, id, name)
	if errors.Is(err, errNoUser) {
		writeError(w, http.StatusNotFound, fmt.Sprintf("no user %d", id))
		return
	}
	// After an error too: a commit whose answer was lost is still a commit, and
	// a Delete too many is only a miss.
	if err := errors.Join(err, s.users.Delete(userKey(id))); err != nil {
		s.unavailable(w, "changing a user", err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// getHealth answers 200 as long as the database answers. A node without peers is
// healthy: it serves what its database says.
func (s *service) getHealth(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), dbTimeout)
	defer cancel()
	if err := s.store.Ping(ctx); err != nil {
		s.unavailable(w, "health check", err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"status": "ok", "peers": len(s.cache.Members())})
}

// getReady answers 200 once the node has what the others hold: for a load balancer, which
// should send it no requests before.
func (s *service) getReady(w http.ResponseWriter, r *http.Request) {
	if err := s.cache.Ready(); err != nil {
		writeError(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ready"})
}

// getStats answers with the cache's figures, and how many queries the database was sent.
func (s *service) getStats(w http.ResponseWriter, r *http.Request) {
	writeJSON(w, http.StatusOK, struct {
		bcache.Stats
		Queries uint64
	}{s.cache.Stats(), s.store.Queries()})
}

// unavailable answers that the database failed, and logs how: the details are
// not for clients.
func (s *service) unavailable(w http.ResponseWriter, doing string, err error) {
	s.log.Error(doing+" failed", "err", err)
	writeError(w, http.StatusServiceUnavailable, "the database is not available, try again later")
}

func pathID(r *http.Request) (int64, error) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 32) // the column has 32 bits
	if err != nil || id < 1 {
		return 0, fmt.Errorf("the user's ID is %q, but must be a number from 1 to 2147483647", r.PathValue("id"))
	}
	return id, nil
}

// bodyName returns the name in a body of {"name": "..."}.
func bodyName(w http.ResponseWriter, r *http.Request) (string, error) {
	var body struct {
		Name string `json:"name"`
	}
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&body); err != nil {
		return "", fmt.Errorf(`the body must be {"name": "..."}: %w`, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return "", errors.New(`the body must be {"name": "..."} and nothing else`)
	}
	if n := utf8.RuneCountInString(body.Name); n < 1 || n > maxNameLen {
		return "", fmt.Errorf("the name has %d characters, but must have 1 to %d", n, maxNameLen)
	}
	if strings.ContainsFunc(body.Name, unicode.IsControl) {
		return "", errors.New("the name must not contain control characters")
	}
	return body.Name, nil
}

func methodNotAllowed(allow string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", allow)
		writeError(w, http.StatusMethodNotAllowed, fmt.Sprintf("%s is not allowed here, but %s", r.Method, allow))
	}
}

func writeError(w http.ResponseWriter, status int, msg string) {
	writeJSON(w, status, map[string]string{"error": msg})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) // an error means that the client is gone
}
