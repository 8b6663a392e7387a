package bcachehttp

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"unicode/utf8"

	"github.com/iwanbk/bcache"
)

// params are those of a request: of its address, or of the form that is its body.
type params url.Values

// query reads the parameters of an address.
func query(r *http.Request) (params, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, badRequest("the address isn't well-formed: %v", err)
	}
	return params(values), nil
}

// one is the value of a parameter that there is once at most.
func (p params) one(name string) (value string, ok bool, err error) {
	switch values := p[name]; len(values) {
	case 0:
		return "", false, nil
	case 1:
		return values[0], true, nil
	default:
		return "", false, badRequest("there is more than one %s", name)
	}
}

// bit is the value of a parameter that is "0" or "1"; "" if it isn't there.
func (p params) bit(name string) (string, error) {
	value, ok, err := p.one(name)
	if err == nil && ok && value != "0" && value != "1" {
		err = badRequest("%s must be 0 or 1", name)
	}
	return value, err
}

// is reports whether a bit is "1".
func (p params) is(name string) (bool, error) {
	value, err := p.bit(name)
	return value == "1", err
}

// bytes is the value of a parameter of any bytes: of that name, or in base64 of name_base64.
func (p params) bytes(name string) (value string, ok bool, err error) {
	value, ok, err = p.one(name)
	if err != nil {
		return "", false, err
	}
	coded, isCoded, err := p.one(name + "_base64")
	switch {
	case err != nil:
		return "", false, err
	case ok && isCoded:
		return "", false, badRequest("there are both a %s and a %s_base64", name, name)
	case isCoded:
		bytes, err := base64.StdEncoding.DecodeString(coded)
		if err != nil {
			return "", false, badRequest("%s_base64 must be in base64", name)
		}
		value, ok = string(bytes), true
	}
	return value, ok, nil
}

// key is the one that is asked for. tooLong is the status if it is longer than what can be asked about.
func (p params) key(tooLong int) (key string, ok bool, err error) {
	key, ok, err = p.bytes("key")
	if err == nil && len(key) > bcache.MaxWhyKey {
		text := fmt.Sprintf("the key has %d bytes: at most %d can be handled here", len(key), bcache.MaxWhyKey)
		return "", false, problem{status: tooLong, text: text}
	}
	return key, ok, err
}

func badRequest(format string, v ...any) error {
	return problem{status: http.StatusBadRequest, text: fmt.Sprintf(format, v...)}
}

// bytesJSON is a string of any bytes: as text and, if it isn't UTF-8, exactly.
func bytesJSON(s string) (text, coded string) {
	if utf8.ValidString(s) {
		return s, ""
	}
	return string([]rune(s)), base64.StdEncoding.EncodeToString([]byte(s))
}
