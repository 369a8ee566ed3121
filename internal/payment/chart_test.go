package payment_test

import (
	"strings"
	"testing"

	. "github.com/meridian-ledger/meridian/internal/payment"
)

func TestDefaultChart_IsProved(t *testing.T) {
	if _, err := ParseChart("default.yaml", DefaultChart); err != nil {
		t.Fatal(err)
	}
}

func TestParseChart_NamesThePlaceAndTheRemedy(t *testing.T) {
	for name, row := range map[string]struct{ from, to, want string }{
		"a line that is missing":          {"        - {credit: psp_clearing, amount: total captured}\n", "", "settle of deposit does not balance: credits less debits are -1 × total captured"},
		"a posting that is missing":       {"      park:\n        - {debit: psp_clearing, amount: amount}\n        - {credit: player_pending, amount: amount}\n", "", "rules of deposit post park; add it"},
		"a posting nobody asks for":       {"      park:", "      parks:", "no rule of deposit posts parks; its rules post capture, park, settle, release, return"},
		"a remainder that forgets":        {"net, of: total captured, less: [fee]", "net, of: total captured, percent: 98.6", "settle of deposit does not balance"},
		"a remainder of something else":   {"revenue, of: commission, less: [tax]", "revenue, of: amount, less: [tax]", "less names \"tax\"; name shares of amount that stand before"},
		"a role that is not there":        {"{debit: bank, amount: net}", "{debit: banks, amount: net}", "debit is \"banks\", and there is no such role"},
		"a kind that is missing":          {"  chargeback: #", "  chargebag: #", "there is no kind of payment chargebag"},
		"a parameter that is missing":     {"parameters: {wagering: 10}", "parameters: {wager: 10}", "bonus multiplies by wagering; add it to parameters"},
		"a rounding of its own":           {"half_even", "bankers", "rounding is \"bankers\"; write one of half_even, half_up, down, up"},
		"a percent beyond the whole":      {"percent: 1.4", "percent: 101", "percent is 101; write more than 0 and at most 100"},
		"a line with both sides":          {"{debit: bank, amount: net}", "{debit: bank, credit: bank, amount: net}", "a line is a debit or a credit"},
		"a total that nobody sets":        {"credit: psp_clearing, amount: total captured", "credit: psp_clearing, amount: total stake", "write amount, total and one of authorized captured"},
		"a name with a space":             {"house:bank:{asset}", "house bank {asset}", "account is \"house bank {asset}\""},
		"an undoing that forgets":         {"        - {debit: tax_payable, amount: held tax_payable}\n", "", "waive of commission does not balance"},
		"an undoing on the wrong side":    {"{debit: tax_payable, amount: held tax_payable}", "{credit: tax_payable, amount: held tax_payable}", "waive of commission does not balance"},
		"a field that it does not have":   {"rounding: half_even", "rounding: half_even\nversion: 1", "a chart has no field \"version\""},
		"a held role that is not there":   {"amount: held player_bonus}", "amount: held player_boni}", "an amount is \"held player_boni\""},
		"no role where money waits":       {"  player_pending:\n    account", "  player_waiting:\n    account", "roles has no player_pending, on whose account money waits; add it"},
		"an expiry that nothing takes":    {"  withdrawal:\n", "  withdrawal:\n    expires_after: 24h\n", "no rule of withdrawal is on expire; leave expires_after out"},
		"an expiry that is no time":       {"expires_after: 168h", "expires_after: 7 days", "expires_after is \"7 days\"; write a time of 1m0s to 43920h0m0s"},
		"a share under a name of another": {"{name: net,", "{name: fee,", "fee is taken"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(string(DefaultChart), row.from, row.to, 1)
			if text == string(DefaultChart) {
				t.Fatalf("the default chart has no %q", row.from)
			}
			_, err := ParseChart("c.yaml", []byte(text))
			if err == nil || !strings.Contains(err.Error(), row.want) || !strings.Contains(err.Error(), "c.yaml:") {
				t.Errorf("%v, wanted it to say %q", err, row.want)
			}
		})
	}
}
