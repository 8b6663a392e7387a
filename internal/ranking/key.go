package ranking

import "unicode/utf8"

// maxKey is how many bytes of a key are kept at most; then there is cutMark in place of the rest.
const (
	maxKey  = 256
	cutMark = "…"
)

// keep returns a copy of what is kept of a key, in place of another one if its memory has room. No
// character is cut in two.
func keep(key string, old []byte) []byte {
	need := len(key)
	if need > maxKey {
		need = maxKey + len(cutMark)
	}
	if cap(old) < need {
		old = make([]byte, 0, need)
	}
	if len(key) <= maxKey {
		return append(old[:0], key...)
	}
	end := maxKey
	for end > maxKey-utf8.UTFMax && !utf8.RuneStart(key[end]) {
		end--
	}
	return append(append(old[:0], key[:end]...), cutMark...)
}
