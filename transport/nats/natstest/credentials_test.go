package natstest

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/transport/nats"
)

// refused checks that a node can't start, as a server refuses it, and says so.
func refused(t *testing.T, cfg nats.Config, why error) {
	t.Helper()
	n := newNode(t, 9, cfg)
	err := n.starts("c")
	if !errors.Is(err, why) {
		t.Errorf("Start: %v, want %v", err, why)
	}
}

// key makes an nkey, and a file with its seed.
func key(t *testing.T, make func() (nkeys.KeyPair, error)) (pair nkeys.KeyPair, public, file string) {
	t.Helper()
	pair, err := make()
	testkit.Ok(t, err)
	public, err = pair.PublicKey()
	testkit.Ok(t, err)
	seed, err := pair.Seed()
	testkit.Ok(t, err)
	file = filepath.Join(t.TempDir(), "seed")
	testkit.Ok(t, os.WriteFile(file, seed, 0o600))
	return pair, public, file
}

func TestPassword(t *testing.T) {
	s := newServer(t, func(o *server.Options) { o.Username, o.Password = "cache", "right" })
	cfg := nats.Config{Servers: []string{s.addr()}, User: "cache", Password: "right"}
	startNodes(t, cfg, 1, 2)
	cfg.Password = "wrong"
	refused(t, cfg, natsgo.ErrAuthorization)
}

func TestToken(t *testing.T) {
	s := newServer(t, func(o *server.Options) { o.Authorization = "right" })
	cfg := nats.Config{Servers: []string{s.addr()}, Token: "right"}
	startNodes(t, cfg, 1, 2)
	cfg.Token = "wrong"
	refused(t, cfg, natsgo.ErrAuthorization)
}

func TestNkey(t *testing.T) {
	_, public, file := key(t, nkeys.CreateUser)
	s := newServer(t, func(o *server.Options) { o.Nkeys = []*server.NkeyUser{{Nkey: public}} })
	cfg := nats.Config{Servers: []string{s.addr()}, NkeyFile: file}
	startNodes(t, cfg, 1, 2)
	_, _, cfg.NkeyFile = key(t, nkeys.CreateUser)
	refused(t, cfg, natsgo.ErrAuthorization)
}

func TestCreds(t *testing.T) {
	operator, operatorID, _ := key(t, nkeys.CreateOperator)
	account, accountID, _ := key(t, nkeys.CreateAccount)
	claims := jwt.NewAccountClaims(accountID)
	accountJWT, err := claims.Encode(operator)
	testkit.Ok(t, err)
	resolver := &server.MemAccResolver{}
	testkit.Ok(t, resolver.Store(accountID, accountJWT))
	s := newServer(t, func(o *server.Options) {
		o.TrustedKeys, o.AccountResolver = []string{operatorID}, resolver
	})
	creds := func(signer nkeys.KeyPair) string {
		user, userID, _ := key(t, nkeys.CreateUser)
		token, err := jwt.NewUserClaims(userID).Encode(signer)
		testkit.Ok(t, err)
		seed, err := user.Seed()
		testkit.Ok(t, err)
		text, err := jwt.FormatUserConfig(token, seed)
		testkit.Ok(t, err)
		file := filepath.Join(t.TempDir(), "user.creds")
		testkit.Ok(t, os.WriteFile(file, text, 0o600))
		return file
	}
	cfg := nats.Config{Servers: []string{s.addr()}, CredsFile: creds(account)}
	startNodes(t, cfg, 1, 2)
	other, _, _ := key(t, nkeys.CreateAccount)
	cfg.CredsFile = creds(other)
	refused(t, cfg, natsgo.ErrAuthorization)
}

// Credentials that are refused later are tried again and again.
func TestPasswordChanges(t *testing.T) {
	s := newServer(t, func(o *server.Options) { o.Username, o.Password = "cache", "old" })
	nodes := startNodes(t, nats.Config{Servers: []string{s.addr()}, User: "cache", Password: "old"}, 1, 2)
	s.stop()
	s.opts.Password = "new"
	s.start()
	for _, n := range nodes {
		n.log.says(t, "E can't connect to NATS: nats: authorization violation")
		if failed := n.Unreached(); len(failed) != 1 || !errors.Is(failed[0].Err, natsgo.ErrAuthorization) {
			t.Errorf("unreached: %v", failed)
		}
	}
	s.stop()
	s.opts.Password = "old"
	s.start()
	together(t, nodes...)
}

// A node that may not subscribe to what it needs joins nobody, and says why. Once it may, it joins.
func TestPermissions(t *testing.T) {
	may := &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: []string{"caches.>"}},
		Subscribe: &server.SubjectPermission{Allow: []string{"caches.>"}},
	}
	mayNot := &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: []string{"caches.>"}},
		Subscribe: &server.SubjectPermission{Allow: []string{"caches.*.who"}},
	}
	s := newServer(t, func(o *server.Options) {
		o.Users = []*server.User{
			{Username: "may", Password: "x", Permissions: may},
			{Username: "maynot", Password: "x", Permissions: mayNot},
		}
	})
	cfg := nats.Config{Servers: []string{s.addr()}, Subject: "caches", User: "may", Password: "x"}
	a, b := newNode(t, 1, cfg), newNode(t, 2, cfg)
	cfg.User = "maynot"
	c := newNode(t, 3, cfg)
	c.start(t, "c")
	c.log.says(t, "Permissions Violation for Subscription to \"caches.") // and it hears who else comes
	a.start(t, "c")
	b.start(t, "c")
	together(t, a, b)
	if got := a.h.Count("+3"); got != 0 {
		t.Errorf("node 1 has joined node 3, which doesn't listen, %d times", got)
	}
	s.stop()
	*mayNot = *may
	s.start()
	together(t, a, b, c)
}
