package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// A client sends requests to the service.
type client struct{ http *http.Client }

// A statusError is an answer that says no.
type statusError struct{ text string }

func (e *statusError) Error() string { return e.text }

// newClient returns a client that keeps enough connections open for n goroutines.
func newClient(n int) client {
	return client{&http.Client{
		Timeout:   10 * time.Second,
		Transport: &http.Transport{MaxIdleConnsPerHost: n + nodeCount},
	}}
}

// get reads a user, and tells whether it came from the cache.
func (c client) get(ctx context.Context, url string, id int64) (u User, hit bool, err error) {
	header, err := c.do(ctx, http.MethodGet, url, id, nil, &u)
	return u, header.Get(cacheHeader) == "hit", err
}

// rename changes a user's name.
func (c client) rename(ctx context.Context, url string, id int64, name string) error {
	body, err := json.Marshal(map[string]string{"name": name})
	if err != nil {
		return err
	}
	_, err = c.do(ctx, http.MethodPut, url, id, body, nil)
	return err
}

// do sends a request about a user, and decodes the answer into v unless that is nil.
func (c client) do(ctx context.Context, method, url string, id int64, body []byte, v any) (http.Header, error) {
	return c.send(ctx, method, fmt.Sprintf("%s/users/%d", url, id), body, v)
}

// read reads what else a node tells.
func (c client) read(ctx context.Context, url string, v any) error {
	_, err := c.send(ctx, http.MethodGet, url, nil, v)
	return err
}

func (c client) send(ctx context.Context, method, url string, body []byte, v any) (http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		return nil, &statusError{fmt.Sprintf("%s %s: %s: %s", method, url, resp.Status, answer)}
	}
	if v != nil {
		err = json.Unmarshal(answer, v)
	}
	return resp.Header, err
}
