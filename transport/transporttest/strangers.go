package transporttest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"time"
)

// strangers checks that connections that say nothing, or nonsense, disturb nobody, and are kept within
// bounds.
func strangers(s *scene) {
	a := s.start()
	var conns []net.Conn
	var wg sync.WaitGroup
	gone := sync.OnceFunc(func() {
		for _, c := range conns {
			_ = c.Close()
		}
		wg.Wait()
	})
	s.Cleanup(gone)
	noise, longest := make([]byte, 1<<20), bytes.Repeat([]byte{0xff}, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise)
	sayings := [][]byte{nil, noise, longest, []byte("GET / HTTP/1.1\r\n\r\n")}
	before := heap()
	for i := range 60 {
		c, err := s.net.Dial(a.Transport)
		if err != nil {
			break // there are enough
		}
		conns = append(conns, c)
		say := sayings[i%len(sayings)]
		wg.Go(func() { _, _ = c.Write(say) })
	}
	if len(conns) == 0 {
		s.Fatal("Network.Dial fails")
	}
	b, c := s.start(), s.start()
	s.joined(a, b, c)
	s.talk(a, b, c)
	if grown := heap() - before; grown > s.e.Buffers {
		s.Errorf("with 60 strangers %d bytes more are kept", grown)
	}
	if d := s.e.StrangersWithin; d > 0 {
		silent := conns[0]
		if !s.until(d, func() bool { return hungUp(silent) }) {
			s.Errorf("a stranger that says nothing is still connected after %v", d)
		}
	}
	gone()
	s.talk(a, b, c)
}

// hungUp reads from a connection for a moment, and reports whether it has ended.
func hungUp(c net.Conn) bool {
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	_, err := io.Copy(io.Discard, c)
	return !errors.Is(err, os.ErrDeadlineExceeded)
}
