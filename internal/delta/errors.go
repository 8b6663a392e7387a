package delta

import (
	"errors"
)

// ErrClosed is returned after Close by every method that would change something.
var ErrClosed = errors.New("bcache: closed")
