package rpc

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"time"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/search"
)

// The first byte of a token says what follows.
const (
	tokenTransaction = 1 // 16 bytes of a transaction, then its ledger
	tokenPosition    = 2 // 8 bytes of a position, then its home
	tokenPage        = 3 // 8 bytes each: the request that it belongs to, the newest position that is shown, microseconds and position of the last
)

var tokens = base64.RawURLEncoding

// PositionToken is where a transaction stands, for searches to wait for. What was not written stands nowhere.
func PositionToken(o ledger.Outcome) string {
	if o.DryRun || o.Transaction.IsZero() {
		return ""
	}
	return pointToken(search.Point{Ledger: o.Ledger, Transaction: o.Transaction})
}

// pointToken writes what parser.point reads.
func pointToken(p search.Point) string {
	b := make([]byte, 0, 1+len(p.Transaction)+64)
	if p.Home != "" {
		b = binary.BigEndian.AppendUint64(append(b, tokenPosition), uint64(p.Position)) //nolint:gosec // positions are not negative
		return tokens.EncodeToString(append(b, p.Home...))
	}
	b = append(append(b, tokenTransaction), p.Transaction[:]...)
	return tokens.EncodeToString(append(b, p.Ledger...))
}

// point reads at_least; nil where there is none.
func (p *parser) point(token string) *search.Point {
	if token == "" {
		return nil
	}
	if point, ok := readPoint(token); ok {
		return &point
	}
	p.fail("at_least", "take it from the position of a transaction or of an earlier search")
	return nil
}

func readPoint(token string) (search.Point, bool) {
	b, err := tokens.DecodeString(token)
	switch {
	case err != nil:
	case len(b) > 17 && b[0] == tokenTransaction:
		name, err := id.ParseLedger(string(b[17:]))
		return search.Point{Ledger: name, Transaction: id.Transaction(b[1:17])}, err == nil
	case len(b) > 9 && b[0] == tokenPosition && b[1] <= 0x7f:
		home, err := id.ParseHome(string(b[9:]))
		return search.Point{Home: home, Position: event.Position(binary.BigEndian.Uint64(b[1:]))}, err == nil //nolint:gosec // the sign bit was checked
	}
	return search.Point{}, false
}

// pageToken writes what parser.searchPage reads.
func pageToken(q search.Query, next search.Page) string {
	b := append(make([]byte, 0, 33), tokenPage)
	for _, word := range [...]uint64{
		fingerprint(q), uint64(next.Until), uint64(next.After.At.UnixMicro()), uint64(next.After.Position), //nolint:gosec // read back the same way
	} {
		b = binary.BigEndian.AppendUint64(b, word)
	}
	return tokens.EncodeToString(b)
}

// searchPage reads the size and the token of a page; the token has to be one of the same query.
func (p *parser) searchPage(q search.Query, size int32, token string) search.Page {
	page := search.Page{Limit: p.pageSize(size)}
	if token == "" || p.err != nil {
		return page
	}
	b, err := tokens.DecodeString(token)
	if err != nil || len(b) != 33 || b[0] != tokenPage || b[9] > 0x7f || b[25] > 0x7f {
		p.fail("page_token", "take it from next_page_token of the page before")
		return page
	}
	if binary.BigEndian.Uint64(b[1:]) != fingerprint(q) {
		p.fail("page_token", "it is of another search: the other fields stay as they were")
		return page
	}
	page.Until = event.Position(binary.BigEndian.Uint64(b[9:])) //nolint:gosec // the sign bit was checked
	page.After = search.Place{
		At:       time.UnixMicro(int64(binary.BigEndian.Uint64(b[17:]))).UTC(), //nolint:gosec // read back as it was written
		Position: event.Position(binary.BigEndian.Uint64(b[25:])),              //nolint:gosec // the sign bit was checked
	}
	if year := page.After.At.Year(); year < 1 || year > 9999 || page.Until == 0 {
		p.fail("page_token", "take it from next_page_token of the page before")
	}
	return page
}

// fingerprint binds a token to its query.
func fingerprint(q search.Query) uint64 {
	b, err := json.Marshal(q)
	if err != nil {
		panic("texts and times of four digits' years always marshal: " + err.Error())
	}
	sum := sha256.Sum256(b)
	return binary.BigEndian.Uint64(sum[:])
}
