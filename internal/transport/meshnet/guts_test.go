package meshnet

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/weaveworks/mesh"
)

// It fails when mesh isn't what guts.go expects.
func TestMeshGuts(t *testing.T) {
	leaks(t)
	n := start(t, 1, nil)
	if n.router.run.Load().guts == nil {
		t.Fatal("mesh's layout has changed")
	}
	if n.log.count("E", "") > 0 {
		t.Error("errors are logged")
	}
	closeAll(t, n)
}

func TestMeshField(t *testing.T) {
	type named func() bool
	type owner struct {
		Embedded struct{ deep int }
		actions  chan<- named
		both     chan func() bool
	}
	o := &owner{actions: make(chan named, 1), both: make(chan func() bool)}
	if f, err := field(o, "actions", reflect.TypeFor[chan<- func() bool]()); err != nil || f.IsNil() {
		t.Errorf("actions: %v", err)
	}
	for _, bad := range []struct {
		owner any
		name  string
		want  reflect.Type
	}{
		{o, "actions", reflect.TypeFor[chan<- func()]()},
		{o, "actions", reflect.TypeFor[chan func() bool]()},
		{o, "both", reflect.TypeFor[chan<- func() bool]()},
		{o, "gone", reflect.TypeFor[int]()},
		{o, "deep", reflect.TypeFor[int]()},
		{*o, "actions", reflect.TypeFor[chan<- func() bool]()},
		{(*owner)(nil), "actions", reflect.TypeFor[chan<- func() bool]()},
		{nil, "actions", reflect.TypeFor[int]()},
	} {
		if _, err := field(bad.owner, bad.name, bad.want); err == nil {
			t.Errorf("%T.%s passes as %v", bad.owner, bad.name, bad.want)
		}
	}
}

// Without what isn't exported, everything but a clean end works.
func TestMeshWithoutGuts(t *testing.T) {
	a := start(t, 0xa, nil)
	b := start(t, 0xb, meshPeers(a.Addr()))
	linked(t, a, b)
	guts := a.router.run.Load().guts
	router := a.router.run.Load().router
	a.router.run.Load().guts = nil
	talk(t, "without guts", a, b)
	closeAll(t, a, b)
	if a.router.goroutines() == 0 {
		t.Error("nothing is parked: then meshguts.go isn't needed")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := guts.stop(ctx, router, a.router.reaped); err != nil { // now end them, for the other tests
		t.Error(err)
	}
	wait(t, "all ended", func() bool { return a.router.goroutines() == 0 })
}

func TestMeshHangUp(t *testing.T) {
	leaks(t)
	a := start(t, 0xa, nil)
	b := start(t, 0xb, meshPeers(a.Addr()))
	linked(t, a, b)
	run := a.router.run.Load()
	c, ok := run.router.Ourself.ConnectionTo(mesh.PeerName(0xb))
	if !ok {
		t.Fatal("no connection")
	}
	run.guts.hangUp(nil)
	run.guts.hangUp(c)
	wait(t, "b joins again", func() bool { return a.h.Count("+b") == 2 && a.h.Count("-b") == 1 })
	talk(t, "again", a, b)
	closeAll(t, a, b)
}
