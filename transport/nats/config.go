package nats

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// ErrConfig is wrapped by every error about a [Config] that can't work. Such an error names everything
// that is wrong, a line each.
var ErrConfig = errors.New("bcache: invalid config of the NATS transport")

// Config says which NATS servers a node uses, and as whom. The zero value is a server on this machine
// without authentication. [New] copies it.
type Config struct {
	// Servers are the URLs of the NATS servers, such as nats://10.0.0.1:4222. tls://, ws:// and wss:// are
	// others; without a scheme it is nats://, without a port 4222. One is enough of a cluster of servers,
	// the others are found through it; name several, so that a node can start while one is down. None
	// means nats://127.0.0.1:4222.
	Servers []string

	// Subject is the prefix of the subjects that are used: all nodes of a cluster need the same. It is one
	// or more tokens with dots between them, of 128 bytes at most. "" means "bcache". The servers must let
	// the node publish and subscribe to everything below it, as in "bcache.>". Nodes of other clusters may
	// use the same.
	Subject string

	// Name is what others show as the address of this node, in 255 bytes at most that can be printed. ""
	// means the name of the host.
	Name string

	// First says that this node is the first one of its cluster: it waits for no other one, and is ready at
	// once, as a node of another engine that is told of nobody. Set it on one node at most; others that
	// start meanwhile get what it has, and needn't elect one. If the cluster is there already that does no
	// harm, but the node is ready before it has what the others have, and misses more.
	First bool

	// User and Password, or Token, or a file: what the node shows to the servers. Set one of these at
	// most, or none. CredsFile is a file with a JWT and the seed of an nkey, as nsc makes them; it is read
	// at each connect. NkeyFile is a file with the seed of an nkey, which is read at each connect too.
	User, Password string
	Token          string
	CredsFile      string
	NkeyFile       string

	// TLS encrypts the connection to the servers, with these certificates. nil means TLS only if a URL or
	// a server asks for it, and then with what the system trusts. It is read at each connect: so
	// GetClientCertificate can return a certificate that was renewed meanwhile.
	TLS *tls.Config

	// Options are other options of nats.go, such as nats.RootCAs or nats.CustomDialer. They come after
	// those that follow from the fields above. Handlers that are set are called too, after those of the
	// transport. What the transport relies on can't be changed: it connects again for as long as it lives,
	// gets nothing of its own, and keeps nothing for a server that is away.
	Options []nats.Option
}

// What nats.go does unless Options say otherwise.
const (
	dialTimeout  = 2 * time.Second // to connect, with the handshake
	writeTimeout = 5 * time.Second // a server that takes nothing for so long is left
	pingEvery    = 5 * time.Second // and one that doesn't answer two of these
)

// reconnectAfter is how long nats.go waits once it has tried all servers for so many times: 250 ms at
// first, 2 s at last, or half of that by chance, so that not all nodes come at once.
func reconnectAfter(times int) time.Duration {
	most := 250 * time.Millisecond << min(max(times-1, 0), 3)
	return most/2 + rand.N(most/2)
}

// checked returns c with its defaults, or everything that is wrong with it.
func (c Config) checked() (Config, error) {
	var errs []error
	wrong := func(format string, v ...any) {
		errs = append(errs, fmt.Errorf("%w: %s", ErrConfig, fmt.Sprintf(format, v...)))
	}
	c.Servers, c.Options = slices.Clone(c.Servers), slices.Clone(c.Options)
	for i, s := range c.Servers {
		if why := badURL(s); why != "" {
			wrong("Servers[%d]: %s", i, why)
		}
	}
	if len(c.Servers) == 0 {
		c.Servers = []string{nats.DefaultURL}
	}
	if c.Subject == "" {
		c.Subject = defaultSubject
	}
	if err := checkSubject(c.Subject); err != nil {
		wrong("Subject %q %v", c.Subject, err)
	}
	if c.Name == "" {
		c.Name, _ = os.Hostname()
		c.Name = c.Name[:min(len(c.Name), maxName)]
		if !printable(c.Name) {
			c.Name = ""
		}
	}
	if len(c.Name) > maxName || !printable(c.Name) {
		wrong("Name %q: must have %d bytes at most that can be printed", c.Name, maxName)
	}
	var ways []string
	for _, way := range []struct{ name, value string }{
		{"User", c.User}, {"Token", c.Token}, {"CredsFile", c.CredsFile}, {"NkeyFile", c.NkeyFile},
	} {
		if way.value != "" {
			ways = append(ways, way.name)
		}
	}
	if len(ways) > 1 {
		wrong("%s are set: the node can show one of them", strings.Join(ways, " and "))
	}
	if c.Password != "" && c.User == "" {
		wrong("Password is set without a User")
	}
	for _, file := range []struct{ field, name string }{
		{"CredsFile", c.CredsFile}, {"NkeyFile", c.NkeyFile},
	} {
		if file.name == "" {
			continue
		}
		if _, err := os.Stat(file.name); err != nil {
			wrong("%s: %v", file.field, err)
		}
	}
	if c.TLS != nil {
		c.TLS = c.TLS.Clone()
	}
	return c, errors.Join(errs...)
}

// badURL says what is wrong with the URL of a server; "" if nothing is. It doesn't show the URL, which
// may have a password.
func badURL(s string) string {
	if !strings.Contains(s, "://") {
		s = "nats://" + s
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return "isn't a URL"
	case !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme):
		return fmt.Sprintf("the scheme is %q: must be nats, tls, ws or wss", u.Scheme)
	case u.Hostname() == "":
		return "has no host"
	}
	return ""
}

// hostOf is the host and port of the URL of a server.
func hostOf(s string) string {
	if !strings.Contains(s, "://") {
		s = "nats://" + s
	}
	u, err := url.Parse(s)
	if err != nil {
		return ""
	}
	return u.Host
}

// options are what nats.go is to do.
func (c *Config) options() (nats.Options, error) {
	o := nats.GetDefaultOptions()
	o.Servers = c.Servers
	o.Name = "bcache " + c.Name
	o.Timeout, o.FlusherTimeout, o.PingInterval = dialTimeout, writeTimeout, pingEvery
	o.CustomReconnectDelayCB, o.ReconnectOnFlusherError = reconnectAfter, true
	o.User, o.Password, o.Token = c.User, c.Password, c.Token
	var options []nats.Option
	if c.CredsFile != "" {
		options = append(options, nats.UserCredentials(c.CredsFile))
	}
	if c.NkeyFile != "" {
		nkey, err := nats.NkeyOptionFromSeed(c.NkeyFile)
		if err != nil {
			return o, fmt.Errorf("%w: NkeyFile: %w", ErrConfig, err)
		}
		options = append(options, nkey)
	}
	if c.TLS != nil {
		options = append(options, nats.Secure(c.TLS))
	}
	for _, option := range append(options, c.Options...) {
		if option == nil {
			continue
		}
		if err := option(&o); err != nil {
			return o, fmt.Errorf("%w: Options: %w", ErrConfig, err)
		}
	}
	// What the transport relies on.
	o.AllowReconnect, o.MaxReconnect, o.ReconnectBufSize, o.NoEcho = true, -1, -1, true
	o.IgnoreAuthErrorAbort, o.NoCallbacksAfterClientClose = true, false
	return o, nil
}
