package fault

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestRetransmissions_DoubleAndAreAsLikelyAsTheLoss(t *testing.T) {
	c := Condition{Loss: 0.1}
	for _, row := range []struct {
		luck float64
		want time.Duration
	}{{0.5, 0}, {0.1, 0}, {0.09, 200 * time.Millisecond}, {0.009, 600 * time.Millisecond}, {0.0009, 1400 * time.Millisecond}} {
		if got := c.retransmissions(row.luck); got != row.want {
			t.Errorf("at %v: %s, want %s", row.luck, got, row.want)
		}
	}
	if got := (Condition{}).retransmissions(0); got != 0 {
		t.Errorf("without a loss: %s", got)
	}
	if got := (Condition{Loss: 1}).retransmissions(0.999); got != 25400*time.Millisecond {
		t.Errorf("all is lost: %s, want a bound", got)
	}
}

func message(kind byte, body string) []byte {
	m := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)+4))
	return append(m, body...)
}

func startupPacket(code uint32, body string) []byte {
	p := binary.BigEndian.AppendUint32(nil, uint32(len(body)+8))
	return append(binary.BigEndian.AppendUint32(p, code), body...)
}

// fed feeds a stream in pieces and returns what passed.
func fed(w *watch, back bool, stream []byte, cuts []int) (passed []byte, cut bool) {
	for _, size := range append(cuts, len(stream)) {
		size = min(size, len(stream))
		if size == 0 {
			continue
		}
		pass, cut := w.read(back, stream[:size])
		if passed = append(passed, pass...); cut {
			return passed, true
		}
		stream = stream[size:]
	}
	return passed, false
}

func newWatch() *watch { return &watch{link: &Link{}, statements: map[string]role{}} }

func TestWatch_PassesEveryByteHoweverTheyArrive(t *testing.T) {
	hello := slices.Concat(startupPacket(196608, "user\x00me\x00\x00"), message('p', "password\x00"))
	welcome := slices.Concat(message('R', "\x00\x00\x00\x00"), message('Z', "I"))
	client := slices.Concat(message('P', "s\x00INSERT INTO journal VALUES ($1)\x00\x00\x00"),
		message('B', "\x00s\x00\x00\x00"), message('E', "\x00\x00\x00\x00\x00"), message('S', ""), message('Q', "BEGIN; COMMIT\x00"))
	server := slices.Concat(message('1', ""), message('2', ""),
		message('D', string(make([]byte, 300))), message('C', "INSERT 0 1\x00"), message('Z', "T"), message('C', "COMMIT\x00"), message('Z', "I"))
	rapid.Check(t, func(rt *rapid.T) {
		w := newWatch()
		pieces := rapid.SliceOfN(rapid.IntRange(1, 40), 0, 30)
		if got, cut := fed(w, false, hello, pieces.Draw(rt, "hello")); cut || !slices.Equal(got, hello) {
			rt.Fatalf("of the greeting passed %q", got)
		}
		if got, cut := fed(w, true, welcome, pieces.Draw(rt, "welcome")); cut || !slices.Equal(got, welcome) {
			rt.Fatalf("of the welcome passed %q", got)
		}
		if got, cut := fed(w, false, client, pieces.Draw(rt, "client")); cut || !slices.Equal(got, client) {
			rt.Fatalf("of the client passed %q", got)
		}
		if got, cut := fed(w, true, server, pieces.Draw(rt, "server")); cut || !slices.Equal(got, server) {
			rt.Fatalf("of the server passed %q", got)
		}
		if trips := w.link.trips.Load(); trips != 1 { // the whole of it was asked before the first answer
			rt.Fatalf("%d round trips", trips)
		}
	})
}

func TestWatch_CutsACommitHoweverItArrives(t *testing.T) {
	before := slices.Concat(startupPacket(196608, "user\x00me\x00\x00"), message('Q', "BEGIN\x00"), message('Q', "INSERT INTO journal VALUES (1)\x00"))
	commit := message('Q', "COMMIT\x00")
	answers := slices.Concat(message('Z', "I"), message('C', "INSERT 0 1\x00"))
	rapid.Check(t, func(rt *rapid.T) {
		pieces := rapid.SliceOfN(rapid.IntRange(1, 40), 0, 30)
		w := newWatch()
		w.link.InjectCommits(CommitFault{At: BeforeServer, Times: 1})
		if got, cut := fed(w, false, append(slices.Clone(before), commit...), pieces.Draw(rt, "before")); !cut || !slices.Equal(got, before) {
			rt.Fatalf("cut %t after %q", cut, got)
		}
		w = newWatch()
		w.link.InjectCommits(CommitFault{At: AfterServer, Times: 1})
		if got, cut := fed(w, false, before, nil); cut || !slices.Equal(got, before) {
			rt.Fatalf("of the client passed %q", got)
		}
		if got, cut := fed(w, true, answers, nil); cut || !slices.Equal(got, answers) {
			rt.Fatalf("of the server passed %q", got)
		}
		if _, cut := fed(w, false, commit, nil); cut {
			rt.Fatal("the commit did not reach the server")
		}
		if got, cut := fed(w, true, slices.Concat(message('C', "COMMIT\x00"), message('Z', "I")), pieces.Draw(rt, "after")); !cut || len(got) > 0 {
			rt.Fatalf("cut %t after %q", cut, got)
		}
	})
}

func TestWatch_LeavesAloneWhatIsNotPostgreSQLInTheClear(t *testing.T) {
	insert := message('Q', "BEGIN; INSERT INTO journal VALUES (1); COMMIT\x00")
	for name, talk := range map[string]func(w *watch){
		"HTTP/2":           func(w *watch) { w.read(false, []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")) },
		"TLS":              func(w *watch) { w.read(false, []byte{22, 3, 1, 0, 5}) },
		"the server first": func(w *watch) { w.read(true, []byte("220 mail")) },
		"a cancel":         func(w *watch) { w.read(false, startupPacket(cancelRequest, "12345678")) },
		"TLS within": func(w *watch) {
			w.read(false, startupPacket(wantsTLS, ""))
			w.read(true, []byte("S"))
		},
	} {
		w := newWatch()
		w.link.InjectCommits(CommitFault{At: BeforeServer})
		talk(w)
		if got, cut := w.read(false, insert); cut || !slices.Equal(got, insert) {
			t.Errorf("%s: cut %t, passed %q", name, cut, got)
		}
	}
	w := newWatch()
	w.link.InjectCommits(CommitFault{At: BeforeServer})
	w.read(false, startupPacket(wantsTLS, ""))
	w.read(true, []byte("N"))
	w.read(false, startupPacket(196608, "\x00"))
	if _, cut := w.read(false, insert); !cut {
		t.Error("declined encryption: the commit has passed")
	}
}
