package signal

// Notify wakes whoever waits on c, or will.
func Notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
