package bcache

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// How a Typed writes values: whose values it can share with others, and how they are marked.

// A layout is the same for those Typeds that read each other's values.
type layout struct {
	typ     reflect.Type
	codec   any // the Codec, or the Typed itself if that can't be compared
	version string
}

func (t *Typed[V]) layout() layout {
	l := layout{reflect.TypeFor[V](), t.codec, t.version}
	if !reflect.ValueOf(t.codec).Comparable() {
		l.codec = t
	}
	return l
}

// A value of a Version begins with versionMark, which no text does, the length of the Version in a
// byte, and the Version. One without a Version begins with what was encoded; but if that begins with
// versionMark itself, it is marked with the empty Version.
const (
	versionMark = "\xff\x00bcache\xfe"
	maxVersion  = 255
)

var errMark = errors.New("the mark of its Version is broken")

func markVersion(version, s string) string {
	if version == "" && !strings.HasPrefix(s, versionMark) {
		return s
	}
	return versionMark + string([]byte{byte(len(version))}) + version + s
}

// unmarkVersion returns what was encoded, of a value of this Version.
func unmarkVersion(version, held string) (string, error) {
	s, marked := strings.CutPrefix(held, versionMark)
	is := ""
	if marked {
		if s == "" || len(s) < 1+int(s[0]) {
			return "", errMark
		}
		end := 1 + int(s[0])
		is, s = s[1:end], s[end:]
	}
	if is != version {
		return "", &versionError{is, version}
	}
	return s, nil
}

// A versionError is made for each look at a value of another Version, and seldom read.
type versionError struct{ is, want string }

func (e *versionError) Error() string { return fmt.Sprintf("its Version is %q, not %q", e.is, e.want) }

// guard calls a Codec, and makes an error of a panic.
func guard[T any](call func() (T, error)) (v T, err error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		switch p := recover().(type) {
		case nil: // runtime.Goexit
		case error:
			err = fmt.Errorf("the Codec panicked: %w", p)
		default:
			err = fmt.Errorf("the Codec panicked: %v", p)
		}
	}()
	v, err = call()
	returned = true
	return v, err
}
