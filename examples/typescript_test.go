package examples_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const consumerTS = "consumer-ts"

// npm runs in the directory of the consumer.
func npm(t *testing.T, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", args...)
	cmd.Dir = consumerTS
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestConsumerTS_PassesItsTests(t *testing.T) {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("SKIPPED: the consumer in TypeScript is not tested, because %s is not here", program)
		}
	}
	if _, err := os.Stat(filepath.Join(consumerTS, "node_modules", "typescript")); err != nil {
		if out, err := npm(t, "ci", "--ignore-scripts", "--no-audit", "--no-fund"); err != nil {
			t.Skipf("SKIPPED: the consumer in TypeScript is not tested, because npm ci failed: %v\n%s", err, out)
		}
	}
	if out, err := npm(t, "test"); err != nil {
		t.Errorf("npm test: %v\n%s", err, out)
	}
}

var declared = regexp.MustCompile(`(?m)^\s*(?:rpc (\w+)\(|message (\w+) |enum (\w+) |(?:repeated )?[\w.<>, ]+ (\w+) = \d+;)`)

// What is generated is of the proto file that is here: every call, message, enum and field has its place.
func TestConsumerTS_GeneratedCodeIsOfThisProto(t *testing.T) {
	proto, err := os.ReadFile("../proto/meridian/ledger/v1/event.proto")
	if err != nil {
		t.Fatal(err)
	}
	generated, err := os.ReadFile(filepath.Join(consumerTS, "src/gen/meridian/ledger/v1/event_pb.ts"))
	if err != nil {
		t.Fatal(err)
	}
	names := declared.FindAllSubmatch(proto, -1)
	if len(names) < 100 {
		t.Fatalf("only %d names were found in the proto", len(names))
	}
	for _, m := range names {
		name := string(bytes.Join(m[1:], nil))
		if m[1] != nil {
			name = strings.ToLower(name[:1]) + name[1:]
		}
		if !bytes.Contains(generated, []byte("."+name+"\n")) && !bytes.Contains(generated, []byte("ledger.v1."+name)) && !strings.Contains(string(generated), " "+name+" =") &&
			!strings.Contains(string(generated), " "+name+";") && !strings.Contains(string(generated), "  "+name+": {") {
			t.Errorf("%s is missing; npm run generate in examples/consumer-ts makes it", name)
		}
	}
}
