package importer

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/yamltree"
)

func TestLoadMapping_ReadsEveryMappingThatWeShip(t *testing.T) {
	var all []string
	for _, pattern := range []string{"../../examples/*.yaml", "testdata/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, files...)
	}
	if len(all) < 4 {
		t.Fatalf("only %v", all)
	}
	for _, path := range all {
		if path == "../../examples/subscription.yaml" || path == "../../examples/providers.yaml" { // of other kinds
			continue
		}
		if m := mapping(t, path); m.Name() == "" || path != "../../examples/"+m.Name()+".yaml" && path != "testdata/"+m.Name()+".yaml" {
			t.Errorf("%s has the name %q", path, m.Name())
		}
	}
	if a, constant := berka(t).Asset(); !constant || a != crown {
		t.Errorf("asset %s, %t", a, constant)
	}
	if _, constant := mapping(t, "testdata/psp.yaml").Asset(); constant {
		t.Error("the asset of psp.yaml stands in a column")
	}
	if _, err := LoadMapping("testdata/none.yaml"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestRun_LoadsTheExportsOfOthers(t *testing.T) {
	for _, c := range []struct {
		name     string
		summary  Summary
		balances map[id.Account]string
	}{
		{"german-bank", Summary{Posted: 3}, map[id.Account]string{"giro:de89-3704": "116544", "partner:m-ller-s-hne": "123456", "partner:unknown": "-6912"}},
		{"psp", Summary{Posted: 4, Skipped: 2, Rejected: 1}, map[id.Account]string{
			"merchant:42:eur": "965", "psp:fees:eur": "35", "psp:clearing:eur": "10000", "psp:payouts:eur": "-9000",
			"merchant:42:jpy": "500", "psp:clearing:jpy": "500", "psp:payouts:jpy": "0",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			data, err := os.ReadFile("testdata/" + c.name + ".csv")
			if err != nil {
				t.Fatal(err)
			}
			svc := newShelf(money.Asset{Code: "EUR", Scale: 2}, money.Asset{Code: "JPY"})
			s, report := load(t, svc, mapping(t, "testdata/"+c.name+".yaml"), strings.NewReader(string(data)), Options{})
			if s.Posted != c.summary.Posted || s.Skipped != c.summary.Skipped || s.Rejected != c.summary.Rejected {
				t.Errorf("%+v, %v; want %+v", s, report, c.summary)
			}
			got := svc.balances("")
			for account, want := range c.balances {
				if got[account].String() != want {
					t.Errorf("%s has %s, want %s", account, got[account], want)
				}
			}
			if len(got) != len(c.balances) {
				t.Errorf("accounts %v, want %v", got, c.balances)
			}
		})
	}
}

// TestParseMapping_SaysWhereAndHowToMend changes one place of the shipped mapping and expects one sentence.
func TestParseMapping_SaysWhereAndHowToMend(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"name: berka", "name: Berka 1", `4:7: name is "Berka 1"; write 1 to 32 of a-z 0-9 -, starting with a letter; it is a part of every idempotency key, so keep it`},
		{"name: berka", "nome: berka", `4:1: a mapping has no field "nome"; the fields are name, id, date, amount, asset, account, counter, csv, skip, direction, reason, reference, metadata
4:1: a mapping has no name; add the field name`},
		{"name: berka", "name: berka\nname: again", `5:1: name is there twice, first with the value in line 4; keep one`},
		{`delimiter: ";"`, `delimiter: ";;"`, `7:14: delimiter is ";;"; write one character in quotes, such as ";", or tab`},
		{`delimiter: ";"`, `delimeter: ";"`, `7:3: csv has no field "delimeter"; the fields are delimiter, quotes, comment, skip_lines, columns, encoding`},
		{`delimiter: ";"`, `encoding: windows-1250`, `7:13: encoding is "windows-1250"; only utf-8 is read; convert the file first: iconv -f WINDOWS-1250 -t UTF-8`},
		{`delimiter: ";"`, `quotes: none`, `7:11: quotes is "none"; write strict, or lazy for a file with quotes inside of fields that are not doubled`},
		{`delimiter: ";"`, `skip_lines: -1`, `7:15: skip_lines is -1; write how many lines stand before the header, 0 to 1000`},
		{`delimiter: ";"`, `{delimiter: ";", comment: ";"}`, `7:29: comment and delimiter are the same character; choose two`},
		{`id: "{trans_id}" #`, `id: {trans_id} #`, `9:5: id is a mapping to YAML; put it in quotes: "{trans_id}"`},
		{`id: "{trans_id}" #`, `id: "row" #`, `9:5: id is the same for every row; name a column in it: "{column}"`},
		{`id: "{trans_id}" #`, `id: "{trans_id" #`, `9:5: id: a { is never closed; write {column}, or {{ for the character itself`},
		{`id: "{trans_id}" #`, `id: "{trans_id|hash}" #`, `9:5: id: there is no function "hash"; the functions are lower, upper, slug, default:TEXT and max:N`},
		{`id: "{trans_id}" #`, `id: #`, `9:4: id is empty; write a text in quotes, with columns in braces: "{column}"`},
		{"  century: 1900\n", "", `13:11: %y is a year of two digits; add century: 1900 (93 is 1993), or any first year of a hundred, such as 1970 (69 is 2069)`},
		{"century: 1900", "century: nineteen", `14:12: century is "nineteen"; write the first year of the hundred that two digits stand for, such as 1900 or 1970`},
		{"%y%m%d", "%Y%m%d", `14:12: century is for a format with %y; leave it out`},
		{`"%y%m%d"`, `"060102"`, `13:11: format is "060102"; it tells no day; name a year (%Y or %y), a month (%m or %b) and a day (%d), or Unix seconds (%s)`},
		{`"%y%m%d"`, `"%y%m%d%z"`, `15:13: the format tells the instant by itself; leave timezone out`},
		{"timezone: UTC", "timezone: Prague", `15:13: timezone is "Prague"; write a name such as UTC or Europe/Prague`},
		{"timezone: UTC", "timezone: Local", `15:13: timezone is "Local"; write a name such as UTC or Europe/Prague`},
		{`value: "{amount}"`, `credit: "{amount}"`, `18:3: amount has one column, as value, or two, as credit and debit; write the one or the others`},
		{`decimal: "."`, `decimal: ";"`, `19:12: decimal is ";"; write one of "." or ","`},
		{`decimal: "."`, `thousands: "."`, `19:14: thousands and decimal are the same character; 1.234 could mean two things`},
		{`decimal: "."`, `unit: cents`, `19:9: unit is "cents"; write major (12.34 is twelve and a bit) or minor (1234 is the same in cents)`},
		{"asset: CZK/2", "asset: czk", `20:8: asset is "czk"; write a code and its decimal places, such as CZK/2, or the column that has the code, such as "{currency}"`},
		{"direction:\n  column: type\n  credit: PRIJEM\n  debit: [VYDAJ, VYBER]\n", "", `18:3: nothing says which rows are credits; add direction: {column: type, credit: [IN], debit: [OUT]}, or direction: {positive: credit}`},
		{"  column: type\n", "", `23:3: direction needs column, credit and debit: the column, and its values that credit and that debit the account`},
		{"  column: type\n", "  column: type\n  positive: credit\n", `23:3: direction comes from the sign, as positive, or from a column, with credit and debit; write the one or the other`},
		{"[VYDAJ, VYBER]", "[VYDAJ, PRIJEM]", `25:10: "PRIJEM" is a credit and a debit; keep it on one side`},
		{"column: type", `column: "{type}"`, `23:11: column is "{type}"; write the name of a column, without braces`},
		{`"berka:{account_id}"`, `"berka:{account_id"`, `28:7: account.id: a { is never closed; write {column}, or {{ for the character itself`},
		{"  normal: credit\n  metadata:", "  normal: liability\n  metadata:", `29:11: normal is "liability"; write debit or credit`},
		{"  normal: credit\n  metadata:", "  normal: credit\n  floor: 1,000\n  metadata:", `30:10: floor is "1,000"; write an amount of the asset with a decimal point, such as 0 or -500.00`},
		{"  normal: credit\n  metadata:", "  normal: credit\n  when: {a: b}\n  metadata:", `30:3: account has no field "when"; the fields are id, normal, floor, ceiling, metadata`},
		{"  - when: {k_symbol: UROK}\n    id", "  - id", `36:5: a rule without when comes before this one and takes every row; move it to the end`},
		{"{k_symbol: UROK}\n", "UROK\n", `34:11: when is "UROK"; write columns and their values: {type: [FEE, TAX]}, "" for an empty one, "*" for any other`},
		{"{k_symbol: UROK}\n", "{k_symbol: }\n", `34:21: when k_symbol is empty; write a value or a list of values, the empty one as ""`},
		{"  - {use: transfer}\n", "  - {use: transfer}\n  - {use: again}\n", `66:5: a rule without when comes before this one and takes every row; move it to the end`},
		{"  - {use: transfer}\n", "  - {say: transfer}\n", `65:5: reason has no use; add the field use
65:6: reason has no field "say"; the fields are use, when`},
		{`operation: "{operation}"`, `operation: &anchor x`, `70:14: metadata operation is an anchor, alias or tag; write a text in quotes, with columns in braces: "{column}"`},
		{`partner_bank: "{bank}"`, `operation: "{bank}"`, `71:3: metadata "operation" is twice there, too long or one too many; write up to 64 names of up to 64 characters, each once`},
		{"name: berka", "name: [berka", `6:1: this is not YAML: ',' or ']' must be specified`},
		{"name: berka", "--- {}\n---\nname: berka", `6:1: a second document starts here; keep one mapping in a file`},
	} {
		text := strings.Replace(berkaYAML(t), c.old, c.new, 1)
		if text == berkaYAML(t) {
			t.Errorf("%q is not in the mapping", c.old)
			continue
		}
		_, err := ParseMapping("m.yaml", []byte(text))
		want := "m.yaml:" + strings.ReplaceAll(c.want, "\n", "\nm.yaml:")
		if err == nil || err.Error() != want {
			t.Errorf("%s -> %s\n got %v\nwant %s", c.old, c.new, err, want)
		}
	}
	for text, want := range map[string]string{
		"":                                       "m.yaml:1:1: the file is empty; write name, id, date, amount, asset, account and counter",
		"# nothing":                              "m.yaml:1:1: the file is empty; write name, id, date, amount, asset, account and counter",
		strings.Repeat(" ", yamltree.MaxBytes+1): "m.yaml:1:1: the file is too large; a mapping has at most 16384 bytes",
	} {
		if _, err := ParseMapping("m.yaml", []byte(text)); err == nil || err.Error() != want {
			t.Errorf("%.20q: %v, want %s", text, err, want)
		}
	}
}

func TestParseMapping_NamesAllThatIsWrongAtOnce(t *testing.T) {
	text := strings.NewReplacer("asset: CZK/2", "asset: 5", "%y%m%d", "%q", "normal: debit", "normal: up").Replace(berkaYAML(t))
	_, err := ParseMapping("m.yaml", []byte(text))
	if err == nil || strings.Count(err.Error(), "\n") != 5 {
		t.Errorf("want six lines:\n%v", err)
	}
}

// FuzzMapping reads whatever it is given. A mapping that is taken can be used on a file of its columns.
func FuzzMapping(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range append(files, "../../examples/berka.yaml") {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data), "1,2,3")
	}
	f.Add("name: x\nid: \"{a}\"\ndate: {value: \"{b}\", format: \"%s\"}\nasset: EUR/2\namount: {value: \"{c}\"}\ndirection: {positive: credit}\naccount: {id: \"x:{a}\", normal: credit}\ncounter: [{id: y, normal: debit}]\n", "1,1714557600,5")
	f.Fuzz(func(t *testing.T, text, row string) {
		m, err := ParseMapping("m.yaml", []byte(text))
		if err != nil {
			for _, line := range strings.Split(err.Error(), "\n") {
				if !strings.HasPrefix(line, "m.yaml:") && !strings.Contains(err.Error(), "this is not YAML") {
					t.Fatalf("no place in %q", line)
				}
			}
			return
		}
		header := make([]string, 0, len(m.columns))
		for _, c := range m.columns {
			header = append(header, c.name)
		}
		at, err := m.bind(header)
		if err != nil {
			t.Fatalf("its own columns %q: %v", header, err)
		}
		fields := append(strings.Split(row, ","), make([]string, len(header))...)
		c := composer{Mapping: m, ledger: newShelf(money.Asset{Code: "EUR", Scale: 2}).books, at: at}
		done, err := c.compose(fields, time.Now())
		if err != nil {
			return
		}
		if err := done.command.Validate(time.Now()); err != nil {
			t.Fatalf("%+v: %v", done.command, err)
		}
		done.command.Canonical() // panics on a time that JSON does not have
	})
}
