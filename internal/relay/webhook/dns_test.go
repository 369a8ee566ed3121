package webhook_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
)

// names is a DNS of its own: what each name resolves to, asked anew each time. A name that is missing does not exist.
type names map[string]func() []netip.Addr

func always(addresses ...string) func() []netip.Addr {
	all := make([]netip.Addr, len(addresses))
	for i, a := range addresses {
		all[i] = netip.MustParseAddr(a)
	}
	return func() []netip.Addr { return all }
}

// resolver asks these names over a pipe, in the form that DNS has on TCP.
func (n names) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go n.answer(theirs)
		return ours, nil
	}}
}

func (n names) answer(c net.Conn) {
	defer c.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, query); err != nil {
			return
		}
		answer := n.reply(query)
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)); err != nil {
			return
		}
	}
}

// reply answers a query of one question for A or AAAA.
func (n names) reply(query []byte) []byte {
	const header = 12
	var labels []string
	at := header
	for query[at] != 0 {
		labels = append(labels, string(query[at+1:at+1+int(query[at])]))
		at += 1 + int(query[at])
	}
	kind := binary.BigEndian.Uint16(query[at+1:])
	question := query[header : at+5]
	look, known := n[strings.Join(labels, ".")]
	flags := uint16(0x8180)
	if !known {
		flags |= 3 // there is no such name
	}
	var records []byte
	count := uint16(0)
	if known {
		for _, a := range look() {
			if a.Is4() == (kind == 1) {
				data := a.AsSlice()
				records = append(records, 0xc0, header, 0, byte(kind), 0, 1, 0, 0, 0, 0, 0, byte(len(data)))
				records = append(records, data...)
				count++
			}
		}
	}
	reply := append([]byte{}, query[:2]...)
	for _, word := range []uint16{flags, 1, count, 0, 0} {
		reply = binary.BigEndian.AppendUint16(reply, word)
	}
	return append(append(reply, question...), records...)
}
