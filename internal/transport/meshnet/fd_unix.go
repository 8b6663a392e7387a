//go:build linux || darwin || freebsd

package meshnet

import (
	"net/netip"
	"os"
	"strconv"
	"syscall"
)

// cutTCP shuts down every TCP connection of this process that match selects by its
// addresses. mesh keeps those whose handshake isn't over where nobody can reach them,
// and waits for up to a minute for a stranger who says nothing.
func cutTCP(match func(local, remote netip.AddrPort) bool) {
	shutDown(func(fd int) bool { return matchesTCP(fd, match) })
}

// cutListener shuts down the listener of this process on an address, which makes accept
// fail (not on every system). It reports whether there was one.
func cutListener(on netip.AddrPort) bool {
	return shutDown(func(fd int) bool {
		listens, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN)
		if err != nil || listens == 0 {
			return false
		}
		local, err := syscall.Getsockname(fd)
		if err != nil {
			return false
		}
		// 0.0.0.0 is listened on as :: where that means both.
		have, want := sockAddr(local), on.Addr().Unmap().WithZone("")
		return have.Port() == on.Port() &&
			(have.Addr() == want || have.Addr().IsUnspecified() && want.IsUnspecified())
	})
}

// shutDown shuts down the sockets of this process that match selects. It reports whether
// there was one.
//
// A descriptor may be closed and given to another file at any time. So each one is
// duplicated first, and what is checked and shut down is the duplicate.
func shutDown(match func(fd int) bool) (every bool) {
	dir, err := os.ReadDir("/dev/fd")
	if err != nil {
		return false
	}
	for _, entry := range dir {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil || !match(fd) {
			continue
		}
		syscall.ForkLock.RLock()
		dup, err := syscall.Dup(fd)
		if err == nil {
			syscall.CloseOnExec(dup)
		}
		syscall.ForkLock.RUnlock()
		if err != nil {
			continue
		}
		if match(dup) && syscall.Shutdown(dup, syscall.SHUT_RDWR) == nil {
			every = true
		}
		_ = syscall.Close(dup)
	}
	return every
}

func matchesTCP(fd int, match func(local, remote netip.AddrPort) bool) bool {
	local, err := syscall.Getsockname(fd)
	if err != nil {
		return false
	}
	remote, err := syscall.Getpeername(fd)
	if err != nil || !match(sockAddr(local), sockAddr(remote)) {
		return false
	}
	kind, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_TYPE)
	return err == nil && kind == syscall.SOCK_STREAM
}

func sockAddr(sa syscall.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *syscall.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *syscall.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port))
	}
	return netip.AddrPort{}
}
