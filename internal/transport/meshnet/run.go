package meshnet

import (
	"context"
	"net"
	"net/netip"
	"strconv"

	"github.com/weaveworks/mesh"
)

// A meshRun is mesh's router while it runs, and what is asked of it.
type meshRun struct {
	router   *mesh.Router
	guts     *guts     // nil if mesh isn't as expected
	topology *topology // nil then too
}

// routed reports whether mesh knows a way to a node.
func (r *meshRun) routed(peer uint64) bool {
	_, ok := r.router.Routes.UnicastAll(mesh.PeerName(peer))
	return ok
}

// relayed returns the nodes that others lead to, and which one does.
func (r *meshRun) relayed() map[uint64]uint64 {
	relayed := make(map[uint64]uint64)
	for name := range r.router.Routes.PeerNames() {
		if hop, ok := r.router.Routes.UnicastAll(name); ok && hop != name && name != r.router.Ourself.Name {
			relayed[uint64(name)] = uint64(hop)
		}
	}
	return relayed
}

// heardOf tells whether what mesh has heard of a node by others is about the life of it
// that is connecting. mesh has its own name for a life.
func (r *meshRun) heardOf(p mesh.OverlayConnectionParams) bool {
	r.router.Peers.RLock()
	defer r.router.Peers.RUnlock()
	return p.Features["UID"] == strconv.FormatUint(uint64(p.RemotePeer.UID), 10)
}

// connections returns mesh's connections to some nodes.
func (r *meshRun) connections(peers []uint64) []mesh.Connection {
	names := make([]mesh.PeerName, len(peers))
	for i, id := range peers {
		names[i] = mesh.PeerName(id)
	}
	return r.router.Ourself.ConnectionsTo(names)
}

// connection returns mesh's side of a connection, or nil if it has none, or another one with
// the node by now.
func (r *meshRun) connection(c *meshConn) *mesh.LocalConnection {
	conn, _ := r.router.Ourself.ConnectionTo(mesh.PeerName(c.peer))
	if lc, ok := conn.(*mesh.LocalConnection); ok && lc.OverlayConn == c {
		return lc
	}
	return nil
}

// has reports whether mesh has added a connection.
func (r *meshRun) has(c *meshConn) bool { return r.connection(c) != nil }

// hangUp cuts a connection.
func (r *meshRun) hangUp(c *meshConn) {
	if r.guts == nil {
		return
	}
	if lc := r.connection(c); lc != nil {
		r.guts.hangUp(lc)
	}
}

// dial has mesh dial an address, once if forget follows.
func (r *meshRun) dial(ctx context.Context, addr netip.AddrPort) error {
	key := addr.String()
	if addr.Addr().Is4() {
		if errs := r.router.ConnectionMaker.InitiateConnections([]string{key}, false); len(errs) > 0 {
			return errs[0]
		}
		return nil
	}
	if r.guts == nil {
		return errMeshLayout
	}
	return r.guts.dial(ctx, key, net.TCPAddrFromAddrPort(addr))
}

// forget keeps mesh from dialling an address again.
func (r *meshRun) forget(addr netip.AddrPort) {
	r.router.ConnectionMaker.ForgetConnections([]string{addr.String()})
}
