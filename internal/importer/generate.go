package importer

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"time"
)

// BerkaHeader is the first line of the Berka file and of what Generate writes.
const BerkaHeader = `"trans_id";"account_id";"date";"type";"operation";"amount";"balance";"k_symbol";"bank";"account"`

// habit is a kind of row, how many there are among 39,333 of the real file, and from where to where its amounts go, in crowns.
type habit struct {
	weight          int
	kind, operation string
	symbol          string
	least, most     int64
	partner         bool // has a bank and an account there
}

// habits are the kinds of rows in the real file, with its odd spellings.
var habits = []habit{
	{10240, "VYDAJ", "VYBER", "", 100, 20_000, false},
	{7817, "PRIJEM", "VKLAD", "", 200, 30_000, false},
	{7515, "PRIJEM", "", "UROK", 1, 300, false},
	{4363, "VYDAJ", "VYBER", "SLUZBY", 14, 15, false},
	{2910, "VYDAJ", "PREVOD NA UCET", "SIPO", 500, 9_000, true},
	{1589, "PRIJEM", "PREVOD Z UCTU", "", 3_000, 30_000, true},
	{1465, "PRIJEM", "PREVOD Z UCTU", "DUCHOD", 3_000, 8_000, true},
	{1342, "VYDAJ", "PREVOD NA UCET", " ", 200, 4_000, true},
	{1078, "VYBER", "VYBER", "", 500, 20_000, false},
	{537, "VYDAJ", "PREVOD NA UCET", "POJISTNE", 100, 3_000, true},
	{309, "VYDAJ", "PREVOD NA UCET", "", 300, 3_000, true},
	{102, "VYDAJ", "PREVOD NA UCET", "UVER", 1_000, 8_000, true},
	{55, "VYDAJ", "VYBER", "SANKC. UROK", 1, 15, false},
	{11, "VYDAJ", "VYBER KARTOU", "", 500, 4_000, false},
}

const (
	rowsPerAccount = 40 // 39,333 rows of 989 accounts
	berkaDays      = 455
	partnerBanks   = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// Generate writes a file of the same shape as the Berka transactions: the same columns, kinds of rows, partner banks and days, in the order
// of the days, with ids that occur once and balances that are running sums. An account begins with a cash deposit and may go below zero.
// The same seed makes the same file.
func Generate(w io.Writer, rows int, seed uint64) error {
	random := rand.New(rand.NewPCG(seed, 0))
	out := bufio.NewWriter(w)
	fmt.Fprintln(out, BerkaHeader)
	total := 0
	for _, h := range habits {
		total += h.weight
	}
	balances := make([]int64, max(1, rows/rowsPerAccount)) // in hellers
	opened := make([]bool, len(balances))
	first := time.Date(1993, time.January, 1, 0, 0, 0, 0, time.UTC)
	for i := range rows {
		account := random.IntN(len(balances))
		h := habits[1] // a deposit
		if opened[account] {
			h = pick(random.IntN(total))
		}
		opened[account] = true
		amount := h.least*100 + random.Int64N((h.most-h.least)*100+1)
		if h.kind == "PRIJEM" {
			balances[account] += amount
		} else {
			balances[account] -= amount
		}
		partner := ";" // neither a bank nor an account there
		if h.partner {
			bank := 2 * random.IntN(len(partnerBanks)/2)
			partner = fmt.Sprintf("%q;\"%d\"", partnerBanks[bank:bank+2], 10_000_000+random.IntN(89_999_999))
		}
		day := first.AddDate(0, 0, int(int64(i)*berkaDays/int64(rows)))
		_, err := fmt.Fprintf(out, "%d;%d;%s;%q;%q;%s;%s;%q;%s\n", i+1, account+1, day.Format("060102"), h.kind, h.operation,
			crowns(amount), crowns(balances[account]), h.symbol, partner)
		if err != nil {
			return fmt.Errorf("write row %d: %w", i+1, err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write rows: %w", err)
	}
	return nil
}

func pick(n int) habit {
	for _, h := range habits {
		if n < h.weight {
			return h
		}
		n -= h.weight
	}
	return habits[0]
}

func crowns(hellers int64) string {
	sign := ""
	if hellers < 0 {
		sign, hellers = "-", -hellers
	}
	return fmt.Sprintf("%s%d.%02d", sign, hellers/100, hellers%100)
}
