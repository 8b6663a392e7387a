package measure

import (
	"context"
	"errors"

	"github.com/iwanbk/bcache"
)

// A pair is two nodes whose traffic is counted on its way.
type pair struct {
	a, b  *bcache.Bcache
	proxy *proxy
}

// newPair has b join a, which holds keys.
func newPair(ctx context.Context, maxKeys int, keys []string, val func(int) string) (p *pair, err error) {
	p = &pair{}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	if p.a, err = newNode(max(maxKeys, 1)); err != nil {
		return p, err
	}
	if err := setAll(p.a, keys, val); err != nil {
		return p, err
	}
	if p.proxy, err = newProxy(p.a.Addr()); err != nil {
		return p, err
	}
	if p.b, err = newNode(max(maxKeys, 1), p.proxy.addr()); err != nil {
		return p, err
	}
	return p, cluster{p.a, p.b}.connected(ctx)
}

// close ends what there is: b first, which would dial again.
func (p *pair) close() error {
	var errs []error
	if p.b != nil {
		errs = append(errs, p.b.Close())
	}
	if p.a != nil {
		errs = append(errs, p.a.Close())
	}
	if p.proxy != nil {
		errs = append(errs, p.proxy.close())
	}
	return errors.Join(errs...)
}

func setAll(b *bcache.Bcache, keys []string, val func(int) string) error {
	for i, key := range keys {
		if err := b.SetWithTTL(key, val(i), bcache.NoExpiry); err != nil {
			return err
		}
	}
	return nil
}
