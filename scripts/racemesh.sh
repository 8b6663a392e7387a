#!/bin/sh
# Makes in the directory $1 a copy of github.com/weaveworks/mesh without its own data races,
# and race.mod with race.sum, which put it in mesh's place:
#
#	scripts/racemesh.sh DIR
#	GOWORK=off go test -race -modfile=DIR/race.mod -run Mesh .
#
# mesh reads and writes the name, the version and the UID of a peer, and the state of
# a connection, on several goroutines without a lock. That can't be avoided from
# outside, it harms nobody, and it would hide the races that do. Run it from the root
# of the module; it prints nothing unless it fails.
set -eu
[ $# -eq 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
mkdir -p "$1"
dir=$(cd "$1" && pwd)
module=github.com/weaveworks/mesh
export GOWORK=off
go mod download $module
source=$(go list -m -f '{{.Dir}}' $module)
rm -rf "$dir/mesh"
cp -R "$source" "$dir/mesh"
chmod -R u+w "$dir/mesh"
cp go.mod "$dir/race.mod"
cp go.sum "$dir/race.sum"
go mod edit -replace "$module=$dir/mesh" "$dir/race.mod"

# wrap FILE 'LINE': puts raceMu around every occurrence of a line; at least one.
wrap() {
	awk -v want="$2" '
		{ line = $0; sub(/^[\t ]+/, "", line) }
		line == want { print "raceMu.Lock()"; print; print "raceMu.Unlock()"; n++; next }
		{ print }
		END { exit n == 0 }' "$dir/mesh/$1" >"$dir/wrapped" ||
		{ echo "$0: mesh's $1 has no line: $2" >&2; exit 1; }
	mv "$dir/wrapped" "$dir/mesh/$1"
}

# guard FILE 'FUNC LINE': has a function hold raceMu.
guard() {
	awk -v want="$2" '
		{ print }
		$0 == want { print "raceMu.Lock()"; print "defer raceMu.Unlock()"; n++ }
		END { exit n != 1 }' "$dir/mesh/$1" >"$dir/wrapped" ||
		{ echo "$0: mesh's $1 has no line: $2" >&2; exit 1; }
	mv "$dir/wrapped" "$dir/mesh/$1"
}

wrap connection.go 'conn.established = true'
wrap connection.go 'isRestartedPeer := conn.Remote().UID != remote.UID'
guard connection.go 'func (conn *LocalConnection) isEstablished() bool {'
wrap peers.go 'peer.Version = newPeer.Version'
wrap peers.go 'peer.UID = newPeer.UID'
wrap peers.go 'peer.NickName = newPeer.NickName'
guard peer.go 'func (peer *Peer) String() string {'
cat >"$dir/mesh/race.go" <<'GO'
package mesh

import "sync"

var raceMu sync.Mutex // added by racemesh.sh
GO
