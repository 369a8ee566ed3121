package ledger

import (
	"slices"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/money"
)

// Player is whom payments are for: what gates look at, locked with the payment that passes them. A ledger knows nothing else of a person.
type Player struct {
	Home    id.Home   `json:"-"`
	Ledger  id.Ledger `json:"-"`
	ID      id.Player `json:"player"`
	Version int64     `json:"version"` // changes of the profile; 0: nobody has said anything of this player
	Profile
	Usage     []Usage   `json:"usage,omitempty"`
	ChangedAt time.Time `json:"changed_at"`
}

// Profile is what gates go by. The zero value is a player of whom nothing is known.
type Profile struct {
	KYC           KYC           `json:"kyc,omitempty"`
	AML           AML           `json:"aml,omitempty"`
	Status        PlayerStatus  `json:"status,omitempty"`
	ExcludedUntil time.Time     `json:"excluded_until,omitzero"` // self-exclusion: before it the player may not play or pay in
	Limits        []PlayerLimit `json:"limits,omitempty"`
}

// KYC says how well a player is known.
type KYC string

// The states of knowing a player; empty is unknown.
const (
	KYCPending  KYC = "pending"
	KYCVerified KYC = "verified"
	KYCRejected KYC = "rejected"
)

// AML says what is suspected of a player.
type AML string

// The states of suspicion; empty is clear.
const (
	AMLClear   AML = "clear"
	AMLFlagged AML = "flagged"
	AMLBlocked AML = "blocked"
)

// PlayerStatus says whether a player may take part; empty is active.
type PlayerStatus string

// The states of a player.
const (
	PlayerActive    PlayerStatus = "active"
	PlayerSuspended PlayerStatus = "suspended"
	PlayerClosed    PlayerStatus = "closed"
)

// Measure is what a limit bounds.
type Measure string

// The measures of limits. Loss is stakes less what they won.
const (
	MeasureStake      Measure = "stake"
	MeasureLoss       Measure = "loss"
	MeasureDeposit    Measure = "deposit"
	MeasureWithdrawal Measure = "withdrawal"
)

// Period is how long a limit counts before it begins again: at midnight UTC, on Monday, on the first of the month.
type Period string

// The periods of limits.
const (
	Day   Period = "day"
	Week  Period = "week"
	Month Period = "month"
)

// Start returns when the period that holds an instant began.
func (p Period) Start(t time.Time) time.Time {
	t = t.UTC()
	day := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	switch p {
	case Week:
		return day.AddDate(0, 0, -int(day.Weekday()+6)%7)
	case Month:
		return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
	default:
		return day
	}
}

// PlayerLimit bounds what a player may do within a period, in minor units of one asset.
type PlayerLimit struct {
	Measure Measure      `json:"measure"`
	Period  Period       `json:"period"`
	Asset   money.Code   `json:"asset"`
	Amount  money.Amount `json:"amount"`
}

// Usage is how much of a measure has been used since a period began. It is counted whether a limit is set or not, so that one that is set
// later sees what came before it.
type Usage struct {
	Measure Measure      `json:"measure"`
	Period  Period       `json:"period"`
	Asset   money.Code   `json:"asset"`
	Since   time.Time    `json:"since"`
	Amount  money.Amount `json:"amount"` // a loss may be negative: a win
}

// PlayerChange is what a player command replaces of a profile. What is empty or nil stays as it is.
type PlayerChange struct {
	Player        id.Player     `json:"player"`
	KYC           KYC           `json:"kyc,omitempty"`
	AML           AML           `json:"aml,omitempty"`
	Status        PlayerStatus  `json:"status,omitempty"`
	ExcludedUntil *time.Time    `json:"excluded_until,omitempty"` // never earlier than it stands while it lasts
	Limits        []PlayerLimit `json:"limits,omitzero"`          // all of them; empty and not nil takes all away
	Cause         string        `json:"cause,omitempty"`
	Actor         string        `json:"actor,omitempty"`
}

// MaxPlayerLimits bounds the limits of a player.
const MaxPlayerLimits = 48

func (p PlayerChange) validate() error {
	if p.Player == "" {
		return errs.Invalid("player", "name the player")
	}
	if p.KYC == "" && p.AML == "" && p.Status == "" && p.ExcludedUntil == nil && p.Limits == nil {
		return errs.Invalid("player", "say what to change: kyc, aml, status, excluded_until or limits")
	}
	if !slices.Contains([]KYC{"", KYCPending, KYCVerified, KYCRejected}, p.KYC) {
		return errs.Invalid("kyc", "one of pending, verified, rejected")
	}
	if !slices.Contains([]AML{"", AMLClear, AMLFlagged, AMLBlocked}, p.AML) {
		return errs.Invalid("aml", "one of clear, flagged, blocked")
	}
	if !slices.Contains([]PlayerStatus{"", PlayerActive, PlayerSuspended, PlayerClosed}, p.Status) {
		return errs.Invalid("status", "one of active, suspended, closed")
	}
	if len(p.Limits) > MaxPlayerLimits {
		return errs.Invalid("limits", "at most 48 limits")
	}
	for _, l := range p.Limits {
		if !slices.Contains([]Measure{MeasureStake, MeasureLoss, MeasureDeposit, MeasureWithdrawal}, l.Measure) ||
			!slices.Contains([]Period{Day, Week, Month}, l.Period) || l.Asset == "" || l.Amount.Sign() < 0 {
			return errs.Invalid("limits", "a limit has a measure (stake, loss, deposit, withdrawal), a period (day, week, month), an asset and an amount")
		}
	}
	return firstError(ValidateText("cause", p.Cause), ValidateText("actor", p.Actor))
}

// of returns a profile as it is after the change.
func (p PlayerChange) of(was Profile) Profile {
	if p.KYC != "" {
		was.KYC = p.KYC
	}
	if p.AML != "" {
		was.AML = p.AML
	}
	if p.Status != "" {
		was.Status = p.Status
	}
	if p.ExcludedUntil != nil {
		was.ExcludedUntil = micros(*p.ExcludedUntil)
	}
	if p.Limits != nil {
		was.Limits = slices.Clone(p.Limits)
	}
	return was
}
