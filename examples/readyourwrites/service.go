package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/iwanbk/bcache"
)

const maxNote = 4 << 10 // bytes

// A database has the truth. Yours is another one.
type database struct {
	mu    sync.Mutex
	notes map[string]string
}

func (db *database) note(id string) (string, error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	text, ok := db.notes[id]
	if !ok {
		return "", bcache.ErrNotFound
	}
	return text, nil
}

func (db *database) setNote(id, text string) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.notes == nil {
		db.notes = map[string]string{}
	}
	db.notes[id] = text
}

// newService serves notes on one node: GET and PUT of /notes/{id}.
func newService(cache *bcache.Bcache, db *database) (http.Handler, error) {
	notes, err := bcache.NewLoader(cache, bcache.LoaderConfig{
		Prefix:     "note:",
		Fill:       func(_ context.Context, id string) (bcache.Loaded, error) { return load(db, id) },
		TTL:        10 * time.Minute,
		AwaitToken: 200 * time.Millisecond,
	})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /notes/{id}", func(w http.ResponseWriter, r *http.Request) {
		text, err := notes.Get(r.Context(), r.PathValue("id"))
		switch {
		case errors.Is(err, bcache.ErrNotFound):
			http.Error(w, "no such note", http.StatusNotFound)
		case err != nil:
			http.Error(w, "the note can't be read now", http.StatusServiceUnavailable)
		default:
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			_, _ = io.WriteString(w, text) // who has gone doesn't want it
		}
	})
	mux.HandleFunc("PUT /notes/{id}", func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxNote))
		if err != nil {
			http.Error(w, "the note is too long, or incomplete", http.StatusBadRequest)
			return
		}
		db.setNote(r.PathValue("id"), string(text)) // commits
		if err := notes.Delete(r.PathValue("id")); err != nil {
			http.Error(w, "the note is written, and may not show", http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	return readYourWrites(cache, mux), nil
}

func load(db *database, id string) (bcache.Loaded, error) {
	text, err := db.note(id)
	return bcache.Loaded{Value: text}, err
}
