package bcache

// A meshUpcalls calls the transport's handler: not any more once the transport closes, and so that a
// panic doesn't end the process.
type meshUpcalls struct {
	scope *meshScope
	to    transportHandler // nil before Start and after Close, when nobody is in the scope
}

// Receive is called within the scope, to the end.
func (u *meshUpcalls) Receive(from uint64, frame []byte) {
	defer u.scope.recovered("Receive")
	u.to.Receive(from, frame)
}

func (u *meshUpcalls) Joined(peer, origin uint64) {
	if u.scope.ctx.Err() == nil {
		defer u.scope.recovered("Joined")
		u.to.Joined(peer, origin)
	}
}

func (u *meshUpcalls) Left(peer uint64) {
	if u.scope.ctx.Err() == nil {
		defer u.scope.recovered("Left")
		u.to.Left(peer)
	}
}

func (u *meshUpcalls) Moved(peer uint64, bulk bool) {
	if u.scope.ctx.Err() == nil {
		defer u.scope.recovered("Moved")
		u.to.Moved(peer, bulk)
	}
}

func (u *meshUpcalls) Arriving(from uint64, head []byte) {
	if u.scope.ctx.Err() == nil {
		defer u.scope.recovered("Arriving")
		u.to.Arriving(from, head)
	}
}
