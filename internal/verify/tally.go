package verify

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"hash/maphash"
	"maps"
	"math/big"
	"slices"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/money"
)

// A tally finds out whether two sides say the same, in memory that does not grow with what they say.
//
// The journal is stored by transaction and the entries by account, so holding one against the other would take a sort or a join of the
// largest tables of a live system. A tally reads each side in its own order instead. It turns every statement into a number of 256 bits
// by a hash that is keyed with a secret of this run, and adds it up: times its weight, plus for one side and minus for the other,
// modulo 2^256, in the bucket of its subject. Where both sides say the same, every bucket ends at zero. Where they do not, a bucket that
// ends at zero all the same would be a stroke of luck of less than 2^-100 that nobody can prepare, because the key does not exist until
// the run begins: a weight is at most 2^137, so the product of one that is not zero with a random number is zero with less than 2^-119.
//
// What disagrees is found by a second reading of the same snapshot that keeps, word for word, what was said in the buckets that did not
// end at zero. There are so many buckets that this is next to nothing.
type tally struct {
	seed    seed
	sums    []wide
	said    int64                 // statements of the first reading
	wrong   int64                 // buckets that did not end at zero
	keeps   map[uint64]bool       // buckets of the second reading; nil in the first
	dispute map[subject]*evidence // what was said in them
	buffer  []byte
}

const (
	buckets = 1 << 16 // 2 MiB a tally
	keeping = 200_000 // statements that the second reading is meant to keep at most
)

// seed is the secret of one run.
type seed struct {
	key    [32]byte
	bucket maphash.Seed
}

func newSeed() seed {
	s := seed{bucket: maphash.MakeSeed()}
	_, _ = rand.Read(s.key[:]) // never fails; see its documentation
	return s
}

func newTally(s seed) *tally { return &tally{seed: s, sums: make([]wide, buckets)} }

// side is who says something: the journal (or what follows from other rows) tells, the tables of the accounts and holds keep.
type side uint8

const (
	told side = iota
	kept
)

// subject is what a statement is about. Two statements on different subjects never agree.
type subject struct {
	ledger      id.Ledger
	account     id.Account
	transaction id.Transaction
	line        int64
	matter      string
}

// place is where a statement was found, for the person who goes and looks.
type place struct {
	ledger   id.Ledger
	account  id.Account
	sequence int64
}

// evidence is all that was said on one subject.
type evidence struct {
	at   [2]place
	said [2]map[string]*big.Int // words, and how much of them
}

// mismatch is a subject on which the sides differ, and what is left on each after all that they agree on.
type mismatch struct {
	subject
	at         [2]place
	told, kept string      // the words that the other side does not have
	sums       [2]*big.Int // weights of all that was said
}

var one = money.FromInt64(1)

// say takes in a statement. The words have to be the same on both sides, byte for byte; a sum is a statement without words whose weight
// is the amount.
func (t *tally) say(who side, about subject, at place, words []byte, weight money.Amount) {
	if weight.IsZero() {
		return
	}
	t.buffer = about.append(append(t.buffer[:0], t.seed.key[:]...))
	bucket := maphash.Bytes(t.seed.bucket, t.buffer) % buckets // of the subject alone: what the sides say on it meets in one bucket
	if t.keeps != nil {
		if t.keeps[bucket] {
			t.keep(who, about, at, words, weight)
		}
		return
	}
	t.said++
	t.buffer = append(t.buffer, words...)
	term := wideOf(sha256.Sum256(t.buffer))
	if weight != one {
		term = term.times(weight)
	}
	if (who == told) == (weight.Sign() > 0) {
		t.sums[bucket].add(term)
	} else {
		t.sums[bucket].sub(term)
	}
}

// append writes each part with its length, so that different subjects never read the same.
func (s subject) append(b []byte) []byte {
	for _, text := range [...]string{string(s.ledger), string(s.account), s.matter} {
		b = binary.AppendUvarint(b, uint64(len(text)))
		b = append(b, text...)
	}
	b = append(b, s.transaction[:]...)
	return binary.BigEndian.AppendUint64(b, uint64(s.line)) //nolint:gosec // only to tell lines apart
}

// suspect ends the first reading and tells whether there is need for a second.
func (t *tally) suspect(most int) bool {
	t.keeps, t.dispute = map[uint64]bool{}, map[subject]*evidence{}
	affordable := max(1, keeping*buckets/max(1, t.said))
	for bucket, sum := range t.sums {
		if sum == (wide{}) {
			continue
		}
		t.wrong++
		if len(t.keeps) < most && int64(len(t.keeps)) < affordable {
			t.keeps[uint64(bucket)] = true //nolint:gosec // an index
		}
	}
	return t.wrong > 0
}

// unsearched returns how many buckets did not end at zero and were not looked into: there is at least one mismatch in each.
func (t *tally) unsearched() int64 { return t.wrong - int64(len(t.keeps)) }

func (t *tally) keep(who side, about subject, at place, words []byte, weight money.Amount) {
	e, known := t.dispute[about]
	if !known {
		e = &evidence{said: [2]map[string]*big.Int{{}, {}}}
		t.dispute[about] = e
	}
	e.at[who] = at
	sum, known := e.said[who][string(words)]
	if !known {
		sum = new(big.Int)
		e.said[who][string(words)] = sum
	}
	plus(sum, weight)
}

// mismatches returns what the second reading found, in a fixed order.
func (t *tally) mismatches() []mismatch {
	var found []mismatch
	for about, e := range t.dispute {
		if m, differs := e.judge(); differs {
			m.subject = about
			found = append(found, m)
		}
	}
	slices.SortFunc(found, func(a, b mismatch) int {
		return cmp.Or(cmp.Compare(a.ledger, b.ledger), cmp.Compare(a.account, b.account),
			slices.Compare(a.transaction[:], b.transaction[:]), cmp.Compare(a.line, b.line), cmp.Compare(a.matter, b.matter))
	})
	return found
}

func (e *evidence) judge() (m mismatch, differs bool) {
	m = mismatch{at: e.at, sums: [2]*big.Int{{}, {}}}
	words := slices.Sorted(maps.Keys(e.said[told]))
	for w := range e.said[kept] {
		if _, both := e.said[told][w]; !both {
			words = append(words, w)
		}
	}
	for _, w := range words {
		left, right := weightOf(e.said[told][w]), weightOf(e.said[kept][w])
		m.sums[told].Add(m.sums[told], left)
		m.sums[kept].Add(m.sums[kept], right)
		switch left.Cmp(right) {
		case 1:
			m.told, differs = w, true
		case -1:
			m.kept, differs = w, true
		}
	}
	return m, differs
}

func weightOf(n *big.Int) *big.Int {
	if n == nil {
		return new(big.Int)
	}
	return n
}
