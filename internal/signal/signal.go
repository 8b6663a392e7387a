// Package signal wakes goroutines without waiting for them.
//
// Its law: neither Notify nor Ring ever blocks, so both may be called under any lock. It carries no
// values: who is woken looks for itself what is new. Both may be called from several goroutines.
package signal

// Notify wakes whoever waits on c, or will.
func Notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
