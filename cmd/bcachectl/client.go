package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
)

const (
	maxAnswer    = 8 << 20 // bytes of an answer
	maxHeader    = 1 << 20 // and of its header
	maxRedirects = 5
)

// A client talks to one page.
type client struct {
	base    *url.URL // ends with a slash
	headers http.Header
	http    *http.Client
	app     *app
}

// newClient has what the flags say.
func newClient(a *app) (*client, error) {
	base, err := pageURL(a.opts.addr)
	if err != nil {
		return nil, err
	}
	headers, err := headersOf(a.opts.headers, a.getenv("BCACHECTL_TOKEN"))
	if err != nil {
		return nil, err
	}
	if a.opts.timeout <= 0 {
		return nil, usage("--timeout must be more than 0")
	}
	transport := a.transport
	if transport == nil {
		if transport, err = networkOf(a.opts.caCert); err != nil {
			return nil, err
		}
	}
	return &client{base, headers, &http.Client{Transport: transport, CheckRedirect: checkRedirect}, a}, nil
}

// close ends connections that are kept.
func (c *client) close() { c.http.CloseIdleConnections() }

func pageURL(addr string) (*url.URL, error) {
	u, err := url.Parse(addr)
	switch {
	case err != nil:
		var of *url.Error
		if errors.As(err, &of) {
			err = of.Err // without the URL, in which there may be a password
		}
		return nil, usage("--addr isn't a URL: %v", err)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, usage("--addr must be the URL of the page, such as %s", defaultAddr)
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return nil, usage("--addr must be the URL where the page is mounted, without ? and #")
	}
	if !strings.HasSuffix(u.Path, "/") {
		u.Path += "/"
		if u.RawPath != "" {
			u.RawPath += "/"
		}
	}
	return u, nil
}

// headersOf reads the headers that are sent with each request.
func headersOf(given []string, token string) (http.Header, error) {
	headers := http.Header{}
	for _, h := range given {
		name, value, ok := strings.Cut(h, ":")
		value = strings.TrimSpace(value)
		if !ok || !isToken(name) || !isValue(value) {
			return nil, usage("a --header must be 'Name: value'") // what it is may be a secret
		}
		headers.Add(name, value)
	}
	if token = strings.TrimSpace(token); token != "" && headers.Get("Authorization") == "" {
		if !isValue(token) {
			return nil, usage("BCACHECTL_TOKEN has characters that a header can't have")
		}
		headers.Set("Authorization", "Bearer "+token)
	}
	return headers, nil
}

// isToken reports whether a header can have such a name.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune("\"(),/:;<=>?@[\\]{}", r)
	})
}

// isValue reports whether a header can have such a value.
func isValue(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

// networkOf verifies servers, with the certificates of a file if there is one.
func networkOf(caCert string) (http.RoundTripper, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxResponseHeaderBytes = maxHeader
	if caCert != "" {
		pem, err := os.ReadFile(caCert)
		if err != nil {
			return nil, usage("--cacert: %v", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, usage("--cacert: there is no certificate in %s", caCert)
		}
		t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return t, nil
}

// checkRedirect doesn't follow to where tokens must not go, nor with another method.
func checkRedirect(r *http.Request, via []*http.Request) error {
	from := via[0]
	switch {
	case len(via) > maxRedirects:
		return failed(exitFailure, "it redirects again and again: is --addr where the page is mounted?")
	case r.URL.Scheme != from.URL.Scheme || r.URL.Host != from.URL.Host || r.Method != from.Method:
		return failed(exitFailure, "it redirects to %s, which isn't followed: give --addr as it is there",
			r.URL.Redacted())
	}
	return nil
}

// An answer is what came.
type answer struct {
	status int
	typ    string // its Content-Type
	again  string // its Retry-After; "" if there is none
	body   []byte
}

// get asks for a path of the page.
func (c *client) get(ctx context.Context, path string, query url.Values) (answer, error) {
	u := c.base.JoinPath(path)
	u.RawQuery = query.Encode()
	return c.do(ctx, http.MethodGet, u, nil)
}

// post sends a form.
func (c *client) post(ctx context.Context, path string, form url.Values) (answer, error) {
	return c.do(ctx, http.MethodPost, c.base.JoinPath(path), strings.NewReader(form.Encode()))
}

func (c *client) do(ctx context.Context, method string, u *url.URL, form io.Reader) (answer, error) {
	timed, cancel := context.WithTimeout(ctx, c.app.opts.timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(timed, method, u.String(), form)
	if err != nil {
		return answer{}, usage("--addr: %v", err)
	}
	r.Header = c.headers.Clone()
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host // net/http doesn't send it otherwise
	}
	r.Header.Set("User-Agent", "bcachectl")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response, err := c.http.Do(r)
	if err != nil {
		return answer{}, c.unreached(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return answer{}, c.unreached(err)
	case len(body) > maxAnswer:
		return answer{}, failed(exitFailure, "the answer has more than %s: is %s the page of a cache?",
			bytesText(maxAnswer), c.base.Redacted())
	}
	head := response.Header
	return answer{response.StatusCode, head.Get("Content-Type"), head.Get("Retry-After"), body}, nil
}

// unreached says why there is no answer.
func (c *client) unreached(err error) error {
	var (
		f       *failure
		of      *url.Error
		timeout net.Error
	)
	if errors.As(err, &f) {
		return f
	}
	at := c.base.Redacted()
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		return failed(exitUnreachable, "no answer of %s within %s: does it hang? --timeout waits longer",
			at, c.app.opts.timeout)
	}
	if errors.As(err, &of) {
		err = of.Err
	}
	if invalid := (*tls.CertificateVerificationError)(nil); errors.As(err, &invalid) {
		return failed(exitUnreachable, "%s isn't trusted: %v: see --cacert", at, invalid.Err)
	}
	return failed(exitUnreachable, "can't reach %s: %v: does the service run? Is --addr right?", at, err)
}

// refusal is the error of an answer that isn't 200.
func (c *client) refusal(got answer) error {
	var said struct {
		Error string `json:"error"`
	}
	spoken := json.Unmarshal(got.body, &said) == nil && said.Error != "" // as the page speaks
	what := fmt.Sprintf("%d %s", got.status, http.StatusText(got.status))
	if spoken {
		what = fmt.Sprintf("%s (%d)", said.Error, got.status)
	}
	at := c.base.Redacted()
	switch got.status {
	case http.StatusBadRequest, http.StatusRequestURITooLong, http.StatusRequestEntityTooLarge:
		return failed(exitUsage, "%s", what)
	case http.StatusUnauthorized, http.StatusForbidden:
		return failed(exitRefused, "%s: set BCACHECTL_TOKEN, or give a --header, that may do this", what)
	case http.StatusMethodNotAllowed:
		return failed(exitRefused, "%s: the service doesn't allow it", what)
	case http.StatusNotFound:
		if spoken {
			return failed(exitRefused, "%s: the service doesn't allow that, or has an older bcache", what)
		}
		return failed(exitFailure, "%s: is %s where the page is mounted? See --addr", what, at)
	case http.StatusTooManyRequests:
		return failed(exitFailure, "%s: try again in a second", what)
	case http.StatusServiceUnavailable:
		if spoken && got.again == "" { // the page says when it is only busy
			return failed(exitFailure, "%s: ask another node, or this one when it runs again", what)
		}
		return failed(exitFailure, "%s: try again in a second", what)
	}
	return failed(exitFailure, "%s: see the log of the service at %s", what, at)
}

// notPage says that an answer isn't one of the page.
func (c *client) notPage(err error) error {
	const text = "the answer isn't that of a cache's page (%v): is it mounted at %s? See --addr"
	return failed(exitFailure, text, err, c.base.Redacted())
}

// decode reads an answer in JSON into to, unless that is nil.
func (c *client) decode(got answer, err error, to any) error {
	switch {
	case err != nil:
		return err
	case got.status != http.StatusOK:
		return c.refusal(got)
	case !bytes.HasPrefix(bytes.TrimSpace(got.body), []byte("{")):
		return c.notPage(errors.New("no JSON"))
	}
	if err := json.Unmarshal(got.body, to); err != nil {
		return c.notPage(err)
	}
	return nil
}
