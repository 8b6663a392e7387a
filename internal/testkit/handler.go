package testkit

import (
	"fmt"
	"strings"
	"sync"
)

// Handler notes what a transport tells.
type Handler struct {
	Mu     sync.Mutex
	Frames map[string]int // "from:frame", or its length if it is long
	Events []string       // "+peer/origin" and "-peer"
	On     func(from uint64, frame []byte)
}

func frameKey(from uint64, frame []byte) string {
	if len(frame) > 64 {
		return fmt.Sprintf("%x:%s:%d", from, frame[:16], len(frame))
	}
	return fmt.Sprintf("%x:%s", from, frame)
}

func (h *Handler) Moved(uint64, bool) {}

func (h *Handler) Arriving(uint64, []byte) {}

func (h *Handler) Receive(from uint64, frame []byte) {
	h.Mu.Lock()
	if h.Frames == nil {
		h.Frames = make(map[string]int)
	}
	h.Frames[frameKey(from, frame)]++
	on := h.On
	h.Mu.Unlock()
	if on != nil {
		on(from, frame)
	}
}

func (h *Handler) Joined(peer, origin uint64) { h.event(fmt.Sprintf("+%x/%x", peer, origin)) }

func (h *Handler) Left(peer uint64) { h.event(fmt.Sprintf("-%x", peer)) }

func (h *Handler) event(e string) {
	h.Mu.Lock()
	defer h.Mu.Unlock()
	h.Events = append(h.Events, e)
}

func (h *Handler) Got(from uint64, frame []byte) bool {
	h.Mu.Lock()
	defer h.Mu.Unlock()
	return h.Frames[frameKey(from, frame)] > 0
}

func (h *Handler) NumFrames() int {
	h.Mu.Lock()
	defer h.Mu.Unlock()
	return len(h.Frames)
}

// Count counts the events with a prefix.
func (h *Handler) Count(prefix string) int {
	h.Mu.Lock()
	defer h.Mu.Unlock()
	n := 0
	for _, e := range h.Events {
		if strings.HasPrefix(e, prefix) {
			n++
		}
	}
	return n
}

// Times returns how often a frame has come.
func (h *Handler) Times(from uint64, frame []byte) int {
	h.Mu.Lock()
	defer h.Mu.Unlock()
	return h.Frames[frameKey(from, frame)]
}
