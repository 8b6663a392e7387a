package engines

import (
	"context"

	"github.com/iwanbk/bcache/benchmarks/measure"
)

// runServer answers with the server's URL, and each question with the CPU time that it has used.
func runServer(_ context.Context, p *parent, t task) error {
	e, err := Named(t.Engine)
	if err != nil {
		return err
	}
	url, stop, err := e.Serve()
	if err != nil {
		return err
	}
	defer stop()
	p.answer(url, nil)
	for {
		if _, ok := p.asks(); !ok {
			return nil
		}
		used, _ := measure.CPUTime()
		p.answer(used, nil)
	}
}
