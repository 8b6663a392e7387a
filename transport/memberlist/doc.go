// Package memberlist is an engine of bcache: a network between its nodes, which
// [github.com/hashicorp/memberlist] says the members of. Set a [Transport] as Config.Transport of package
// bcache.
//
// Each node has one TCP port, and a connection with each other node, on which frames go. memberlist's
// packets go on it too. So there is no UDP, and a node that dies is noticed as soon as its connections
// break. memberlist tells which nodes there are, and when one is given up; what it does by timers is slow,
// and quiet.
//
// # Who belongs there
//
// Without [Config].Keys and [Config].TLS whoever reaches the port can join, and read and write everything.
//
// With Keys all connections are encrypted by TLS 1.3, and both sides prove that they have a key of the
// cluster: by an HMAC-SHA256 of what they say and of the connection's exported keying material (RFC 5705).
// So a proof is of no use on another connection, and nobody can be between the two. Whoever has a key can
// pass for any node.
//
// With TLS both sides show certificates that an authority has signed, which [TLS].PeerName can bind to a
// node. With both, both are wanted. memberlist's own encryption isn't used: everything that it sends is
// encrypted already.
//
// # Sizes
//
// All nodes are connected with all others. Up to a hundred that costs little; see docs/engines.md.
package memberlist
