package rpc

import (
	"bytes"
	"compress/gzip"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

func zipped(t testing.TB, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.CopyN(z, zeros{}, int64(n)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestBodies_AreBounded(t *testing.T) {
	model, _ := wallets(t)
	svc := &spy{Service: model}
	base := serve(t, svc, Options{DefaultLedger: "shop-eu"})
	large, bomb := bytes.Repeat([]byte{' '}, MaxBody+1), zipped(t, 64<<20)
	broken := bytes.Clone(bomb)
	broken[len(broken)/2] ^= 0xff
	for _, w := range append(append([]wire{}, jsonWires...), protoWires...) {
		encoding := "Content-Encoding"
		if w.framed {
			encoding = "Grpc-Encoding"
		}
		compressed := func(b []byte) []byte {
			if w.framed {
				return frame(1, b)
			}
			return b
		}
		t.Run(w.name, func(t *testing.T) {
			for _, c := range []struct {
				name    string
				body    []byte
				headers []string
				says    string
			}{
				{"bomb", compressed(bomb), []string{encoding, "gzip"}, "more than 4194304 bytes"},
				{"broken gzip", compressed(broken), []string{encoding, "gzip"}, ""},
				{"no gzip", compressed([]byte("plain")), []string{encoding, "gzip"}, "the compressed body is broken"},
				{"cut off gzip", compressed(bomb[:len(bomb)/2]), []string{encoding, "gzip"}, ""},
			} {
				r, got := w.sendRaw(t, base+debitPath, c.body, c.headers...)
				wantInvalid(t, r, got, "body")
				if !strings.Contains(got.message, c.says) {
					t.Errorf("%s: %q", c.name, got.message)
				}
			}
			r, got := w.send(t, base+debitPath, large)
			wantInvalid(t, r, got, "body")
			if !strings.Contains(got.message, "more than 4194304 bytes") {
				t.Errorf("large: %q", got.message)
			}
		})
	}
	if n := svc.executed.Load(); n != 0 {
		t.Errorf("the service was called %d times", n)
	}
}

func TestBodies_MayHaveExactlyTheBound(t *testing.T) {
	base := walletServer(t)
	body := append([]byte(contract), bytes.Repeat([]byte{' '}, MaxBody-len(contract))...)
	if r := send(t, "POST", base+"/v1/wallet/debit", body, "Idempotency-Key", "k"); r.status != 200 {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestFrames_OfGRPCAreChecked(t *testing.T) {
	base := walletServer(t)
	for _, w := range protoWires[1:] {
		for name, body := range map[string][]byte{
			"no message":               nil,
			"half a prefix":            {0, 0},
			"half a message":           frame(0, []byte("abcdef"))[:8],
			"two messages":             append(frame(0, nil), frame(0, nil)...),
			"unknown flags":            frame(0x42, nil),
			"compressed without words": frame(1, []byte("x")),
			"a length of 4 GB":         {0, 0xff, 0xff, 0xff, 0xff},
		} {
			t.Run(w.name+"/"+name, func(t *testing.T) {
				r, got := w.sendRaw(t, base+debitPath, body)
				wantInvalid(t, r, got, "body")
			})
		}
	}
}

func TestHTTP_SaysWhatIsNoRequest(t *testing.T) {
	base := walletServer(t)
	for _, c := range []struct {
		name, method, path string
		headers            []string
		status             int
		field              string
	}{
		{"GET of a command", "GET", debitPath, nil, 405, ""},
		{"PUT", "PUT", debitPath, nil, 405, ""},
		{"GET of the wallet", "GET", "/v1/wallet/debit", nil, 405, ""},
		{"XML", "POST", debitPath, []string{"Content-Type", "application/xml"}, 415, ""},
		{"no content type", "POST", debitPath, nil, 415, ""},
		{"no such path", "POST", "/v1/wallet/steal", nil, 404, ""},
		{"no such procedure", "POST", ours + "TransactionService/Steal", []string{"Content-Type", "application/json"}, 404, ""},
		{"compressed as br", "POST", debitPath, []string{"Content-Type", "application/json", "Content-Encoding", "br"}, 400, "Content-Encoding"},
		{"timeout of no number", "POST", debitPath, []string{"Content-Type", "application/json", "Connect-Timeout-Ms", "soon"}, 400, "Connect-Timeout-Ms"},
		{"timeout in the past", "POST", debitPath, []string{"Content-Type", "application/json", "Connect-Timeout-Ms", "-1"}, 400, "Connect-Timeout-Ms"},
		{"query without base64", "GET", ours + "QueryService/GetBalance?encoding=proto&base64=1&message=***", nil, 400, "message"},
		{"query of no encoding", "GET", ours + "QueryService/GetBalance?encoding=json&message={}&compression=br", nil, 400, "compression"},
		{"query of no JSON", "GET", ours + "QueryService/GetBalance?encoding=json&message={", nil, 400, "body"},
		{"query of nothing", "GET", ours + "QueryService/GetBalance?encoding=json&message=", nil, 400, "body"},
		{"broken query", "GET", ours + "QueryService/GetBalance?%zz", nil, 400, "query"},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := []byte("{}")
			if c.method == http.MethodGet {
				body = nil
			}
			r := send(t, c.method, base+c.path, body, c.headers...)
			if r.status != c.status {
				t.Fatalf("%d %s, wanted %d", r.status, r.body, c.status)
			}
			if c.field != "" {
				wantInvalid(t, r, r.refusal(t), c.field)
			}
		})
	}
}

// TestBodies_ThatEndTooEarly: the connection is half closed, so that the answer can still be read.
func TestBodies_ThatEndTooEarly(t *testing.T) {
	base := walletServer(t)
	for name, request := range map[string]string{
		"length":  "Content-Length: 100\r\n\r\n{\"account_id\":",
		"chunks":  "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"acc",
		"garbage": "Transfer-Encoding: chunked\r\n\r\nZZ\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			head := "POST /v1/wallet/debit HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
			if _, err := io.WriteString(conn, head+request); err != nil {
				t.Fatal(err)
			}
			if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(conn)
			if err != nil {
				t.Fatal(err)
			}
			line, _, _ := strings.Cut(string(answer), "\r\n")
			status, _ := strconv.Atoi(strings.Fields(line + " 0 0")[1])
			if status != 400 || !strings.Contains(string(answer), "the body ends too early") {
				t.Errorf("%s", answer)
			}
		})
	}
}
