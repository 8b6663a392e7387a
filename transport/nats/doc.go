// Package nats is an engine of bcache: nodes find each other and talk through NATS servers. Set a
// [Transport] as Config.Transport of package bcache. It is for services that have NATS anyway, for large
// clusters, and for networks in which nodes can't reach each other, but all reach a server.
//
// # What it needs
//
// Any NATS server does, or a cluster of servers; JetStream isn't used. All nodes need the same
// Config.Subject, and the same ClusterName of bcache, of which the subjects have a hash. Several
// clusters may share servers and a Subject.
//
// The servers must let a node publish and subscribe to everything below the Subject, as in "bcache.>".
// If they don't, the node joins nobody, logs what is denied, and tries again.
//
// Frames of up to 1 MiB go in pieces of 64 KiB, or of the server's max_payload if that is less. What a
// server holds for a node that is slow is bounded by its max_pending, of 64 MiB by default: leave it.
//
// # Who is there
//
// A node says hello when it has connected, and is answered by each of the others. Then it says every two
// seconds that it is alive. A node that closes says goodbye, and is left at once. One that dies is left
// after 6 to 6.5 seconds, as the servers tell nobody of it.
//
// Whenever something may have been lost, a node begins anew: it leaves all others, is left by them, and
// all join again. That is so when the connection to a server is lost, and when the node is too slow for
// what comes in, so that nats.go drops some of it, which DroppedFrames in Stats counts.
//
// If no server is reached the node tries again for as long as it lives: after 250 ms at first, later
// every 2 s. It serves what it holds meanwhile; see Config.Isolation of bcache for another way. Nothing
// is kept for the time after: nodes that are back ask for what they lack.
//
// A node can't know that it is the first one of its cluster. So it takes itself for that, and is ready,
// after Config.SyncTimeout of bcache, 10 seconds by default. Nodes that start at the same time agree on
// one after 3 seconds. With [Config].First on one of them nobody waits.
//
// Of two nodes with the same PeerID the one that came first stays, for as long as it lives. The other
// one is refused, and joins once the first one is gone. A node that is killed and restarted under the
// same PeerID at once joins 2.5 to 3 seconds later than another one would: for so long the one that was
// killed may show that it lives. A PeerID that is drawn, as it is by default, has nobody wait.
//
// # Security
//
// Who may connect, and to which subjects it may publish, is up to the servers: see Config for
// credentials and TLS. There is no Secret: whoever may publish below the Subject can write to the cache,
// and whoever may subscribe there can read what is written. So give it to the nodes alone, in an account
// of their own. Servers see everything.
//
// What isn't a message of bcache is dropped, logged and counted in Stats as HandshakesRefused. A node
// knows 1,024 others at most, and holds MaxPending bytes of frames that have come in part, of all nodes
// together.
package nats
