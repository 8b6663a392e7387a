package memberlist

import (
	"bytes"
	"errors"

	"github.com/iwanbk/bcache/internal/transport/engine"
	"github.com/iwanbk/bcache/transport"
)

// A hub is what links need of the rest.
type hub struct {
	node   *transport.Node
	life   *life
	keys   *keyring
	count  *engine.Counters
	up     *engine.Upcalls
	roster *roster
	gossip *gossip
	over   func(*link) // it has ended: maybe there has to be another one
}

// settle makes a link of a session, unless there is one that lives. Of the two nodes the one with the
// smaller ID decides, and tells the other one: so both keep the same when both have dialled at once. It
// decides once the other side has nothing against the connection either.
func (h *hub) settle(s *session) error {
	l := newLink(s, h)
	if h.node.PeerID > s.peer.id {
		if s.outbound {
			if err := h.welcome(s); err != nil {
				return err
			}
		}
		if err := h.await(s); err != nil {
			return err
		}
		if err := h.follow(l); err != nil {
			return err
		}
	} else {
		if !s.outbound {
			if err := h.await(s); err != nil {
				return err
			}
		}
		if err := h.decide(l); err != nil {
			var r refusal
			if errors.As(err, &r) {
				_, _ = s.conn.Write(message(msgRefusal, []byte{byte(r)}))
			}
			return err
		}
		if err := h.welcome(s); err != nil {
			l.end(err) // it is in the roster: Left will follow
		}
	}
	l.start()
	return nil
}

// decide registers a link if there is none that lives.
func (h *hub) decide(l *link) error {
	old := h.roster.link(l.peer.id)
	if old != nil && old.ask() {
		if old.peer.origin != l.peer.origin {
			return refusedInUse
		}
		return refusedHave
	}
	return h.add(l, old)
}

// add registers a link in the place of old. The keys may have changed since the handshake: what changes them
// looks at the links that are registered, so whatever came before that is made good here.
func (h *hub) add(l, old *link) error {
	if err := h.roster.add(l, old); err != nil {
		return err
	}
	if !h.keys.some() {
		return nil
	}
	if !bytes.Equal(l.shown, h.keys.first()) {
		l.prove()
	}
	if !h.keys.has(l.key) { // its reader hasn't started
		l.end(errKeyGone) // it is in the roster: Left will follow
	}
	return nil
}

// follow registers a link that the other side has decided for.
func (h *hub) follow(l *link) error {
	for {
		err := h.add(l, h.roster.link(l.peer.id))
		if !errors.Is(err, refusedHave) { // otherwise there was another one in between
			return err
		}
	}
}

func (h *hub) welcome(s *session) error {
	_, err := s.conn.Write(message(msgWelcome, nil))
	return err
}

// await waits for the other side's word.
func (h *hub) await(s *session) error {
	switch typ, body, err := readMessage(s.conn); {
	case err != nil:
		return err
	case typ == msgRefusal && len(body) == 1:
		return refused{refusal(body[0])}
	case typ != msgWelcome:
		return errMessage
	}
	return nil
}
