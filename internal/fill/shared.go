package fill

// What those who wait for one load make of its value, they make once: the first one's is for all of
// them.

// shared is what was made of a load's value, and by whom: others may make something else of it.
type shared struct{ owner, made any }

// Share keeps what an owner has made of the load's value, unless something is kept. It returns what the
// load has for the owner from then on, if anything.
func (ld *Load) Share(owner, made any) (any, bool) {
	ld.shared.CompareAndSwap(nil, &shared{owner, made})
	return ld.Shared(owner)
}

// Shared returns what is kept of an owner.
func (ld *Load) Shared(owner any) (made any, ok bool) {
	if s := ld.shared.Load(); s != nil && s.owner == owner {
		return s.made, true
	}
	return nil, false
}
