package interop

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
)

// Ports are chosen below those that the kernel gives to the local ends of
// connections. Of these any client may be given one, also the moment after it
// was found free, or while a broker that listens on it is being restarted.
const (
	portMin   = 10_000
	portsMin  = 2_000 // fewer to choose from would meet each other
	portTries = 200
)

// handedOut are the ports that freeAddr has given, which it does only once.
var handedOut sync.Map

// freeAddr is a loopback address that nobody listens on. Peers that cannot
// tell which port they chose get theirs from here, and brokers that must come
// back on the same one.
func freeAddr() string {
	low, high := localPorts()
	from, to := portMin, low
	if to-from < portsMin {
		from, to = high+1, 1<<16
	}
	for range portTries {
		addr := "127.0.0.1:0" // when there is no such range, at least a port of now
		if to-from >= portsMin {
			addr = fmt.Sprintf("127.0.0.1:%d", from+rand.IntN(to-from))
		}
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		addr = l.Addr().String()
		l.Close()
		if _, again := handedOut.LoadOrStore(addr, true); !again {
			return addr
		}
	}
	panic(fmt.Sprintf("BUG: no free loopback port between %d and %d", from, to))
}

// localPorts is the range of the kernel's choice.
func localPorts() (low, high int) {
	text, _ := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if n, _ := fmt.Sscan(string(text), &low, &high); n != 2 {
		return 32768, 60999 // Linux's default
	}
	return low, high
}

func port(addr string) string {
	_, p, err := net.SplitHostPort(addr)
	if err != nil {
		panic(fmt.Sprintf("BUG: address %q: %v", addr, err))
	}
	return p
}
