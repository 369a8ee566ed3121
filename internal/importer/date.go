package importer

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	_ "time/tzdata" // a mapping means the same on a machine without a zone database
)

// dateRule reads the effective time of a row. The format has the letters of strftime, because a format of our own choosing would have to
// be learned, and the layouts of package time decide for themselves which century two digits mean.
type dateRule struct {
	value   template
	format  dateFormat
	century int // the first year of the hundred that two digits stand for
	zone    *time.Location
}

// dateFormat is literals and directives in turn.
type dateFormat []dateItem

type dateItem struct {
	literal string
	letter  byte // 0: the literal
	short   bool // %-d: one digit is enough
}

const dateHelp = "%Y year, %y year of two digits, %m month, %b Jan to Dec, %d day, %H hour, %I hour of 12, %p AM or PM, %M minute, %S second, " +
	"%f fraction of a second, %z offset, %s Unix seconds, %% the character; %-d, %-m, %-H, %-I take one digit too"

// parseDateFormat reads the format and checks that it can tell a day.
func parseDateFormat(s string) (dateFormat, error) {
	var f dateFormat
	for s != "" {
		before, rest, found := strings.Cut(s, "%")
		if before != "" {
			f = append(f, dateItem{literal: before})
		}
		if !found {
			break
		}
		item := dateItem{}
		if rest, item.short = strings.CutPrefix(rest, "-"); rest == "" {
			return nil, fmt.Errorf("it ends in the middle of a directive; the directives are %s", dateHelp)
		}
		item.letter, s = rest[0], rest[1:]
		if item.letter == '%' && !item.short {
			f = append(f, dateItem{literal: "%"})
			continue
		}
		if !strings.ContainsRune("YymdbHIpMSfzs", rune(item.letter)) || item.short && !strings.ContainsRune("mdHI", rune(item.letter)) {
			return nil, fmt.Errorf("%%%c is no directive; the directives are %s", item.letter, dateHelp)
		}
		if f.has(item.letter) {
			return nil, fmt.Errorf("%%%c is there twice; name each part of a date once", item.letter)
		}
		f = append(f, item)
	}
	day := (f.has('Y') || f.has('y')) && (f.has('m') || f.has('b')) && f.has('d')
	if !day && !f.has('s') {
		return nil, fmt.Errorf("it tells no day; name a year (%%Y or %%y), a month (%%m or %%b) and a day (%%d), or Unix seconds (%%s)")
	}
	if f.has('I') != f.has('p') {
		return nil, fmt.Errorf("%%I and %%p belong together; use %%H for an hour of 24")
	}
	return f, nil
}

func (f dateFormat) has(letter byte) bool {
	for _, item := range f {
		if item.letter == letter {
			return true
		}
	}
	return false
}

// moment is what the directives of one text said.
type moment struct {
	year, month, day, hour, minute, second, nanosecond int
	afternoon, offset                                  int // in hours, in seconds
	unix                                               int64
}

// parse reads a text; all of it has to fit. The result is in UTC and of whole microseconds, which is what the engines store.
func (d dateRule) parse(s string) (time.Time, error) {
	var m moment
	rest := s
	for _, item := range d.format {
		var err error
		if rest, err = d.item(item, rest, &m); err != nil {
			return time.Time{}, fmt.Errorf("%q %w", clip(s), err)
		}
	}
	if rest != "" {
		return time.Time{}, fmt.Errorf("%q has %q too much at its end", clip(s), clip(rest))
	}
	t, err := d.time(m)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q %w", clip(s), err)
	}
	t = t.Truncate(time.Microsecond)
	if t.Year() < 1 || t.Year() > 9999 { // JSON and SQL have no other years
		return time.Time{}, fmt.Errorf("%q is not between the years 1 and 9999", clip(s))
	}
	return t, nil
}

// item reads one directive off the front of a text and returns the rest.
func (d dateRule) item(item dateItem, s string, m *moment) (string, error) {
	least := 2
	if item.short {
		least = 1
	}
	switch item.letter {
	case 0:
		rest, found := strings.CutPrefix(s, item.literal)
		if !found {
			return "", fmt.Errorf("has no %q where the format has it", item.literal)
		}
		return rest, nil
	case 'Y':
		return digits(s, "year", 4, 4, &m.year)
	case 'y':
		var yy int
		rest, err := digits(s, "year", 2, 2, &yy)
		m.year = d.century + (yy-d.century%100+100)%100
		return rest, err
	case 'm':
		return digits(s, "month", least, 2, &m.month)
	case 'b':
		return monthName(s, &m.month)
	case 'd':
		return digits(s, "day", least, 2, &m.day)
	case 'H', 'I':
		rest, err := digits(s, "hour", least, 2, &m.hour)
		if item.letter == 'I' && err == nil {
			if m.hour < 1 || m.hour > 12 {
				return "", fmt.Errorf("has the hour %d where the format has one of 12", m.hour)
			}
			m.hour %= 12
		}
		return rest, err
	case 'p':
		return halfOfDay(s, &m.afternoon)
	case 'M':
		return digits(s, "minute", 2, 2, &m.minute)
	case 'S':
		return digits(s, "second", 2, 2, &m.second)
	case 'f':
		n := len(s) - len(strings.TrimLeft(s, "0123456789"))
		rest, err := digits(s, "fraction", 1, 9, &m.nanosecond)
		for ; err == nil && n < 9; n++ {
			m.nanosecond *= 10
		}
		return rest, err
	case 'z':
		return offset(s, &m.offset)
	default: // 's'
		var seconds int
		rest, err := digits(s, "number of seconds", 1, 11, &seconds)
		m.unix = int64(seconds)
		return rest, err
	}
}

func digits(s, what string, least, most int, into *int) (string, error) {
	n := 0
	for n < len(s) && n < most && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	if n < least {
		return "", fmt.Errorf("has no %s of %d digits at %q", what, least, clip(s))
	}
	*into, _ = strconv.Atoi(s[:n]) // at most 11 digits
	return s[n:], nil
}

func monthName(s string, into *int) (string, error) {
	for m := time.January; m <= time.December; m++ {
		if name := m.String()[:3]; len(s) >= 3 && strings.EqualFold(s[:3], name) {
			*into = int(m)
			return s[3:], nil
		}
	}
	return "", fmt.Errorf("has no month Jan to Dec at %q", clip(s))
}

func halfOfDay(s string, into *int) (string, error) {
	if len(s) >= 2 && strings.EqualFold(s[:2], "AM") {
		return s[2:], nil
	}
	if len(s) >= 2 && strings.EqualFold(s[:2], "PM") {
		*into = 12
		return s[2:], nil
	}
	return "", fmt.Errorf("has no AM or PM at %q", clip(s))
}

// offset reads Z, +hh, +hhmm or +hh:mm.
func offset(s string, into *int) (string, error) {
	if rest, utc := strings.CutPrefix(s, "Z"); utc {
		return rest, nil
	}
	if s == "" || s[0] != '+' && s[0] != '-' {
		return "", fmt.Errorf("has no offset such as Z or +02:00 at %q", clip(s))
	}
	var hours, minutes int
	rest, err := digits(s[1:], "offset", 2, 2, &hours)
	if err != nil {
		return "", err
	}
	if tail, colon := strings.CutPrefix(rest, ":"); colon || rest != "" && rest[0] >= '0' && rest[0] <= '9' {
		if rest, err = digits(tail, "offset", 2, 2, &minutes); err != nil {
			return "", err
		}
	}
	if hours > 15 || minutes > 59 {
		return "", fmt.Errorf("has an offset beyond 15 hours")
	}
	*into = hours*3600 + minutes*60
	if s[0] == '-' {
		*into = -*into
	}
	return rest, nil
}

// time finds the instant at which clocks of the zone showed m. Where they showed it twice, it is the first time.
func (d dateRule) time(m moment) (time.Time, error) {
	if d.format.has('s') {
		return time.Unix(m.unix, int64(m.nanosecond)).UTC(), nil
	}
	m.hour += m.afternoon
	wall := time.Date(m.year, time.Month(m.month), m.day, m.hour, m.minute, m.second, m.nanosecond, time.UTC)
	if wall.Year() != m.year || int(wall.Month()) != m.month || wall.Day() != m.day || wall.Hour() != m.hour || wall.Minute() != m.minute || wall.Second() != m.second {
		return time.Time{}, fmt.Errorf("is no day or time that exists")
	}
	if d.format.has('z') {
		return wall.Add(-time.Duration(m.offset) * time.Second), nil
	}
	const day = 24 * time.Hour
	for _, around := range []time.Duration{-day, day} { // the offset before a change of clocks, then the one after it
		_, seconds := wall.Add(around).In(d.zone).Zone()
		t := wall.Add(-time.Duration(seconds) * time.Second)
		if _, there := t.In(d.zone).Zone(); there == seconds {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("was skipped by the clocks of %s", d.zone)
}
