package bcachehttp_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/bcachehttp"
)

// The page is mounted by the service, for those who may see it.
func Example() {
	cache, err := bcache.New(bcache.Config{MaxKeys: 1000})
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close()

	isOperator := func(r *http.Request) bool { // the service's own way to tell
		_, password, _ := r.BasicAuth()
		return password == "operator"
	}
	page := bcachehttp.Handler(cache, bcachehttp.Options{
		Actions: true, // keys may be deleted
		Authorize: func(r *http.Request, action bcachehttp.Action) error {
			if action == bcachehttp.Health || isOperator(r) {
				return nil
			}
			return errors.New("not an operator")
		},
	})
	mux := http.NewServeMux()
	mux.Handle("/cache/", http.StripPrefix("/cache", page))
	server := httptest.NewServer(mux)
	defer server.Close()

	for _, path := range []string{"/cache/readyz", "/cache/api/why?key=user:42"} {
		r, err := http.Get(server.URL + path)
		if err != nil {
			log.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			log.Fatal(err)
		}
		r.Body.Close()
		fmt.Printf("%s: %s\n%s", path, r.Status, body)
	}
	// Output:
	// /cache/readyz: 200 OK
	// ready
	// /cache/api/why?key=user:42: 403 Forbidden
	// {
	//   "error": "this isn't allowed"
	// }
}
