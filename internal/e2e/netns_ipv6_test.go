//go:build linux

package e2e_test

import (
	"testing"
	"time"
)

// The same where no node has an IPv4 address: one is cut off, or killed and started again.
func TestNetnsIPv6(t *testing.T) {
	t.Parallel()
	t.Run("Cut", func(t *testing.T) {
		t.Parallel()
		cutOff(t, ipv6, roomy, 100, 10*time.Second, (*host).cut)
	})
	t.Run("Refused", func(t *testing.T) {
		t.Parallel()
		cutOff(t, ipv6, roomy, 100, 10*time.Second, (*host).refuse)
	})
	t.Run("Killed", func(t *testing.T) { killed(t, ipv6, roomy) })
}
