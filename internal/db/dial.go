package db

import (
	"net"
	"time"
)

// A network that swallows packets is noticed by the kernel: what was sent and not acknowledged for ackTimeout ends the connection, and so do three
// keep-alives without an answer where nobody sends, as on a line that listens. A machine that is alive below a database that is not
// acknowledges everything: that takes probes.
const ackTimeout = 5 * time.Second

var dialer = &net.Dialer{
	KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 3 * time.Second, Interval: time.Second, Count: 3},
	Control:         giveUp,
}
