package payment

import (
	"time"

	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// Gate is something that has to be open for a rule to be followed. Gates are judged on the player as it is in the transaction of the step.
type Gate string

// The gates, in the order in which they are asked.
const (
	GateStatus    Gate = "account_status"
	GateExclusion Gate = "self_exclusion"
	GateKYC       Gate = "kyc"
	GateAML       Gate = "aml"
	GateLimits    Gate = "limit"
)

// Gates lists all gates.
var Gates = []Gate{GateStatus, GateExclusion, GateKYC, GateAML, GateLimits}

// Who acts next where a gate is closed.
const (
	NextPlayer     = "player"
	NextCompliance = "compliance"
	NextOperator   = "operator"
	NextNobody     = "nobody"
)

// closed says why a gate is closed and who acts next, or "" where it is open. A payment of no player passes all.
func closed(g Gate, s ledger.Situation, used []ledger.Usage) (cause, next string) {
	p := s.Player
	if s.Payment.Player == "" {
		return "", ""
	}
	switch g {
	case GateStatus:
		if p.Status != "" && p.Status != ledger.PlayerActive {
			return string(p.Status), NextOperator
		}
	case GateExclusion:
		if s.Now.Before(p.ExcludedUntil) {
			return "until " + p.ExcludedUntil.UTC().Format(time.RFC3339), NextNobody
		}
	case GateKYC:
		switch p.KYC {
		case ledger.KYCVerified:
		case ledger.KYCPending:
			return "pending", NextCompliance
		case ledger.KYCRejected:
			return "rejected", NextCompliance
		default:
			return "unknown", NextPlayer
		}
	case GateAML:
		if p.AML != "" && p.AML != ledger.AMLClear {
			return string(p.AML), NextCompliance
		}
	case GateLimits:
		return exceeded(s, used), NextPlayer
	}
	return "", ""
}

// exceeded names the first limit of the player that what is used goes beyond because of the step, or "".
func exceeded(s ledger.Situation, used []ledger.Usage) string {
	for _, limit := range s.Player.Limits {
		if limit.Asset != s.Payment.Asset.Code {
			continue
		}
		before, after := usedOf(s.Player.Usage, limit, s.Now), usedOf(used, limit, s.Now)
		if limit.Amount.Less(after) && before.Less(after) {
			return string(limit.Measure) + " per " + string(limit.Period) + " of " + limit.Amount.String() + " would be " + after.String()
		}
	}
	return ""
}

func usedOf(all []ledger.Usage, limit ledger.PlayerLimit, now time.Time) money.Amount {
	for _, u := range all {
		if u.Measure == limit.Measure && u.Period == limit.Period && u.Asset == limit.Asset && u.Since.Equal(limit.Period.Start(now)) {
			return u.Amount
		}
	}
	return money.Amount{}
}

// use adds what a step uses to the player's usage, in each period, and leaves out what belongs to one that is over. What is given back does not
// make a period begin below nothing, but losses do: a win is a negative one.
func use(all []ledger.Usage, measure ledger.Measure, asset money.Code, delta money.Amount, now time.Time) ([]ledger.Usage, error) {
	kept := make([]ledger.Usage, 0, len(all)+3)
	for _, u := range all {
		if u.Since.Equal(u.Period.Start(now)) {
			kept = append(kept, u)
		}
	}
	for _, period := range []ledger.Period{ledger.Day, ledger.Week, ledger.Month} {
		at := -1
		for i, u := range kept {
			if u.Measure == measure && u.Period == period && u.Asset == asset {
				at = i
			}
		}
		if at < 0 {
			kept = append(kept, ledger.Usage{Measure: measure, Period: period, Asset: asset, Since: period.Start(now)})
			at = len(kept) - 1
		}
		sum, err := kept[at].Amount.Add(delta)
		if err != nil {
			return nil, err
		}
		if sum.Sign() < 0 && measure != ledger.MeasureLoss {
			sum = money.Amount{}
		}
		kept[at].Amount = sum
	}
	return kept, nil
}
