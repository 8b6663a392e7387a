package main

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// maxStdin is what a key from stdin may have: the page takes less.
const maxStdin = 64 << 10

// oneKey makes a command take a key.
func oneKey(cmd *cobra.Command, do func(cmd *cobra.Command, key url.Values) error) *cobra.Command {
	var coded bool
	cmd.Flags().BoolVar(&coded, "key-base64", false, "the key is given in base64, as it isn't text")
	cmd.Args = cobra.ExactArgs(1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		key, err := keyOf(cmd.Context(), args[0], coded, cmd.InOrStdin())
		if err != nil {
			return err
		}
		return do(cmd, keyParams(key))
	}
	cmd.Long += aboutKeys
	return cmd
}

// keyOf reads a key.
func keyOf(ctx context.Context, arg string, coded bool, stdin io.Reader) (string, error) {
	if arg == "-" {
		limited := io.LimitReader(stdin, maxStdin+1)
		b, err := interruptible(ctx, func() ([]byte, error) { return io.ReadAll(limited) })
		if err != nil {
			return "", failed(exitFailure, "can't read the key from stdin: %v", err)
		}
		if len(b) > maxStdin {
			return "", usage("the key from stdin has more than %d bytes", maxStdin)
		}
		arg = strings.TrimSuffix(string(b), "\n")
	}
	if !coded {
		return arg, nil
	}
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(arg))
	if err != nil {
		var at base64.CorruptInputError
		if errors.As(err, &at) {
			return "", usage("the key isn't in base64, with padding: byte %d is wrong", int64(at))
		}
		return "", usage("the key isn't in base64: %v", err)
	}
	return string(b), nil
}

// interruptible reads, and waits for that until Ctrl-C comes: whoever types may never be ready.
func interruptible(ctx context.Context, read func() ([]byte, error)) ([]byte, error) {
	type result struct {
		b   []byte
		err error
	}
	done := make(chan result, 1)
	go func() {
		b, err := read()
		done <- result{b, err}
	}()
	select {
	case r := <-done:
		return r.b, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// keyParams is a key as the page takes it.
func keyParams(key string) url.Values { return bytesParams("key", key) }

// bytesParams are any bytes as the page takes them.
func bytesParams(name, value string) url.Values {
	if !utf8.ValidString(value) {
		return url.Values{name + "_base64": {base64.StdEncoding.EncodeToString([]byte(value))}}
	}
	return url.Values{name: {value}}
}

// A keyInfo is a key as the page gives it: as text and, if it isn't UTF-8, exactly.
type keyInfo struct {
	Key       string `json:"key"`
	KeyBase64 string `json:"key_base64"`
}

// text is the key for people.
func (k keyInfo) text() string { return visible(exactly(k.Key, k.KeyBase64)) }

// exactly is what came as text and, if that isn't UTF-8, in base64.
func exactly(text, coded string) string {
	if b, err := base64.StdEncoding.DecodeString(coded); err == nil && coded != "" {
		return string(b)
	}
	return text
}
