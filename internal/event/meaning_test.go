package event

// meanings say what each type means, for its schema and for docs/events/README.md.
var meanings = map[Type]string{
	WalletDebitCommitted:  "Money left a wallet.",
	WalletCreditCommitted: "Money reached a wallet.",
	TransactionPosted:     "A transfer, or a post of many entries, moved money.",
	TransactionReversed:   "An earlier transaction was undone, whole: its entries are written again with the sides swapped.",
	TransactionDeclined:   "A command was declined. Nothing moved; the answer is final. kind says which command, reason and detail say why.",
	HoldCreated:           "Money was set aside.",
	HoldCommitted:         "Held money moved, wholly or in part; hold.status says whether some is still held.",
	HoldRolledBack:        "What was still held is free again.",
	HoldExpired:           "The time of a hold was over: what was still held is free again.",
	AccountOpened:         "An account was opened. One that a ledger keeps by itself, as the default counter of a reason, opens without this event.",
	AccountUpdated:        "Limits or metadata of an account were changed.",
	AccountFrozen:         "An account takes no more debits, credits, or both; account.status says which.",
	AccountUnfrozen:       "An account takes debits and credits again.",
	AccountClosed:         "An account was closed, for ever.",
	payments:              "A payment came to a state: the type is payment, its kind and the state, as in payment.deposit.captured. docs/payments has all of them.",
	TransitionRefused:     "A step of a payment was refused, for its state, its amount or the books. Nothing moved; from is the state that it met.",
	GateClosed:            "A step of a payment was refused by a gate: KYC, AML, status, self-exclusion or a limit. Nothing moved; detail says which, and who acts next.",
	PlayerUpdated:         "What gates know of a player was changed.",
	Test:                  "Somebody tests a sink. It is in no journal and stands in no order; show it or drop it.",
}
