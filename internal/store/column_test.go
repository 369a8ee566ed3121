package store

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

func encoded(t *testing.T, oid uint32, v any) []byte {
	t.Helper()
	b, err := pgtype.NewMap().Encode(oid, pgtype.BinaryFormatCode, v, nil)
	if err != nil {
		t.Fatalf("%T: %v", v, err)
	}
	return b
}

// A column is a plain slice to the database: only what it costs differs.
func TestColumn_TravelsLikeASlice(t *testing.T) {
	some, none, id1 := "some", "", [16]byte{1, 2, 3}
	at := time.Date(2026, 11, 20, 12, 30, 0, 123456000, time.UTC)
	for name, c := range map[string]struct {
		oid          uint32
		ours, theirs any
	}{
		"texts":    {pgtype.TextArrayOID, column[string]{"eu", "", "Zürich"}, []string{"eu", "", "Zürich"}},
		"integers": {pgtype.Int8ArrayOID, column[int64]{0, -1, 1 << 62}, []int64{0, -1, 1 << 62}},
		"instants": {pgtype.TimestamptzArrayOID, column[time.Time]{at, {}}, []time.Time{at, {}}},
		"uuids":    {pgtype.UUIDArrayOID, column[[16]byte]{id1, {}}, [][16]byte{id1, {}}},
		"bytes":    {pgtype.ByteaArrayOID, blobs{{1, 2}, {}}, [][]byte{{1, 2}, {}}},
		"optional": {pgtype.TextArrayOID, sparse[string]{&some, nil, &none}, []*string{&some, nil, &none}},
		"targets":  {pgtype.UUIDArrayOID, sparse[[16]byte]{nil, &id1}, []*[16]byte{nil, &id1}},
		"nothing":  {pgtype.TextArrayOID, column[string]{}, []string{}},
	} {
		if got, want := encoded(t, c.oid, c.ours), encoded(t, c.oid, c.theirs); !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %x\nwant %x", name, got, want)
		}
	}
}

func TestColumn_CostsNoAllocationPerValue(t *testing.T) {
	m, buf := pgtype.NewMap(), make([]byte, 0, 1<<16)
	column := make(column[string], 1000)
	per := testing.AllocsPerRun(10, func() {
		if _, err := m.Encode(pgtype.TextArrayOID, pgtype.BinaryFormatCode, column, buf); err != nil {
			t.Error(err)
		}
	})
	if per > 20 {
		t.Errorf("%.0f allocations for 1,000 values", per)
	}
}

// asMarshalled is the form that replays and the change stream read.
func asMarshalled(t *testing.T, o ledger.Outcome) string {
	t.Helper()
	lines := make([]entryJSON, len(o.Entries))
	for i, e := range o.Entries {
		lines[i] = entryJSON{
			Ledger: e.Ref.Ledger, Account: e.Ref.Account, Sequence: e.Sequence, Amount: e.Amount, Balance: e.Balance,
			PendingDebits: e.PendingDebits, PendingCredits: e.PendingCredits,
		}
		if e.Ref.Ledger == o.Ledger {
			lines[i].Ledger = ""
		}
	}
	b, err := json.Marshal(lines)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestEntriesJSON_IsWhatMarshalWouldWrite(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	amounts := []money.Amount{{}, money.FromInt64(1), money.FromInt64(-250_000), money.MustParse("99999999999999999999999999999999999999")}
	pick := func() money.Amount { return amounts[rng.IntN(len(amounts))] }
	for n := range 200 {
		o := ledger.Outcome{Ledger: "brand-eu"}
		for range n % 5 {
			o.Entries = append(o.Entries, ledger.Entry{
				Ref:      ledger.Ref{Ledger: []id.Ledger{"brand-eu", "brand-us"}[rng.IntN(2)], Account: "user:42/eur@x+y~z=1"},
				Sequence: rng.Int64(), Amount: pick(), Balance: pick(), PendingDebits: pick(), PendingCredits: pick(),
			})
		}
		if got, want := entriesJSON(&o), asMarshalled(t, o); got != want {
			t.Fatalf("\n got %s\nwant %s", got, want)
		}
	}
}
