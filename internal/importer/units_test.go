package importer

import (
	"strings"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

func TestTemplate_RendersColumnsAndFunctions(t *testing.T) {
	fields := []string{" Café  Noir ", "", "x"}
	column := func(name string) int { return map[string]int{"name": 0, "none": 1, "x": 2}[name] }
	v := values{fields: fields, at: []int{0, 1, 2}}
	for _, c := range []struct{ template, want string }{
		{"plain", "plain"},
		{"{x}", "x"},
		{"a:{x}:{x}", "a:x:x"},
		{"{{{x}}}", "{x}"},
		{"{name}", "Café  Noir"},
		{"{ name | upper }", "CAFÉ  NOIR"},
		{"{name|lower}", "café  noir"},
		{"{name|slug}", "caf-noir"},
		{"{none}", ""},
		{"{none|default:a:b}", "a:b"},
		{"{x|default:y}", "x"},
		{"{name|max:4}", "Caf"},
		{"{name|max:5}", "Café"},
		{"{none|default:No One|slug}", "no-one"},
	} {
		got, err := parseTemplate(c.template, column)
		if err != nil || got.render(v) != c.want {
			t.Errorf("%s is %q, %v; want %q", c.template, got.render(v), err, c.want)
		}
	}
	one, _ := parseTemplate("{name}", column)
	if got := one.line(v); got != "Café Noir" {
		t.Errorf("as a line %q", got)
	}
	for bad, want := range map[string]string{
		"{x": "is never closed", "}": "closes nothing", "{}": "names no column", "{ }": "names no column", "{x|loud}": `no function "loud"`,
		"{x|default:}": "no function", "{x|max:0}": "is no length", "{x|max:9999}": "is no length", "{x{x}": "is never closed", "{x|lower:2}": "no function",
	} {
		if _, err := parseTemplate(bad, column); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", bad, err, want)
		}
	}
}

func TestDate_ReadsWhatTheFormatSaysAndNothingElse(t *testing.T) {
	for _, c := range []struct {
		format  string
		century int
		zone    string
		text    string
		want    string // RFC 3339, or a part of the error
	}{
		{"%y%m%d", 1900, "UTC", "930101", "1993-01-01T00:00:00Z"},
		{"%y%m%d", 2000, "UTC", "930101", "2093-01-01T00:00:00Z"},
		{"%y%m%d", 1970, "UTC", "700101", "1970-01-01T00:00:00Z"},
		{"%y%m%d", 1970, "UTC", "690101", "2069-01-01T00:00:00Z"},
		{"%d.%m.%Y", 0, "Europe/Prague", "31.01.1993", "1993-01-30T23:00:00Z"},
		{"%-d.%-m.%Y", 0, "UTC", "1.2.2024", "2024-02-01T00:00:00Z"},
		{"%d %b %Y", 0, "UTC", "05 mar 2024", "2024-03-05T00:00:00Z"},
		{"%Y-%m-%dT%H:%M:%S%z", 0, "UTC", "2024-05-01T12:00:00+02:00", "2024-05-01T10:00:00Z"},
		{"%Y-%m-%dT%H:%M:%S%z", 0, "UTC", "2024-05-01T12:00:00-0530", "2024-05-01T17:30:00Z"},
		{"%Y-%m-%dT%H:%M:%S%z", 0, "UTC", "2024-05-01T12:00:00+02", "2024-05-01T10:00:00Z"},
		{"%Y-%m-%dT%H:%M:%S.%f%z", 0, "UTC", "2024-05-01T12:00:00.25Z", "2024-05-01T12:00:00.25Z"},
		{"%Y-%m-%dT%H:%M:%S.%f%z", 0, "UTC", "2024-05-01T12:00:00.123456789Z", "2024-05-01T12:00:00.123456Z"},
		{"%m/%d/%Y %-I:%M %p", 0, "America/New_York", "05/01/2024 1:05 PM", "2024-05-01T17:05:00Z"},
		{"%m/%d/%Y %I:%M %p", 0, "UTC", "05/01/2024 12:05 am", "2024-05-01T00:05:00Z"},
		{"%s", 0, "UTC", "1714557600", "2024-05-01T10:00:00Z"},
		{"100%% %Y%m%d", 0, "UTC", "100% 20240501", "2024-05-01T00:00:00Z"},
		{"%Y-%m-%d %H:%M", 0, "Europe/Prague", "2024-10-27 02:30", "2024-10-27T00:30:00Z"}, // twice: the first
		{"%Y-%m-%d %H:%M", 0, "Europe/Prague", "2024-03-31 02:30", "skipped by the clocks of Europe/Prague"},
		{"%Y-%m-%d", 0, "UTC", "2023-02-29", "no day or time that exists"},
		{"%Y-%m-%d", 0, "UTC", "2024-13-01", "no day or time that exists"},
		{"%Y-%m-%d", 0, "UTC", "2024-00-01", "no day or time that exists"},
		{"%Y-%m-%d", 0, "UTC", "0000-01-01", "not between the years"},
		{"%Y-%m-%d %H:%M", 0, "UTC", "2024-01-01 24:00", "no day or time that exists"},
		{"%Y-%m-%d", 0, "UTC", "2024-1-01", "no month of 2 digits"},
		{"%Y-%m-%d", 0, "UTC", "2024-01-011", "too much at its end"},
		{"%Y-%m-%d", 0, "UTC", "2024/01/01", `has no "-"`},
		{"%Y-%m-%d", 0, "UTC", "", "no year"},
		{"%d %b %Y", 0, "UTC", "05 Mai 2024", "no month Jan to Dec"},
		{"%Y-%m-%d %I %p", 0, "UTC", "2024-01-01 13 PM", "the hour 13"},
		{"%Y-%m-%d %I %p", 0, "UTC", "2024-01-01 11 XM", "no AM or PM"},
		{"%Y-%m-%d%z", 0, "UTC", "2024-01-01+99", "beyond 15 hours"},
		{"%Y-%m-%d %H%z", 0, "UTC", "9999-12-31 23-15:00", "not between the years"},
	} {
		zone, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		format, err := parseDateFormat(c.format)
		if err != nil {
			t.Fatalf("%s: %v", c.format, err)
		}
		got, err := dateRule{format: format, century: c.century, zone: zone}.parse(c.text)
		if err != nil && !strings.Contains(err.Error(), c.want) || err == nil && got.Format(time.RFC3339Nano) != c.want {
			t.Errorf("%s %s is %s, %v; want %s", c.format, c.text, got.Format(time.RFC3339Nano), err, c.want)
		}
	}
	for bad, want := range map[string]string{
		"": "tells no day", "%Y-%m": "tells no day", "%Q": "%Q is no directive", "%Y%m%d%": "in the middle", "%Y%Y%m%d": "twice",
		"%-Y%m%d": "no directive", "%Y%m%d %I": "belong together", "02.01.2006": "tells no day",
	} {
		if _, err := parseDateFormat(bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("format %q: %v, want %q", bad, err, want)
		}
	}
}

func TestAmount_ReadsOneWayOfWritingAndNoOther(t *testing.T) {
	english, german := amountRule{decimal: '.', thousands: ','}, amountRule{decimal: ',', thousands: '.'}
	plain, french, cents := amountRule{decimal: '.'}, amountRule{decimal: ',', thousands: ' '}, amountRule{decimal: '.', minor: true}
	for _, c := range []struct {
		rule amountRule
		text string
		want string // minor units, or a part of the error
	}{
		{plain, "12.34", "1234"},
		{plain, "12", "1200"},
		{plain, "12.3", "1230"},
		{plain, "12.3400", "1234"},
		{plain, "-12.34", "-1234"},
		{plain, "\u221212.34", "-1234"},
		{plain, "+12.34", "1234"},
		{plain, "0.00", "0"},
		{plain, "12.345", "more than the 2 decimal places of CZK"},
		{plain, "1,234.00", "no number"},
		{plain, "--5", "no number"},
		{plain, "+-5", "no number"},
		{plain, "", "no number"},
		{plain, "-", "no number"},
		{plain, ".5", "no number"},
		{plain, "5.", "no number"},
		{plain, "1e3", "no number"},
		{plain, "0x10", "no number"},
		{plain, "٣", "no number"},
		{plain, strings.Repeat("9", 36), strings.Repeat("9", 36) + "00"},
		{plain, strings.Repeat("9", 37), "more than 38 digits"},
		{english, "1,234,567.89", "123456789"},
		{english, "1234567.89", "123456789"},
		{english, "1,23", "no group of three digits"},
		{english, "1,2345", "no group of three digits"},
		{english, ",123", "no group of three digits"},
		{english, "1234,567", "no group of three digits"},
		{english, "1.234,56", "no number"},
		{german, "1.234,56", "123456"},
		{german, "1,234.56", "no number"},
		{german, "1.23", "no group of three digits"},
		{french, "1 234,56", "123456"},
		{french, "1\u00a0234,56", "123456"},
		{french, "1\u202f234,56", "123456"},
		{cents, "1234", "1234"},
		{cents, "-1234", "-1234"},
		{cents, "12.34", "no whole number of minor units"},
	} {
		got, err := c.rule.parse(c.text, crown)
		if err == nil && got.String() != c.want || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q is %s, %v; want %s", c.text, got, err, c.want)
		}
	}
}

func TestAmount_OfTwoColumnsIsTheOneThatIsThere(t *testing.T) {
	rule := amountRule{credit: template{{column: 0}}, debit: template{{column: 1}}, decimal: '.'}
	for _, c := range []struct {
		in, out string
		want    money.Amount
		side    ledger.Side
		problem string
	}{
		{"5.00", "", money.FromInt64(500), ledger.Credit, ""},
		{"", "5.00", money.FromInt64(500), ledger.Debit, ""},
		{"0.00", "5.00", money.FromInt64(500), ledger.Debit, ""},
		{"5.00", "0.00", money.FromInt64(500), ledger.Credit, ""},
		{"5.00", "5.00", money.Amount{}, 0, "one of them has to be empty"},
		{"-5.00", "", money.Amount{}, 0, "credit: -5.00 is negative"},
		{"", "-5.00", money.Amount{}, 0, "debit: -5.00 is negative"},
		{"x", "", money.Amount{}, 0, "credit: \"x\" is no number"},
	} {
		got, side, err := rule.either(values{fields: []string{c.in, c.out}, at: []int{0, 1}}, crown)
		if err == nil && (got != c.want || side != c.side || c.problem != "") || err != nil && (c.problem == "" || !strings.Contains(err.Error(), c.problem)) {
			t.Errorf("%q and %q are %s %s, %v", c.in, c.out, side, got, err)
		}
	}
}

func TestRecent_RemembersTheNewestAndStaysBounded(t *testing.T) {
	r := newRecent[int, int](10)
	for i := range 1000 {
		r.put(i, -i)
		if _, found := r.get(0); i < 500 && !found {
			t.Fatalf("0 is asked for all the time, and forgotten after %d", i)
		}
		if len(r.young)+len(r.old) > 20 {
			t.Fatalf("%d and %d keys", len(r.young), len(r.old))
		}
	}
	for i := 991; i < 1000; i++ {
		if v, found := r.get(i); !found || v != -i {
			t.Errorf("%d is forgotten", i)
		}
	}
	if _, found := r.get(700); found {
		t.Error("an old key is still there")
	}
}
