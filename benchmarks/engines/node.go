package engines

import "context"

const nodeKeys = 10_000 // that a node holds, unless a measurement needs more

// runNode is a node in a process of its own. It answers with its address. The first question closes it; if
// there is none, it ends as a crash does.
func runNode(_ context.Context, p *parent, t task) error {
	e, err := Named(t.Engine)
	if err != nil {
		return err
	}
	b, err := startNode(e, t, nodeKeys)
	if err != nil {
		return err
	}
	p.answer(b.Addr(), nil)
	if _, ok := p.asks(); ok {
		b.Close() // what a neighbour hasn't confirmed is none of a measurement's business
		p.answer(nil, nil)
	}
	return nil
}
