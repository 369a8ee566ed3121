package importer

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// composer turns rows of one file into commands on one ledger. It is pure: the same row makes the same command on every run, which is
// what makes an import repeatable.
type composer struct {
	Mapping
	ledger ledger.Ledger
	at     []int // of the mapping's columns among the fields of a row
}

// composition is what a row becomes: the movement, and the accounts that it needs. It is valid until the next row is read.
type composition struct {
	command ledger.Command
	values  values
	account *accountRule
	counter *accountRule
}

// newComposer checks that the file has the columns of the mapping and the ledger its asset.
func newComposer(m Mapping, l ledger.Ledger, header []string) (composer, error) {
	at, err := m.bind(header)
	if err != nil {
		return composer{}, err
	}
	if want, constant := m.Asset(); constant {
		has, found := l.Asset(want.Code)
		if !found {
			return composer{}, fmt.Errorf("ledger %s has no asset %s; it has %s", l.ID, want, assets(l))
		}
		if has != want {
			return composer{}, fmt.Errorf("ledger %s has %s where mapping %s has %s; let the mapping say the same", l.ID, has, m.name, want)
		}
	}
	return composer{Mapping: m, ledger: l, at: at}, nil
}

func assets(l ledger.Ledger) string {
	all := make([]string, len(l.Assets))
	for i, a := range l.Assets {
		all[i] = a.String()
	}
	return strings.Join(all, ", ")
}

// skips tells whether the mapping leaves the row out.
func (c composer) skips(fields []string) bool {
	v := values{fields, c.at}
	return slices.ContainsFunc(c.skip, func(w when) bool { return w.matches(v) })
}

// compose reads a row, or says what is wrong with it. The order of the checks is that of a mapping file.
func (c composer) compose(fields []string, now time.Time) (composition, error) {
	v := values{fields, c.at}
	key, err := c.rowKey(v)
	if err != nil {
		return composition{}, fmt.Errorf("id: %w", err)
	}
	effective, err := c.date.parse(c.date.value.render(v))
	if err != nil {
		return composition{}, fmt.Errorf("date: %w", err)
	}
	asset, err := c.assetOf(v)
	if err != nil {
		return composition{}, fmt.Errorf("asset: %w", err)
	}
	amount, side, err := c.sided(v, asset)
	if err != nil {
		return composition{}, fmt.Errorf("amount: %w", err)
	}
	account, err := c.account.name(v)
	if err != nil {
		return composition{}, fmt.Errorf("account: %w", err)
	}
	rule, counter, err := c.counterOf(v)
	if err != nil {
		return composition{}, fmt.Errorf("counter: %w", err)
	}
	reason, err := c.reasonOf(v)
	if err != nil {
		return composition{}, fmt.Errorf("reason: %w", err)
	}
	command := ledger.Command{
		Kind: ledger.KindCredit, Ledger: c.ledger.ID, Key: key, Account: account, Counter: counter,
		Amount: &ledger.Money{Minor: amount, Asset: asset.Code}, Reason: reason, Reference: c.reference.line(v),
		Metadata: metadata(c.metadata, v), EffectiveAt: effective,
	}
	if side == ledger.Debit {
		command.Kind = ledger.KindDebit
	}
	if err := command.Validate(now); err != nil {
		return composition{}, sentence(err)
	}
	return composition{command: command, values: v, account: &c.account, counter: rule}, nil
}

// open returns the command that opens an account on the terms of a rule. Its key is that of the account, so that any number of rows, runs
// and files open it once.
func (c composer) open(account id.Account, rule *accountRule, v values, code money.Code, now time.Time) (ledger.Command, error) {
	asset, _ := c.ledger.Asset(code) // assetOf has found it
	floor, err := limit(rule.floor, asset)
	if err != nil {
		return ledger.Command{}, fmt.Errorf("floor of account %s: %w", account, err)
	}
	ceiling, err := limit(rule.ceiling, asset)
	if err != nil {
		return ledger.Command{}, fmt.Errorf("ceiling of account %s: %w", account, err)
	}
	command := ledger.Command{
		Kind: ledger.KindOpen, Ledger: c.ledger.ID, Key: id.Key("import:" + c.name + ":open:" + string(account)), Account: account,
		Terms: &ledger.Terms{Asset: code, Normal: rule.normal, Floor: floor, Ceiling: ceiling, Metadata: metadata(rule.metadata, v)},
	}
	if err := command.Validate(now); err != nil {
		return ledger.Command{}, fmt.Errorf("account %s: %w", account, sentence(err))
	}
	return command, nil
}

// rowKey makes the idempotency key of the row. What a key can not hold is written as % and two hexadecimal digits, so that different ids
// stay different.
func (c composer) rowKey(v values) (id.Key, error) {
	text, err := c.id.identify(v)
	if err != nil {
		return "", err
	}
	if text == "" {
		return "", fmt.Errorf("it is empty")
	}
	var b strings.Builder
	b.WriteString("import:" + c.name + ":row:")
	for i := range len(text) {
		if ch := text[i]; ch <= ' ' || ch >= 0x7f || ch == '%' {
			fmt.Fprintf(&b, "%%%02X", ch)
			continue
		}
		b.WriteByte(text[i])
	}
	key, err := id.ParseKey(b.String())
	if err != nil {
		return "", fmt.Errorf("%q makes a key of %d characters, and 255 is the most", clip(text), b.Len())
	}
	return key, nil
}

func (c composer) assetOf(v values) (money.Asset, error) {
	if constant, ok := c.Asset(); ok {
		return constant, nil
	}
	code := c.asset.code.render(v)
	asset, found := c.ledger.Asset(money.Code(code))
	if !found {
		return money.Asset{}, fmt.Errorf("ledger %s has no asset %q; it has %s", c.ledger.ID, clip(code), assets(c.ledger))
	}
	return asset, nil
}

func (r accountRule) name(v values) (id.Account, error) {
	text, err := r.id.identify(v)
	if err != nil {
		return "", err
	}
	account, err := id.ParseAccount(text)
	return account, mendable(err)
}

func (c composer) counterOf(v values) (*accountRule, id.Account, error) {
	for i := range c.counters {
		rule := &c.counters[i]
		if rule.when.matches(v) {
			account, err := rule.name(v)
			return &rule.accountRule, account, err
		}
	}
	return nil, "", fmt.Errorf("no rule matches the row; add one for it, or a last one without when")
}

func (c composer) reasonOf(v values) (id.Reason, error) {
	for _, rule := range c.reasons {
		if !rule.when.matches(v) {
			continue
		}
		text := rule.use.render(v)
		if text == "" {
			return "", nil
		}
		reason, err := id.ParseReason(text)
		return reason, mendable(err)
	}
	return "", nil
}

func mendable(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w; {column|slug} makes a text fit", err)
}

// metadata renders texts; empty ones are left out.
func metadata(pairs []pair, v values) ledger.Metadata {
	rendered := map[string]string{}
	for _, p := range pairs {
		rendered[p.key] = p.value.line(v)
	}
	maps.DeleteFunc(rendered, func(_, text string) bool { return text == "" })
	if len(rendered) == 0 {
		return nil
	}
	return rendered
}

// sentence leaves the message and the field of a refusal, for people to read.
func sentence(err error) error {
	e := errs.Of(err)
	if field := e.Fields["field"]; field != "" {
		return fmt.Errorf("%s: %s", field, e.Message)
	}
	return fmt.Errorf("%s", e.Message)
}
