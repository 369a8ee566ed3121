package fault_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/meridian-ledger/meridian/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// target accepts connections and hands them out.
type target struct {
	net.Listener
	conns chan *net.TCPConn
	count atomic.Int64
}

func listen(t *testing.T) *target {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &target{Listener: l, conns: make(chan *net.TCPConn, 64)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.count.Add(1)
			s.conns <- c.(*net.TCPConn)
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
		for close(s.conns); ; {
			c, ok := <-s.conns
			if !ok {
				return
			}
			_ = c.Close()
		}
	})
	return s
}

func (s *target) accepted(t *testing.T) *net.TCPConn {
	t.Helper()
	select {
	case c := <-s.conns:
		t.Cleanup(func() { _ = c.Close() })
		return c
	case <-time.After(10 * time.Second):
		t.Fatal("nobody came")
		return nil
	}
}

// echo answers every connection with what it says.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		running.Wait()
	})
	return l.Addr().String()
}

func linked(t testing.TB, target string) *fault.Link {
	t.Helper()
	l, err := fault.Listen(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(l.Close(), l.Close()); err != nil {
			t.Error(err)
		}
		if live := l.Stats().Live; live != 0 {
			t.Errorf("%d connections live on", live)
		}
	})
	return l
}

func dial(t testing.TB, l *fault.Link) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	return c.(*net.TCPConn)
}

// say sends and wants it back.
func say(t testing.TB, c net.Conn, words string) time.Duration {
	t.Helper()
	begun := time.Now()
	if _, err := io.WriteString(c, words); err != nil {
		t.Fatalf("say %q: %v", words, err)
	}
	got := make([]byte, len(words))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != words {
		t.Fatalf("said %q, heard %q: %v", words, got, err)
	}
	return time.Since(begun)
}

// silent wants to hear nothing for a moment: long enough for whatever was on its way.
func silent(t *testing.T, c net.Conn, why string) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(60 * time.Millisecond))
	n, err := c.Read(make([]byte, 1))
	if n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%s: heard %d bytes, %v", why, n, err)
	}
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
}

func hears(t *testing.T, c net.Conn, words string) {
	t.Helper()
	got := make([]byte, len(words))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != words {
		t.Fatalf("heard %q, want %q: %v", got, words, err)
	}
}

func send(t *testing.T, c net.Conn, words string) {
	t.Helper()
	if _, err := io.WriteString(c, words); err != nil {
		t.Fatal(err)
	}
}

// wantReset wants the other side's end to be an RST.
func wantReset(t *testing.T, c net.Conn, why string) {
	t.Helper()
	_, err := c.Read(make([]byte, 1))
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%s: %v, want a reset", why, err)
	}
}

// wantRefused wants new connections to be reset, at once or as soon as they were made: the dial may still see it.
func wantRefused(t *testing.T, l *fault.Link) {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr())
	if err == nil {
		defer c.Close()
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		_, err = c.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a new connection: %v, want a reset", err)
	}
}

func delay(d time.Duration) fault.Condition { return fault.Condition{Delay: d} }

func TestDelay_IsPaidByEveryRoundTripAndTwiceByTheFirst(t *testing.T) {
	l := linked(t, echo(t))
	l.Set(fault.Shape{Forward: delay(15 * time.Millisecond), Backward: delay(5 * time.Millisecond)})
	var talking sync.WaitGroup
	begun := time.Now()
	for range 20 {
		talking.Go(func() {
			dialed := time.Now()
			c := dial(t, l)
			say(t, c, "hello")
			if took := time.Since(dialed); took < 40*time.Millisecond {
				t.Errorf("the first took %s, want a handshake more", took)
			}
			for range 25 {
				if took := say(t, c, "again"); took < 20*time.Millisecond {
					t.Errorf("a round trip took %s", took)
				}
			}
		})
	}
	talking.Wait()
	if took := time.Since(begun); took > 5*time.Second { // 0.54 s on an idle machine
		t.Errorf("20 connections took %s: they wait for each other", took)
	}
}

func TestDelay_CostsNoBandwidth(t *testing.T) {
	l := linked(t, echo(t))
	l.Set(fault.Shape{Forward: delay(50 * time.Millisecond), Backward: delay(50 * time.Millisecond)})
	c := dial(t, l)
	say(t, c, "hello")
	begun := time.Now()
	go func() {
		for range 500 {
			_, _ = io.WriteString(c, "0123456789")
			time.Sleep(100 * time.Microsecond) // so that each is read by itself
		}
	}()
	if _, err := io.ReadFull(c, make([]byte, 5000)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took < 100*time.Millisecond || took > 3*time.Second {
		t.Errorf("500 pieces took %s, want about 0.15 s: one after another they would take 50", took)
	}
}

func TestLink_DeliversEveryByteInOrderWhateverItDoes(t *testing.T) {
	address := echo(t)
	rapid.Check(t, func(rt *rapid.T) {
		condition := rapid.Custom(func(rt *rapid.T) fault.Condition {
			return fault.Condition{
				Delay:  time.Duration(rapid.IntRange(0, 3).Draw(rt, "delay")) * time.Millisecond,
				Jitter: time.Duration(rapid.IntRange(0, 5).Draw(rt, "jitter")) * time.Millisecond,
				Rate:   rapid.SampledFrom([]int64{0, 4 << 20, 64 << 20}).Draw(rt, "rate"),
				Loss:   rapid.SampledFrom([]float64{0, 0, 0, 0.002}).Draw(rt, "loss"),
				Drop:   rapid.IntRange(0, 3).Draw(rt, "drop") == 0,
			}
		})
		shapes := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) fault.Shape {
			return fault.Shape{Forward: condition.Draw(rt, "forward"), Backward: condition.Draw(rt, "backward")}
		}), 1, 8).Draw(rt, "shapes")
		sizes := rapid.SliceOfN(rapid.IntRange(1, 40_000), 1, 20).Draw(rt, "sizes")

		l, err := fault.Listen(address)
		if err != nil {
			rt.Fatal(err)
		}
		defer l.Close()
		c, err := net.Dial("tcp", l.Addr())
		if err != nil {
			rt.Fatal(err)
		}
		defer c.Close()
		// Joined: a client that hangs up on a handshake that it can not know of is taken to have given up.
		if _, err := c.Write([]byte{1} /* no packet of PostgreSQL */); err != nil {
			rt.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			rt.Fatal(err)
		}
		var sent []byte
		random := rand.New(rand.NewPCG(1, uint64(len(sizes))))
		for _, size := range sizes {
			for range size {
				sent = append(sent, byte(random.Uint32()))
			}
		}
		var running sync.WaitGroup
		defer running.Wait()
		running.Go(func() {
			rest := sent
			for _, size := range sizes {
				if _, err := c.Write(rest[:size]); err != nil {
					return
				}
				rest = rest[size:]
			}
			_ = c.(*net.TCPConn).CloseWrite()
		})
		running.Go(func() {
			for _, s := range shapes {
				l.Set(s)
				time.Sleep(2 * time.Millisecond)
			}
			l.Set(fault.Shape{})
		})
		_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(got, sent) {
			rt.Fatalf("sent %d bytes, got %d back, equal to them: %t, %v", len(sent), len(got), bytes.Equal(got, sent), err)
		}
	})
}

func TestRate_IsABoundThatCanBeLifted(t *testing.T) {
	l := linked(t, echo(t))
	l.Set(fault.Shape{Backward: fault.Condition{Rate: 200_000}})
	c := dial(t, l)
	begun := time.Now()
	send(t, c, string(make([]byte, 60_000)))
	if _, err := io.ReadFull(c, make([]byte, 60_000)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took < 290*time.Millisecond || took > 3*time.Second {
		t.Errorf("60 KB at 200 KB/s took %s", took)
	}
	l.Set(fault.Shape{Backward: fault.Condition{Rate: 10}})
	send(t, c, string(make([]byte, 60_000)))
	silent(t, c, "at 10 bytes a second")
	l.Set(fault.Shape{})
	begun = time.Now()
	if _, err := io.ReadFull(c, make([]byte, 60_000)); err != nil || time.Since(begun) > 5*time.Second {
		t.Errorf("lifted: %v after %s", err, time.Since(begun))
	}
}

func TestLink_HoldsABoundedNumberOfBytesAndThenStopsReading(t *testing.T) {
	s := listen(t)
	l := linked(t, s.Addr().String())
	c := dial(t, l)
	server := s.accepted(t)
	_ = server.SetReadBuffer(64 << 10)
	_ = c.SetWriteBuffer(64 << 10)
	sent := 0
	for block := make([]byte, 64<<10); ; {
		block[0] = 1
		_ = c.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
		n, err := c.Write(block)
		sent += n
		if err != nil {
			break
		}
		if sent > 64<<20 {
			t.Fatal("64 MB went into a link whose target reads nothing")
		}
	}
	t.Logf("%d bytes fit", sent)
	// What is in the link stays there when it becomes a black hole, although a write was under way.
	l.Set(fault.Shape{Forward: fault.Condition{Drop: true}})
	got, buffer := 0, make([]byte, 1<<20)
	for {
		_ = server.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		n, err := server.Read(buffer)
		got += n
		if err != nil {
			break
		}
	}
	if got > sent-(1<<20) {
		t.Errorf("%d of %d bytes passed a black hole, want the queue to be kept", got, sent)
	}
	l.Set(fault.Shape{})
	_ = server.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.ReadFull(server, make([]byte, sent-got)); err != nil {
		t.Errorf("after it was lifted: %v", err)
	}
}

func TestDrop_OneWayIsADirectionAndNobodyIsTold(t *testing.T) {
	s := listen(t)
	l := linked(t, s.Addr().String())
	c := dial(t, l)
	send(t, c, "a")
	server := s.accepted(t)
	hears(t, server, "a")

	l.Set(fault.Shape{Forward: fault.Condition{Drop: true}})
	send(t, c, "lost")
	silent(t, server, "forward is dropped")
	send(t, server, "back")
	hears(t, c, "back")

	l.Set(fault.Shape{Backward: fault.Condition{Drop: true}})
	hears(t, server, "lost") // TCP would have sent it again
	send(t, server, "more")
	silent(t, c, "backward is dropped")
	_ = server.Close()
	silent(t, c, "nobody is told of the end")
	l.Set(fault.Shape{})
	hears(t, c, "more")
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the end: %v", err)
	}
}

func TestDrop_TheTargetHearsNothingOfNewConnections(t *testing.T) {
	for name, hole := range map[string]fault.Shape{
		"forward": {Forward: fault.Condition{Drop: true}},
		"both":    {Forward: fault.Condition{Drop: true}, Backward: fault.Condition{Drop: true}},
	} {
		t.Run(name, func(t *testing.T) {
			s := listen(t)
			l := linked(t, s.Addr().String())
			l.Set(hole)
			impatient, patient := dial(t, l), dial(t, l)
			send(t, impatient, "x")
			send(t, patient, "y")
			_ = impatient.Close()
			within(t, "a client that gives up is forgotten", func() bool { return l.Stats().Live == 1 })
			silent(t, patient, "a black hole")
			if got := s.count.Load(); got != 0 {
				t.Errorf("%d connections reached the target", got)
			}
			l.Set(fault.Shape{})
			hears(t, s.accepted(t), "y")
		})
	}
}

// within polls for what a link does by itself.
func within(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 10 s", what)
		}
	}
}

func TestReset_IsHeardOnBothSides(t *testing.T) {
	s := listen(t)
	l := linked(t, s.Addr().String())
	c := dial(t, l)
	server := s.accepted(t)
	l.ResetAll()
	wantReset(t, c, "the client")
	wantReset(t, server, "the target")
	if got := l.Stats(); got.Reset != 1 || got.Connections != 1 {
		t.Errorf("%+v", got)
	}

	c = dial(t, l)
	s.accepted(t)
	l.Set(fault.Shape{Refuse: true})
	wantReset(t, c, "refused while it lived")
	wantRefused(t, l)
	if got := l.Stats(); got.Reset != 3 || got.Connections != 2 {
		t.Errorf("%+v", got)
	}
	l.Set(fault.Shape{})
	send(t, dial(t, l), "z")
	hears(t, s.accepted(t), "z")
}

func TestReset_OfOneSidePassesToTheOther(t *testing.T) {
	s := listen(t)
	l := linked(t, s.Addr().String())
	c := dial(t, l)
	server := s.accepted(t)
	l.Set(fault.Shape{Backward: delay(80 * time.Millisecond)})
	begun := time.Now()
	_ = server.SetLinger(0)
	_ = server.Close()
	wantReset(t, c, "passed on")
	if took := time.Since(begun); took < 80*time.Millisecond {
		t.Errorf("it took %s: a reset travels like everything else", took)
	}
}

func TestLink_AHalfThatIsClosedLetsTheOtherGoOn(t *testing.T) {
	s := listen(t)
	l := linked(t, s.Addr().String())
	c := dial(t, l)
	send(t, c, "question")
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	server := s.accepted(t)
	if got, err := io.ReadAll(server); err != nil || string(got) != "question" {
		t.Fatalf("%q, %v", got, err)
	}
	send(t, server, "answer")
	_ = server.Close()
	if got, err := io.ReadAll(c); err != nil || string(got) != "answer" {
		t.Fatalf("%q, %v", got, err)
	}
	within(t, "nothing is left", func() bool { return l.Stats().Live == 0 })
	if got := l.Stats(); got.Forward != 8 || got.Backward != 6 {
		t.Errorf("%+v", got)
	}
}

func TestSetTarget_MovesNewConnectionsOnly(t *testing.T) {
	a, b := listen(t), listen(t)
	l := linked(t, "127.0.0.1:1")
	wantRefused(t, l) // nobody listens there
	l.SetTarget(a.Addr().String())
	first := dial(t, l)
	atA := a.accepted(t)
	l.SetTarget(b.Addr().String())
	send(t, dial(t, l), "b")
	hears(t, b.accepted(t), "b")
	send(t, first, "a")
	hears(t, atA, "a")
}

func TestFreeze_HoldsTheConnectionsThatThereAre(t *testing.T) {
	l := linked(t, echo(t))
	old := dial(t, l)
	say(t, old, "1")
	l.Freeze()
	send(t, old, "2")
	silent(t, old, "frozen")
	say(t, dial(t, l), "3")
	l.Thaw()
	hears(t, old, "2")
}

func TestLoss_HoldsASegmentBackAndWhatIsBehindIt(t *testing.T) {
	l := linked(t, echo(t))
	c := dial(t, l)
	say(t, c, "1")
	l.Set(fault.Shape{Forward: fault.Condition{Loss: 1}}) // lost 7 times: 25 s
	send(t, c, "2")
	silent(t, c, "lost")
	l.Set(fault.Shape{Forward: fault.Condition{Loss: 0.3}})
	send(t, c, "3")
	hears(t, c, "23")
	slow := 0
	for range 40 {
		if say(t, c, "x") > 150*time.Millisecond {
			slow++
		}
		if slow > 1 {
			return
		}
	}
	t.Errorf("%d of 40 were held back at a loss of 0.3", slow)
}
