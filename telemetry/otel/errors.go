package bcacheotel

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/iwanbk/bcache"
)

// maxErrorText is how many bytes of an error are recorded.
const maxErrorText = 1024

// errorType is the attribute error.type of a fill that failed: one of few values. The methods of an
// error are the user's, and may panic.
func errorType(err error) (kind string) {
	kind = "_OTHER" // as OpenTelemetry calls what has no name
	defer func() { _ = recover() }()
	switch {
	case errors.Is(err, bcache.ErrFillPanicked):
		return "panic"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "canceled"
	}
	return kind
}

// errorText is what an error says, in UTF-8, cut, and without the keys that a KeyErrors names.
func errorText(err error) (text string) {
	defer func() {
		if recover() != nil {
			text = "the error's own method panicked"
		}
	}()
	var many bcache.KeyErrors
	if !errors.As(err, &many) {
		return clean(err.Error())
	}
	return manyText(many)
}

// manyText is what one of the errors says: the first one's, by key, so that it is always the same.
func manyText(errs bcache.KeyErrors) string {
	var nested bcache.KeyErrors
	if len(errs) == 0 {
		return "no key failed"
	}
	first := errs[slices.Min(slices.Collect(maps.Keys(errs)))]
	if errors.As(first, &nested) {
		return "keys have errors of their own"
	}
	text := clean(first.Error())
	if len(errs) > 1 {
		text = fmt.Sprintf("%s (of %d keys that failed, one)", text, len(errs))
	}
	return text
}

// clean cuts a text, and replaces what isn't UTF-8.
func clean(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), maxErrorText)], "\uFFFD")
}
