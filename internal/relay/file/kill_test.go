package file

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

const killed = 200 // messages

// TestMain writes files where a test asks for a process that does, and else runs the tests.
func TestMain(m *testing.M) {
	if root := os.Getenv("MERIDIAN_TEST_FILES"); root != "" {
		writeForEver(root, Format(os.Getenv("MERIDIAN_TEST_FORMAT")), os.Getenv("MERIDIAN_TEST_SEED"))
		return
	}
	os.Exit(m.Run())
}

type fatal struct{}

func (fatal) Helper() {}

func (fatal) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// writeForEver delivers everything in batches of random sizes, from the beginning, as one does whose checkpoint never moved.
func writeForEver(root string, f Format, seed string) {
	n, err := strconv.ParseUint(seed, 10, 64)
	if err != nil {
		panic(err)
	}
	random := rand.New(rand.NewPCG(n, 0))
	all := overMidnight(fatal{}, killed)
	s := newSink(fatal{}, root, f)
	fmt.Println("ready")
	for len(all) > 0 {
		size := min(len(all), 1+random.IntN(30))
		deliver(fatal{}, s, all[:size])
		all = all[size:]
		fmt.Println("wrote")
	}
}

func TestDeliver_KilledAtAnyMomentWritesEveryPositionOnce(t *testing.T) {
	all := overMidnight(t, killed)
	for _, f := range bothFormats {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			halves, partial := 0, 0
			for range 8 {
				died := writeAndKill(t, root, f, rand.Uint64())
				got, others := written(t, root, f) // whatever is seen can be read, whole
				halves += len(others)
				if n := count(got); died && n > 0 && n < killed {
					partial++
				}
			}
			deliver(t, newSink(t, root, f), all)
			once(t, root, f, all)
			t.Logf("%d times killed in the middle, %d unfinished files left behind", partial, halves)
			if partial == 0 {
				t.Error("no writer was killed while it wrote: the test shows nothing")
			}
		})
	}
}

func count[K comparable, V any](m map[K][]V) int {
	n := 0
	for _, all := range m {
		n += len(all)
	}
	return n
}

// writeAndKill runs a writer for a random while and tells whether it was killed before it was done.
func writeAndKill(t *testing.T, root string, f Format, seed uint64) bool {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "MERIDIAN_TEST_FILES="+root, "MERIDIAN_TEST_FORMAT="+string(f), fmt.Sprint("MERIDIAN_TEST_SEED=", seed))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for range 1 + rand.IntN(10) { // calls that it has made, and then some part of the next
		if !lines.Scan() {
			break
		}
	}
	time.Sleep(rand.N(4 * time.Millisecond)) // the moment of the kill is what is random
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	return cmd.Wait() != nil
}

// A reader that looks all the time sees whole files alone.
func TestDeliver_NoHalfFileIsSeen(t *testing.T) {
	all := overMidnight(t, 600)
	for _, f := range bothFormats {
		t.Run(string(f), func(t *testing.T) {
			root := t.TempDir()
			done := make(chan error, 1)
			go func() {
				s := newSink(t, root, f)
				for from := 0; from < len(all); from += 20 {
					if _, err := s.Deliver(t.Context(), all[from:from+20]); err != nil {
						done <- err
						return
					}
				}
				done <- nil
			}()
			looks := 0
			for running := true; running; looks++ {
				select {
				case err := <-done:
					if err != nil {
						t.Fatal(err)
					}
					running = false
				default:
				}
				if err := everyFileIsWhole(root, f); err != nil {
					t.Fatal(err)
				}
			}
			once(t, root, f, all)
			if looks < 5 {
				t.Errorf("looked %d times: the test shows nothing", looks)
			}
		})
	}
}

// everyFileIsWhole compares what is in each file with what its name says.
func everyFileIsWhole(root string, f Format) error {
	base, err := os.OpenRoot(root)
	if err != nil {
		return err
	}
	defer base.Close()
	for _, date := range []string{"2025-03-10", "2025-03-11"} {
		dir := "out/home=eu/date=" + date
		d, err := base.Open(dir)
		if err != nil {
			continue // not there yet
		}
		entries, err := d.ReadDir(-1)
		_ = d.Close()
		if err != nil {
			return err
		}
		for _, entry := range entries {
			has, ok := parseName(entry.Name(), f)
			if !ok {
				continue
			}
			positions, err := readPositions(base, dir+"/"+entry.Name(), f)
			if err != nil {
				return err
			}
			if want := int(has.last-has.first) + 1; len(positions) != want {
				return fmt.Errorf("%s has %d of %d events", entry.Name(), len(positions), want)
			}
		}
	}
	return nil
}
