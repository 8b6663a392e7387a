package memberlist

import (
	"errors"
	"net"
	"sync"
)

const maxStrangerBytes = 16 << 10

var errTalk = errors.New("it says too much before it says who it is")

// A strangers bounds how many there are who haven't said who they are. The one that came first goes: one
// that belongs here needs milliseconds.
type strangers struct {
	most int

	mu    sync.Mutex
	conns []net.Conn // oldest first
}

func (s *strangers) add(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) >= s.most {
		_ = s.conns[0].Close()
		s.conns = append(s.conns[:0], s.conns[1:]...)
	}
	s.conns = append(s.conns, c)
}

func (s *strangers) remove(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, o := range s.conns {
		if o == c {
			s.conns = append(s.conns[:i], s.conns[i+1:]...)
			return
		}
	}
}

// A measured is a connection of which no more than so many bytes are read. One goroutine reads.
type measured struct {
	net.Conn
	left int // negative: all
}

func (m *measured) Read(b []byte) (int, error) {
	if m.left < 0 {
		return m.Conn.Read(b)
	}
	if m.left == 0 {
		return 0, errTalk
	}
	n, err := m.Conn.Read(b[:min(len(b), m.left)])
	m.left -= n
	return n, err
}
