package explain

import (
	"cmp"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/payment"
)

// meanings are the sentences of docs/api.md.
var meanings = map[errs.Reason]string{
	errs.ReasonTransactionNotFound: "the ledger's journal has no transaction of this id",
	errs.ReasonNotReversible:       "it was declined, moved no posted money, or is a reversal itself",
	errs.ReasonAlreadyReversed:     "it was reversed before",
	errs.ReasonHoldNotFound:        "there is no such hold in the ledger",
	errs.ReasonHoldExhausted:       "the hold was committed or rolled back",
	errs.ReasonHoldExpired:         "the time of the hold was over",
	errs.ReasonHoldExceeded:        "more than what remains of the hold",
	errs.ReasonUnbalanced:          "debits differ from credits in a ledger and asset",
	errs.ReasonAccountNotFound:     "there is no such account",
	errs.ReasonAccountExists:       "there is one of this id",
	errs.ReasonAssetUnknown:        "the ledger does not count this asset",
	errs.ReasonAssetMismatch:       "the account is in another asset",
	errs.ReasonAccountClosed:       "it is closed for ever",
	errs.ReasonAccountFrozen:       "it takes no debits, no credits, or neither",
	errs.ReasonHoldsOpen:           "an account with holds can not be closed",
	errs.ReasonBalanceNotZero:      "an account with money can not be closed",
	errs.ReasonBalanceOverflow:     "a total would need more than 38 digits",
	errs.ReasonInsufficientFunds:   "less than min_available would be left",
	errs.ReasonCeilingExceeded:     "more than max_balance would be there, incoming holds included",
	errs.ReasonBatchDeclined:       "another command of an atomic batch was declined",
	errs.ReasonPaymentNotFound:     "a step names a payment, or one to take back, that is not there or of another kind",
	errs.ReasonTransitionRefused:   "the state of a payment does not let the trigger through",
	errs.ReasonAmountRefused:       "more than is left, or another amount than the trigger takes",
	errs.ReasonGateClosed:          "KYC, AML, the status, a self-exclusion or a limit of the player stands against it",
}

// transitions say in what way a state lets a trigger not through.
var transitions = map[string]string{
	payment.Unknown:   "payments of this kind have no such trigger",
	payment.Duplicate: "it had happened: the payment stood where the trigger leads",
	payment.Backward:  "the payment had been past it",
	payment.Early:     "something had to happen before",
	payment.Elsewhere: "the payment had gone another way",
	payment.SameActor: "somebody else had to do it, and be named",
}

// meaningOf says why something was declined, for a person.
func meaningOf(r errs.Reason, facts map[string]string) string {
	switch r {
	case errs.ReasonTransitionRefused:
		return cmp.Or(transitions[facts["cause"]], meanings[r])
	case errs.ReasonGateClosed:
		if facts["gate"] != "" {
			meaning := "the gate " + facts["gate"] + " was closed: " + cmp.Or(facts["cause"], "it does not say why")
			if facts["next"] != "" {
				meaning += "; next acts: " + facts["next"]
			}
			return meaning
		}
	default:
	}
	return meanings[r]
}
