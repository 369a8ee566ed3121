package statement

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/recon"
)

// The versions of ISO 20022 camt.053 that are read: between them the status moved into an element of its own, and transaction details got an
// amount of their own.
const (
	camtSpace = "urn:iso:std:iso:20022:tech:xsd:camt.053.001."
	camt02    = camtSpace + "02"
	camt08    = camtSpace + "08"
)

// maxElement bounds what one entry, less its details, or one of its details may take, in bytes of the file.
const maxElement = 1 << 20

// CamtReference says which element of a camt.053 is the provider's reference. Where it is absent, or says NOTPROVIDED, the others follow in the
// order of the constants.
type CamtReference string

// The references.
const (
	EndToEnd    CamtReference = "end_to_end_id"
	Servicer    CamtReference = "account_servicer_reference"
	Transaction CamtReference = "transaction_id"
	Instruction CamtReference = "instruction_id"
)

// CamtReferences are all of them.
var CamtReferences = []CamtReference{EndToEnd, Servicer, Transaction, Instruction}

type camtAmount struct {
	Currency string `xml:"Ccy,attr"`
	Value    string `xml:",chardata"`
}

type camtDate struct {
	Day     string `xml:"Dt"`
	Instant string `xml:"DtTm"`
}

// camtStatus is BOOK itself, or an element Cd with it inside.
type camtStatus struct {
	Text string `xml:",chardata"`
	Code string `xml:"Cd"`
}

type camtDetail struct {
	Refs struct {
		Servicer    string `xml:"AcctSvcrRef"`
		EndToEnd    string `xml:"EndToEndId"`
		Transaction string `xml:"TxId"`
		Instruction string `xml:"InstrId"`
	} `xml:"Refs"`
	Amount    *camtAmount `xml:"Amt"` // version 08
	Direction string      `xml:"CdtDbtInd"`
	Older     *camtAmount `xml:"AmtDtls>TxAmt>Amt"` // version 02
	at        int
}

// camtEntry is an Ntry less its details.
type camtEntry struct {
	at               int
	reference        string
	amount           camtAmount
	direction        string
	reversal         string
	status           camtStatus
	booked, value    camtDate
	servicer         string
	line             recon.Line // what its details share
	details          int
	first            *camtDetail
	detailed, signed money.Amount
}

// camt reads one file.
type camt struct {
	file   string
	prefer CamtReference
	assets []money.Asset
	source *meter
	xml    *xml.Decoder
	yield  func(recon.Line, error) bool
}

// errStop says that whoever ranges over the lines has enough.
var errStop = errors.New("enough")

// CamtLines reads a camt.053.001.02 or 08: a line for each transaction of each entry, or for the entry where it has no details or one. It is held
// against itself: details have to add up to their entry. Errors name file and line; what follows an error of an entry is read, what follows one
// of XML is not. What is held in memory is one entry less its details, and two of those.
func CamtLines(file string, in io.Reader, prefer CamtReference, assets []money.Asset) iter.Seq2[recon.Line, error] {
	return func(yield func(recon.Line, error) bool) {
		source := &meter{in: in}
		c := &camt{file: file, prefer: prefer, assets: assets, source: source, xml: xml.NewDecoder(source), yield: yield}
		err := c.document()
		if err != nil && !errors.Is(err, errStop) {
			at, _ := c.xml.InputPos()
			yield(recon.Line{}, c.broken(at, err))
		}
	}
}

// broken says what is wrong with the file as a whole.
func (c *camt) broken(at int, err error) error {
	var syntax *xml.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("%s:%d: this is not XML: %s; ask the provider for the file again", c.file, syntax.Line, syntax.Msg)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%s:%d: the file ends in the middle; ask the provider for it again", c.file, at)
	case strings.Contains(err.Error(), "CharsetReader"):
		return fmt.Errorf("%s:%d: only UTF-8 is read; convert the file first, and mend its first line", c.file, at)
	}
	return fmt.Errorf("%s:%d: %w", c.file, at, err)
}

// document walks to the entries.
func (c *camt) document() error {
	known, statements := false, 0
	for {
		token, err := c.xml.Token()
		if errors.Is(err, io.EOF) && known {
			if statements == 0 {
				return errors.New("the file has no statement (Stmt); is it a camt.053?")
			}
			return nil
		}
		if err != nil {
			return err
		}
		start, isStart := token.(xml.StartElement)
		if !isStart {
			continue
		}
		switch name := start.Name.Local; {
		case !known && (name != "Document" || start.Name.Space != camt02 && start.Name.Space != camt08):
			return fmt.Errorf("the file is %s %q, not a camt.053.001.02 or 08; ask the provider for one of them", clip(name), clip(start.Name.Space))
		case !known:
			known = true
		case name == "Stmt":
			statements++
		case name == "Ntry":
			if err := c.entry(); err != nil {
				return err
			}
		case name == "BkToCstmrStmt":
		default:
			if err := c.xml.Skip(); err != nil {
				return err
			}
		}
		c.source.reset()
	}
}

// entry reads one Ntry to its end.
func (c *camt) entry() error {
	at, _ := c.xml.InputPos()
	e := &camtEntry{at: at}
	known, skip, wrong := false, false, false
	complain := func(at int, err error) error {
		wrong = true
		return c.say(at, err)
	}
	for {
		token, err := c.xml.Token()
		if err != nil {
			return err
		}
		if _, isEnd := token.(xml.EndElement); isEnd {
			break
		}
		start, isStart := token.(xml.StartElement)
		if !isStart {
			continue
		}
		if start.Name.Local != "NtryDtls" {
			if err := c.field(e, start); err != nil {
				return err
			}
			continue
		}
		if !known { // the schema has the details behind all that they need
			known = true
			if skip, err = c.known(e); err != nil {
				if err := complain(e.at, err); err != nil {
					return err
				}
			}
		}
		if err := c.details(e, skip || wrong, complain); err != nil {
			return err
		}
	}
	if !known {
		var err error
		if skip, err = c.known(e); err != nil {
			return complain(e.at, err)
		}
	}
	if skip || wrong {
		return nil
	}
	return c.finish(e)
}

// field reads what stands in an entry besides its details.
func (c *camt) field(e *camtEntry, start xml.StartElement) error {
	into := map[string]any{
		"NtryRef": &e.reference, "Amt": &e.amount, "CdtDbtInd": &e.direction, "RvslInd": &e.reversal, "Sts": &e.status, "BookgDt": &e.booked,
		"ValDt": &e.value, "AcctSvcrRef": &e.servicer,
	}[start.Name.Local]
	if into == nil {
		return c.xml.Skip()
	}
	return c.xml.DecodeElement(into, &start)
}

// known turns the fields of an entry into what its lines share. skip is for entries that are information only.
func (c *camt) known(e *camtEntry) (skip bool, err error) {
	status := strings.TrimSpace(e.status.Code + e.status.Text)
	switch status {
	case "BOOK":
	case "PDNG", "FUTR":
		e.line.Pending = true
	case "INFO":
		return true, nil
	default:
		return false, fmt.Errorf("status (Sts) is %q; BOOK, PDNG, FUTR and INFO are known", clip(status))
	}
	if e.line.Asset, e.signed, err = c.amount(e.amount, e.direction); err != nil {
		return false, err
	}
	if e.line.Date, err = camtTime(e.value, e.booked); err != nil {
		return false, err
	}
	e.line.Kind = "entry"
	if strings.TrimSpace(e.reversal) == "true" || strings.TrimSpace(e.reversal) == "1" { // the direction is that of this entry, not of the reversed one
		e.line.Kind = "reversal"
	}
	return false, nil
}

// amount reads an amount, which has no sign, and its direction.
func (c *camt) amount(a camtAmount, direction string) (money.Asset, money.Amount, error) {
	i := slices.IndexFunc(c.assets, func(known money.Asset) bool { return string(known.Code) == a.Currency })
	if i < 0 {
		return money.Asset{}, money.Amount{}, fmt.Errorf("the ledger has no asset %q (Ccy); create a ledger with it, or leave such entries out", clip(a.Currency))
	}
	asset := c.assets[i]
	n, err := asset.ParseDecimal(strings.TrimSpace(a.Value))
	if err != nil {
		return money.Asset{}, money.Amount{}, fmt.Errorf("amount (Amt): %w", err)
	}
	switch direction = strings.TrimSpace(direction); {
	case n.Sign() < 0:
		return money.Asset{}, money.Amount{}, fmt.Errorf("amount (Amt) %s is negative; CdtDbtInd says the direction", asset.Format(n))
	case direction == "CRDT":
		return asset, n, nil
	case direction == "DBIT":
		return asset, n.Neg(), nil
	}
	return money.Asset{}, money.Amount{}, fmt.Errorf("direction (CdtDbtInd) is %q; CRDT and DBIT are known", clip(direction))
}

// camtTime reads the value date, or the booking date where there is none. A time without a zone is taken as UTC.
func camtTime(dates ...camtDate) (time.Time, error) {
	for _, d := range dates {
		text := strings.TrimSpace(d.Day + d.Instant)
		if text == "" {
			continue
		}
		for _, layout := range []string{"2006-01-02", "2006-01-02Z07:00", time.RFC3339Nano, "2006-01-02T15:04:05.999999999"} {
			if t, err := time.Parse(layout, text); err == nil && t.Year() >= 1 {
				return t.UTC().Truncate(time.Microsecond), nil
			}
		}
		return time.Time{}, fmt.Errorf("date %q is not written as 2026-11-21 or 2026-11-21T10:00:00Z", clip(text))
	}
	return time.Time{}, errors.New("the entry has no date (ValDt or BookgDt)")
}

// details reads an NtryDtls to its end. The first detail waits, because a single one may leave its amount to the entry.
func (c *camt) details(e *camtEntry, skip bool, complain func(int, error) error) error {
	for {
		token, err := c.xml.Token()
		if err != nil {
			return err
		}
		if _, isEnd := token.(xml.EndElement); isEnd {
			return nil
		}
		start, isStart := token.(xml.StartElement)
		if !isStart {
			continue
		}
		if start.Name.Local != "TxDtls" || skip {
			if err := c.xml.Skip(); err != nil {
				return err
			}
			c.source.reset()
			continue
		}
		d := &camtDetail{}
		d.at, _ = c.xml.InputPos()
		if err := c.xml.DecodeElement(d, &start); err != nil {
			return err
		}
		c.source.reset()
		if e.details++; e.details == 1 {
			e.first = d
			continue
		}
		for _, one := range []*camtDetail{e.first, d} {
			if one == nil {
				continue
			}
			if err := c.detail(e, one); err != nil {
				if skip = true; errors.Is(err, errStop) {
					return err
				}
				if err := complain(one.at, err); err != nil {
					return err
				}
				break
			}
		}
		e.first = nil
	}
}

// detail hands over one of several.
func (c *camt) detail(e *camtEntry, d *camtDetail) error {
	given, direction := d.Amount, d.Direction
	if given == nil {
		given = d.Older
	}
	if given == nil {
		return errors.New("the entry has several details (TxDtls), and this one has no amount (Amt, or AmtDtls/TxAmt/Amt)")
	}
	if direction == "" {
		direction = e.direction
	}
	asset, signed, err := c.amount(*given, direction)
	if err != nil {
		return err
	}
	if asset != e.line.Asset {
		return fmt.Errorf("the detail is in %s and its entry in %s; the entry's currency is needed in TxAmt", asset.Code, e.line.Asset.Code)
	}
	if e.detailed, err = e.detailed.Add(signed); err != nil {
		return err
	}
	line := e.line
	line.At, line.Amount = d.at, signed
	line.Reference, line.ID = c.references(e, d)
	return c.hand(line)
}

// finish hands over an entry that is one line, or holds several against it.
func (c *camt) finish(e *camtEntry) error {
	if e.details > 1 {
		if e.detailed != e.signed {
			return c.say(e.at, fmt.Errorf("the details add up to %s and the entry says %s; ask the provider which is right",
				e.line.Asset.Format(e.detailed), e.line.Asset.Format(e.signed)))
		}
		return nil
	}
	d := e.first
	if d == nil {
		d = &camtDetail{}
	}
	line := e.line
	line.At, line.Amount = e.at, e.signed
	line.Reference, line.ID = c.references(e, d)
	err := c.hand(line)
	if err != nil && !errors.Is(err, errStop) {
		return c.say(e.at, err)
	}
	return err
}

// references returns the provider's reference of a transaction, and what tells it from others.
func (c *camt) references(e *camtEntry, d *camtDetail) (reference, identity string) {
	named := map[CamtReference]string{
		EndToEnd: d.Refs.EndToEnd, Servicer: d.Refs.Servicer, Transaction: d.Refs.Transaction, Instruction: d.Refs.Instruction,
	}
	if strings.TrimSpace(d.Refs.Servicer) == "" && e.details <= 1 {
		named[Servicer] = e.servicer
	}
	order := append([]CamtReference{c.prefer}, CamtReferences...)
	for _, which := range order {
		if text := strings.TrimSpace(named[which]); text != "" && text != "NOTPROVIDED" && reference == "" {
			reference = text
		}
	}
	switch own, whole := strings.TrimSpace(d.Refs.Servicer), strings.TrimSpace(e.servicer); {
	case own != "":
		identity = own
	case whole != "" && e.details > 1:
		identity = fmt.Sprintf("%s/%d", whole, e.details)
		if d == e.first {
			identity = whole + "/1"
		}
	case whole != "":
		identity = whole
	}
	return reference, identity
}

// hand yields a line whose texts can be stored.
func (c *camt) hand(line recon.Line) error {
	for _, text := range []string{line.Reference, line.ID} {
		if err := ledger.ValidateText("reference", text); err != nil {
			return fmt.Errorf("reference %q is too long or no text; at most %d printable characters", clip(text), ledger.MaxText)
		}
	}
	if !c.yield(line, nil) {
		return errStop
	}
	return nil
}

// say yields what is wrong in a line.
func (c *camt) say(at int, err error) error {
	if !c.yield(recon.Line{At: at}, fmt.Errorf("%s:%d: %w", c.file, at, err)) {
		return errStop
	}
	return nil
}

// meter refuses a file in which one element takes too much.
type meter struct {
	in    io.Reader
	since int
}

func (m *meter) reset() { m.since = 0 }

// Read implements io.Reader.
func (m *meter) Read(p []byte) (int, error) {
	if m.since > maxElement {
		return 0, fmt.Errorf("an element of more than %d bytes; ask the provider for a file with smaller ones", maxElement)
	}
	n, err := m.in.Read(p)
	m.since += n
	return n, err
}

// clip keeps a hostile text out of an error in full length.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
