package cluster

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
)

// freePort proposes a port on 127.0.0.1. Nobody can reserve a port for another process, so whoever starts an engine on it
// must be ready to try another. Ports that the system hands out to clients are avoided: between a kill and a start a client
// that keeps dialing such a port can be given it as its own, and then it talks to itself and blocks the restart.
func freePort() (int, error) {
	const lowest, above = 15000, 32000 // Linux hands out 32768 and up, macOS 49152 and up
	var last error
	for range 50 {
		port := lowest + rand.IntN(above-lowest)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			last = err
			continue
		}
		_ = l.Close()
		return port, nil
	}
	return 0, fmt.Errorf("find a free port on 127.0.0.1 between %d and %d: %w", lowest, above, last)
}

// onFreePorts runs launch, and again while it fails because somebody took its port first and moving to another one is
// allowed: before the first start. forget makes the next launch choose new ports.
func onFreePorts(mayMove bool, launch func() error, forget func()) error {
	const attempts = 5
	for attempt := 1; ; attempt++ {
		err := launch()
		if err == nil || !mayMove {
			return err
		}
		forget()
		if !portTaken(err) || attempt == attempts {
			return err
		}
	}
}

// portTaken says whether err is the death of a process that found its port in use.
func portTaken(err error) bool {
	var death *deathError
	if !errors.As(err, &death) {
		return false
	}
	tail := strings.ToLower(death.tail)
	return strings.Contains(tail, "address already in use") || strings.Contains(tail, "port is already allocated") // Docker's
}
