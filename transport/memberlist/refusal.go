package memberlist

import "fmt"

// A refusal is why a connection doesn't come about, as one side tells the other.
type refusal byte

const (
	refusedCluster refusal = iota + 1
	refusedKeys
	refusedClock
	refusedHave
	refusedInUse
	refusedFull
	refusedSelf
	refusedClear
	refusedCrypt
	refusedName
)

// reasons are what the side that refuses logs, and what the other one does.
var reasons = map[refusal][2]string{
	refusedCluster: {"it has another ClusterName", "this node has another ClusterName"},
	refusedKeys:    {"its Keys have none in common with this node's", "this node's Keys aren't the cluster's"},
	refusedClock: {
		"its clock differs by more than MaxClockSkew", "this node's clock differs by more than MaxClockSkew",
	},
	refusedHave:  {"there is a connection already", "it has a connection already"},
	refusedInUse: {"another node uses its PeerID", "another node uses this node's PeerID"},
	refusedFull:  {"MaxConns is reached", "its MaxConns is reached"},
	refusedSelf:  {"it is this node", "it is this node"},
	refusedClear: {"it doesn't encrypt, this node does", "it encrypts, this node doesn't"},
	refusedCrypt: {"it encrypts, this node doesn't", "it doesn't encrypt, this node does"},
	refusedName: {
		"its certificate has no name that PeerName wants",
		"this node's certificate has no name that its PeerName wants",
	},
}

// Error says it as the side that refuses.
func (r refusal) Error() string { return r.text(0) }

func (r refusal) text(side int) string {
	if text, ok := reasons[r]; ok {
		return text[side]
	}
	return fmt.Sprintf("it refuses, for reason %d", byte(r))
}

// A refused is a refusal by the other side.
type refused struct{ refusal }

func (r refused) Error() string { return r.text(1) }

// quiet reports whether a refusal is in the nature of things: no operator has to know.
func (r refusal) quiet() bool { return r == refusedHave || r == refusedSelf }
