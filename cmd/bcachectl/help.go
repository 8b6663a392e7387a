package main

// What --help says of the commands beyond a line.

const aboutRoot = `bcachectl asks a running node of bcache what it does, and why it has what it has of
a key. It talks to the page that package bcachehttp serves: --addr says where that
is mounted.

`

const aboutKeys = `

KEY is the whole key as the cache has it, with the prefix of its Loader. If it is -,
the key is read from stdin, without the newline at its end, if there is one. A key
that begins with - comes after --.`

const aboutMembers = `Lists the other nodes that the node knows. Of one that is reached through others
(LINK is relayed) less is known:
  LAG       the age of the newest write of it that is here
  SILENT    since something came from it
  LACKING   whether it has writes that aren't here, and if known for how long
  CLOCK     by how much its clock is ahead
  RTT       the round trip of a ping
  P50, P99  how long its writes took to here in the last minute`

const aboutStats = `Shows the figures of the node since it began, but those that are zero. The fields of
Stats say what each is (go doc github.com/iwanbk/bcache.Stats), and
docs/operations.md which ones to watch.`

const aboutLoaders = `Shows what the Loaders of the node have done since it began, by prefix, and the
Fillers of GetWithFiller. FILLS, and how they ended, are counted by key: NONE is
that there is no value, REFUSED that it wasn't cached, as something newer might be
known, and LOCAL that the node keeps the value for itself (LocalValues). STALE are
values that were served after their deadline. P50 and P99 are of calls of Fill and
FillMany.`

const aboutWarnings = `Says what is wrong with the node, and what to do about it. The exit code is 4 if
somebody must act: if a line begins with an exclamation mark.`

const aboutHot = `Lists the keys that are found most often by Gets on the node. It samples hits for a
minute after it was asked: so the first answer is empty.`

const aboutRefused = `Lists the keys of which what a fill of the node brought wasn't cached most often,
as something newer might be known: docs/fills.md says when.`

const aboutWhy = `Says what all nodes have of a key, and why:
  newest   the newest version that any node has
  older    something older
  own      what a fill brought to it right after a Delete, or with LocalValues, or
           while it is isolated. It has no version, so it isn't compared
  none     nothing
  unknown  the node didn't answer
The exit code is 0 if all of them answer, and have the same as far as it has a
version, and 6 if not.`

const aboutWatch = `Shows what the node does, again and again, until Ctrl-C, which ends it with exit
code 0. Rates are those since the block before. On a terminal it is shown in one
place; otherwise one block comes after another, with -o json a line each. A node
that doesn't answer any more is asked on, but for the first time.`

const aboutDelete = `Deletes a key on all nodes, if the service allows it (bcachehttp.Options.Actions).`

const aboutClear = `Deletes all keys on all nodes, if the service allows it
(bcachehttp.Options.Actions). It asks before it does that: where nobody can be
asked, --yes is needed. The databases behind the cache get all reads until it is
filled again.

With --prefix only the keys that begin with it are deleted, and with --tag what was
written with it: docs/groups.md says more.`
