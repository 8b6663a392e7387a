// Command readyourwrites runs two nodes of a service in one process, and a user who writes on the first
// and reads on the second: first without cookies, then with the cookie that has what the user wrote.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/iwanbk/bcache"
)

const rounds = 3000

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	db := &database{}
	first, err := startNode(db)
	if err != nil {
		return err
	}
	defer first.close()
	second, err := startNode(db, first.cache.Addr())
	if err != nil {
		return err
	}
	defer second.close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := second.cache.WaitSynced(ctx); err != nil {
		return err
	}

	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	for _, user := range []struct {
		name string
		http.Client
	}{
		{"without cookies", http.Client{}},
		{"with the cookie", http.Client{Jar: jar}}, // hosts have cookies, whatever the port
	} {
		older, err := follow(&user.Client, first.url, second.url)
		if err != nil {
			return err
		}
		fmt.Printf("%s: %d of %d reads on the other node didn't show what was just written\n",
			user.name, older, rounds)
		if user.Jar != nil && older > 0 {
			return fmt.Errorf("reads that were older: %d", older)
		}
	}
	return nil
}

// follow writes at one URL and reads at the other, and counts the reads that are older.
func follow(user *http.Client, write, read string) (older int, err error) {
	for i := range rounds {
		text := fmt.Sprint("note ", i)
		if _, err := send(user, http.MethodPut, write, text); err != nil {
			return 0, err
		}
		got, err := send(user, http.MethodGet, read, "")
		if err != nil {
			return 0, err
		}
		if got != text {
			older++
		}
	}
	return older, nil
}

func send(user *http.Client, method, url, body string) (string, error) {
	r, err := http.NewRequest(method, url+"/notes/1", strings.NewReader(body))
	if err != nil {
		return "", err
	}
	answer, err := user.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s", method, url, answer.Status)
	}
	return string(text), err
}

// A node is one of the two.
type node struct {
	cache  *bcache.Bcache
	server *httptest.Server
	url    string
}

func startNode(db *database, peers ...string) (*node, error) {
	cache, err := bcache.New(bcache.Config{ListenAddr: "127.0.0.1:0", Peers: peers, MaxKeys: 1000})
	if err != nil {
		return nil, err
	}
	service, err := newService(cache, db)
	if err != nil {
		return nil, errors.Join(err, cache.Close())
	}
	server := httptest.NewServer(service)
	return &node{cache, server, server.URL}, nil
}

// close stops serving, and then ends the cache.
func (n *node) close() {
	n.server.Close()
	if err := n.cache.Close(); err != nil {
		log.Print(err)
	}
}
