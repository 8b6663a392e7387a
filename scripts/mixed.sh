#!/bin/sh
# Builds the node that TestMixed drives in the directory $1, twice: as "now" of this source, and as
# "before" of the release before, which the first version of CHANGELOG.md names in a line of its own:
#
#	Release before: <the 40 digits of its commit>
#
# The source of that is taken from this repository's history. Of a shallow clone it fetches what is
# missing.
set -eu
[ $# -eq 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
mkdir -p "$1"
dir=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
export GOWORK=off

commit=$(awk '/^## / && ++n > 1 { exit } /^Release before: [0-9a-f]+$/ { print $3 }' CHANGELOG.md)
[ "${#commit}" = 40 ] ||
	{ echo "$0: the first version of CHANGELOG.md doesn't name the release before" >&2; exit 1; }

# Who runs the checkout's code may read its history too, whoever owns it.
git() { command git -c safe.directory="$PWD" "$@"; }

has() { git cat-file -e "$commit^{commit}" 2>/dev/null; }
if ! has; then
	echo "$0: fetching $commit, the release before"
	if [ "$(git rev-parse --is-shallow-repository)" = true ]; then
		git fetch --quiet --depth 1 origin "$commit" || git fetch --quiet --unshallow origin || true
	else
		git fetch --quiet origin "$commit" || true
	fi
	has || { echo "$0: $commit, the release before, is neither here nor to be had from origin" >&2; exit 1; }
fi

rm -rf "$dir/source"
mkdir "$dir/source"
git archive -o "$dir/source.tar" "$commit"
tar -x -f "$dir/source.tar" -C "$dir/source"
mkdir -p "$dir/source/internal/e2e/node"
cp internal/e2e/node/*.go "$dir/source/internal/e2e/node"

go build -buildvcs=false -o "$dir/now" ./internal/e2e/node
cd "$dir/source"
go build -buildvcs=false -tags before -o "$dir/before" ./internal/e2e/node
