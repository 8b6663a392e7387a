package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/iwanbk/bcache"
)

// A database is the one of the test, which it serves by HTTP. Each of its keys has a version, which is
// 1 after the first commit and rises by 1 with each; a value is the key, "#", and the version. Versions
// never begin anew, not even when a key is removed.
type database struct{ url string }

func newDatabase(url string) *database {
	http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = 32
	return &database{url}
}

// tagged gives what a fill brings its tags, where there are tags.
var tagged = func(l bcache.Loaded, _ string) bcache.Loaded { return l }

// fill is the Fill of the Loader.
func (db *database) fill(ctx context.Context, key string) (bcache.Loaded, error) {
	value, err := db.ask(ctx, http.MethodGet, key)
	return tagged(bcache.Loaded{Value: value}, key), err
}

// commit writes a key, or removes it, and returns its new version. Its value is there from then on.
func (db *database) commit(key string, removes bool) (version int, err error) {
	method := http.MethodPost
	if removes {
		method = http.MethodDelete
	}
	value, err := db.ask(context.Background(), method, key)
	return versionOf(value), err
}

func (db *database) ask(ctx context.Context, method, key string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, method, db.url+"/"+url.PathEscape(key), nil)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return "", err
	case res.StatusCode == http.StatusNotFound:
		return "", bcache.ErrNotFound
	case res.StatusCode != http.StatusOK:
		return "", fmt.Errorf("the database: %s", res.Status)
	}
	return string(body), nil
}

// versionOf is the version in a value; 0 in one that isn't the database's.
func versionOf(value string) int {
	_, text, _ := strings.Cut(value, "#")
	version, _ := strconv.Atoi(text)
	return version
}
