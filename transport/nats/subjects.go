package nats

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"unicode"
)

const (
	defaultSubject = "bcache"
	maxSubject     = 128 // bytes of the prefix
)

// subjects are what the nodes of one cluster publish to, below the prefix and a hash of the cluster's
// name, which may have any bytes:
//
//	bcache.<hash>.all                    frames for all nodes
//	bcache.<hash>.who                    who is there: hello, alive and bye
//	bcache.<hash>.node.<PeerID>.<Origin> what is for one life of one node; what is for an earlier life of
//	                                     it goes nowhere
type subjects struct{ all, who, node string }

func subjectsOf(prefix, cluster string) subjects {
	sum := sha256.Sum256([]byte(cluster))
	root := fmt.Sprintf("%s.%x.", prefix, sum[:16])
	return subjects{all: root + "all", who: root + "who", node: root + "node."}
}

// of is the subject of one life of a node.
func (s subjects) of(l life) string { return fmt.Sprintf("%s%012x.%016x", s.node, l.id, l.origin) }

// checkSubject says what is wrong with a prefix.
func checkSubject(prefix string) error {
	if len(prefix) > maxSubject {
		return fmt.Errorf("has %d bytes: must be at most %d", len(prefix), maxSubject)
	}
	for token := range strings.SplitSeq(prefix, ".") {
		if token == "" {
			return errors.New("has an empty token")
		}
		bad := func(r rune) bool { return r == '*' || r == '>' || !unicode.IsPrint(r) || unicode.IsSpace(r) }
		if strings.ContainsFunc(token, bad) {
			return errors.New("must have neither wildcards nor spaces nor control characters")
		}
	}
	return nil
}
