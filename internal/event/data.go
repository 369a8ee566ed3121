package event

import (
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// SchemaVersion is the version of the data of every type, as semantic versioning has it: a field more is a minor version; a field less, or one
// that means something else, is a major one, and another schema beside this one.
const SchemaVersion = "1.0.0"

// major is the part of SchemaVersion that is in the names of schemas.
const major = "v1"

// dataOf lists the form of the data of each type. The schemas under docs/events are made from these forms.
var dataOf = map[Type]any{
	WalletDebitCommitted: walletData{}, WalletCreditCommitted: walletData{},
	TransactionPosted: postedData{}, TransactionReversed: reversedData{}, TransactionDeclined: declinedData{},
	HoldCreated: holdData{}, HoldCommitted: holdData{}, HoldRolledBack: holdData{}, HoldExpired: holdData{},
	AccountOpened: accountData{}, AccountUpdated: accountData{}, AccountFrozen: accountData{}, AccountUnfrozen: accountData{},
	AccountClosed: accountData{}, Test: testData{},
	payments: paymentData{}, TransitionRefused: paymentData{}, GateClosed: paymentData{}, PlayerUpdated: playerData{},
}

// The forms that values have in JSON are texts, made by the types of the domain: encoding/json is at its fastest with those.
type (
	digits  string // of a money.Amount
	asset   string // a money.Asset with its scale
	side    string // of a ledger.Side; empty is none
	instant string // RFC 3339, UTC
	uuid    string // of an id.Transaction; empty is none
)

func digitsOf(a money.Amount) digits { return digits(a.String()) }

func instantOf(t time.Time) instant { return instant(t.UTC().Format(time.RFC3339Nano)) }

func uuidOf(t id.Transaction) uuid {
	if t.IsZero() {
		return ""
	}
	return uuid(t.String())
}

// common is what the data of every type has.
type common struct {
	EventID       uuid    `json:"event_id" jsonschema_description:"The transaction. The same in every delivery: deduplicate by it."`
	EventType     Type    `json:"event_type" jsonschema_description:"The type of the event."`
	OccurredAt    instant `json:"occurred_at" jsonschema_description:"When it was recorded. Never before an earlier event of the same account."`
	SchemaVersion string  `json:"schema_version" jsonschema:"pattern=^1\\.[0-9]+\\.[0-9]+$" jsonschema_description:"The version of this form."`
	Home          id.Home `json:"home" jsonschema_description:"Whose stream the event came through. One that touches several homes comes through the stream of each, with the same event_id."`
}

// journal is what the data of every journal row has.
type journal struct {
	common
	Ledger      id.Ledger       `json:"ledger" jsonschema_description:"The ledger that the command was sent to."`
	Kind        ledger.Kind     `json:"kind" jsonschema_description:"What the command asked for."`
	Status      ledger.Decided  `json:"status" jsonschema_description:"What became of it."`
	Key         id.Key          `json:"idempotency_key" jsonschema_description:"Of the command."`
	EffectiveAt instant         `json:"effective_at" jsonschema_description:"When it counts, as the client said; else when it was recorded."`
	Reference   string          `json:"reference_id,omitempty" jsonschema_description:"The client's reference."`
	Correlation string          `json:"correlation_id,omitempty" jsonschema_description:"The client's correlation id."`
	Metadata    ledger.Metadata `json:"metadata,omitempty" jsonschema_description:"What the client added to the command."`
}

// lines are the entries that the subscriber is shown.
type lines struct {
	Entries   []entryData `json:"entries" jsonschema_description:"The lines of statements that it wrote, in its order."`
	Elsewhere int         `json:"entries_elsewhere,omitempty" jsonschema:"minimum=1" jsonschema_description:"How many entries are left out, because their ledgers are at home where this subscriber may not look."`
}

type entryData struct {
	ID             string     `json:"entry_id" jsonschema_description:"The transaction and the line in it, counted from one."`
	Ledger         id.Ledger  `json:"ledger"`
	Account        id.Account `json:"account_id"`
	Sequence       int64      `json:"sequence" jsonschema:"minimum=1" jsonschema_description:"The line of the account's statement: 1, 2, 3 … without a gap."`
	Side           side       `json:"side,omitempty" jsonschema_description:"Absent where no posted money moved."`
	Amount         digits     `json:"amount" jsonschema:"pattern=^(0|[1-9][0-9]*)$,maxLength=38" jsonschema_description:"Minor units of posted money, never negative."`
	Currency       money.Code `json:"currency,omitempty" jsonschema_description:"The asset. Absent on reversals: it is that of the line that was reversed."`
	Balance        digits     `json:"balance" jsonschema:"pattern=^(0|-?[1-9][0-9]*)$,maxLength=39" jsonschema_description:"Credits less debits, after this line."`
	PendingDebits  digits     `json:"pending_debits" jsonschema:"pattern=^(0|[1-9][0-9]*)$,maxLength=38" jsonschema_description:"Held on the debit side, after this line."`
	PendingCredits digits     `json:"pending_credits" jsonschema:"pattern=^(0|[1-9][0-9]*)$,maxLength=38" jsonschema_description:"Held on the credit side, after this line."`
	Counter        bool       `json:"counter,omitempty" jsonschema_description:"On a default counter account: events of it may come in another order than its sequence."`
}

// walletData is a debit or a credit.
type walletData struct {
	journal
	Account       id.Account `json:"account_id" jsonschema_description:"Whose wallet."`
	Amount        digits     `json:"amount_minor" jsonschema:"pattern=^[1-9][0-9]*$,maxLength=38" jsonschema_description:"Minor units, as a decimal string."`
	Currency      money.Code `json:"currency" jsonschema_description:"The asset."`
	RequestReason id.Reason  `json:"request_reason,omitempty" jsonschema_description:"Why the client moves money: payout, bet, fee."`
	lines
}

// postedData is a transfer or a post.
type postedData struct {
	journal
	Account       id.Account `json:"account_id,omitempty" jsonschema_description:"The account that it is about: of a transfer the one that gives. Absent where all are in other ledgers."`
	Amount        digits     `json:"amount_minor,omitempty" jsonschema:"pattern=^[1-9][0-9]*$,maxLength=38" jsonschema_description:"Minor units of a movement between two accounts; absent where there are more."`
	Currency      money.Code `json:"currency,omitempty" jsonschema_description:"The asset of amount_minor."`
	RequestReason id.Reason  `json:"request_reason,omitempty" jsonschema_description:"Why the client moves money."`
	lines
}

// reversedData is a reversal.
type reversedData struct {
	journal
	Account       id.Account `json:"account_id,omitempty" jsonschema_description:"The account that it is about. Absent where all are in other ledgers."`
	Amount        digits     `json:"amount_minor,omitempty" jsonschema:"pattern=^[1-9][0-9]*$,maxLength=38" jsonschema_description:"Minor units of a movement between two accounts; absent where there are more."`
	Target        uuid       `json:"target" jsonschema_description:"The transaction that it was to undo."`
	Reverses      uuid       `json:"reverses" jsonschema_description:"The transaction that it undid: the event with that id no longer counts."`
	RequestReason id.Reason  `json:"request_reason,omitempty" jsonschema_description:"Why the client reverses."`
	lines
}

// holdData is anything that happens to a hold.
type holdData struct {
	journal
	Account       id.Account `json:"account_id" jsonschema_description:"Whose money is held."`
	Amount        digits     `json:"amount_minor" jsonschema:"pattern=^(0|[1-9][0-9]*)$,maxLength=38" jsonschema_description:"Minor units that this event set aside, moved, or gave back."`
	Currency      money.Code `json:"currency" jsonschema_description:"The asset."`
	Target        uuid       `json:"target,omitempty" jsonschema_description:"The hold that the command acted on; absent on hold.created."`
	RequestReason id.Reason  `json:"request_reason,omitempty" jsonschema_description:"Why the client holds money."`
	Hold          holdState  `json:"hold" jsonschema_description:"As it is after this event."`
	lines
}

// paymentData is a step of a payment, accepted or refused.
type paymentData struct {
	journal
	ID                uuid                `json:"payment_id" jsonschema_description:"The payment: the transaction of its first step."`
	Payment           ledger.PaymentKind  `json:"payment" jsonschema_description:"The kind of the payment."`
	Player            id.Player           `json:"player,omitempty" jsonschema_description:"Whose payment."`
	Parent            uuid                `json:"parent,omitempty" jsonschema_description:"The payment that it takes back."`
	Trigger           ledger.Trigger      `json:"trigger" jsonschema_description:"What happened to it."`
	From              ledger.PaymentState `json:"from,omitempty" jsonschema_description:"The state that the step met. Absent where the payment was not there."`
	To                ledger.PaymentState `json:"to,omitempty" jsonschema_description:"The state that it is in now; of a refused step the one that it met."`
	Number            int64               `json:"number,omitempty" jsonschema_description:"The line of the payment's history, from 1, refused steps counted. Absent where there is no payment."`
	Version           int64               `json:"version,omitempty" jsonschema_description:"How many steps the payment has taken."`
	Account           id.Account          `json:"account_id,omitempty" jsonschema_description:"The account whose order the events of the payment keep."`
	Amount            digits              `json:"amount_minor,omitempty" jsonschema:"pattern=^[1-9][0-9]*$,maxLength=38" jsonschema_description:"Minor units that the step named. Absent where it took all that was left, or none."`
	Currency          money.Code          `json:"currency,omitempty" jsonschema_description:"The asset of amount_minor."`
	Totals            map[string]digits   `json:"totals,omitempty" jsonschema_description:"What the payment adds up to after the step, in minor units: authorized, captured, refunded …"`
	Review            *reviewState        `json:"review,omitempty" jsonschema_description:"Of a payment that waits for a decision."`
	Provider          string              `json:"provider,omitempty" jsonschema_description:"Who moves the money outside."`
	ProviderReference string              `json:"provider_reference,omitempty" jsonschema_description:"What the provider calls the payment."`
	Evidence          string              `json:"evidence,omitempty" jsonschema_description:"What proves the step."`
	Actor             string              `json:"actor,omitempty" jsonschema_description:"Who caused it."`
	Reason            errs.Reason         `json:"reason,omitempty" jsonschema_description:"Why it was refused."`
	Detail            map[string]string   `json:"detail,omitempty" jsonschema_description:"The facts that go with the reason: state, trigger, cause; gate and who acts next."`
	lines
}

type reviewState struct {
	Gate   string `json:"gate" jsonschema_description:"Which gate is closed."`
	Cause  string `json:"cause" jsonschema_description:"What it saw."`
	Paused bool   `json:"money_paused" jsonschema_description:"Money is set aside until somebody decides."`
	Next   string `json:"next" jsonschema_description:"Who acts next."`
}

// playerData is a change of what gates know of a player.
type playerData struct {
	journal
	Player        id.Player           `json:"player" jsonschema_description:"Who."`
	Version       int64               `json:"version" jsonschema:"minimum=1" jsonschema_description:"How often it has changed; the greatest is the newest."`
	KYC           ledger.KYC          `json:"kyc,omitempty" jsonschema_description:"How well the player is known."`
	AML           ledger.AML          `json:"aml,omitempty" jsonschema_description:"What is suspected."`
	Standing      ledger.PlayerStatus `json:"player_status,omitempty" jsonschema_description:"Whether the player may take part."`
	ExcludedUntil instant             `json:"excluded_until,omitempty" jsonschema_description:"Until when the player has excluded themself."`
}

type holdState struct {
	ID        uuid              `json:"hold_id"`
	From      id.Account        `json:"from_account_id"`
	To        id.Account        `json:"to_account_id"`
	Asset     asset             `json:"asset" jsonschema_description:"With its scale: EUR/2."`
	Amount    digits            `json:"amount" jsonschema:"pattern=^[1-9][0-9]*$,maxLength=38"`
	Captured  digits            `json:"captured" jsonschema:"pattern=^(0|[1-9][0-9]*)$,maxLength=38" jsonschema_description:"Committed so far."`
	Remaining digits            `json:"remaining" jsonschema:"pattern=^(0|[1-9][0-9]*)$,maxLength=38" jsonschema_description:"What can still be committed."`
	Status    ledger.HoldStatus `json:"status" jsonschema:"enum=held,enum=committed,enum=rolled_back,enum=expired"`
	ExpiresAt instant           `json:"expires_at"`
}

// accountData is anything that happens to an account itself.
type accountData struct {
	journal
	ID      id.Account   `json:"account_id" jsonschema_description:"The account."`
	Account accountState `json:"account" jsonschema_description:"As it is after this event."`
	lines
}

type accountState struct {
	ID       id.Account      `json:"account_id"`
	Asset    asset           `json:"asset" jsonschema_description:"With its scale: EUR/2."`
	Normal   side            `json:"normal_side"`
	Status   ledger.Status   `json:"status" jsonschema:"enum=open,enum=debits_frozen,enum=credits_frozen,enum=frozen,enum=closed"`
	Floor    digits          `json:"min_available,omitempty" jsonschema:"pattern=^(0|-?[1-9][0-9]*)$,maxLength=39" jsonschema_description:"Least available balance; absent where there is no such limit."`
	Ceiling  digits          `json:"max_balance,omitempty" jsonschema:"pattern=^(0|-?[1-9][0-9]*)$,maxLength=39" jsonschema_description:"Greatest balance; absent where there is no such limit."`
	Metadata ledger.Metadata `json:"metadata,omitempty" jsonschema_description:"Of the account."`
	Sequence int64           `json:"sequence" jsonschema:"minimum=1" jsonschema_description:"Of its newest entry, which is the one of this event."`
	OpenedAt instant         `json:"opened_at"`
}

// declinedData is a command that was declined.
type declinedData struct {
	journal
	Reason         errs.Reason       `json:"reason" jsonschema_description:"Why. Reasons are added in minor versions: take one that is not listed for a decline like any other."`
	Detail         map[string]string `json:"detail,omitempty" jsonschema_description:"Facts that go with the reason: available, required …"`
	DetailRedacted bool              `json:"detail_redacted,omitempty" jsonschema_description:"The facts are left out, because they are about a ledger that is at home where this subscriber may not look."`
	Account        id.Account        `json:"account_id,omitempty" jsonschema_description:"The account that the command named, or that it was declined for, if any."`
	Amount         digits            `json:"amount_minor,omitempty" jsonschema:"pattern=^[1-9][0-9]*$,maxLength=38" jsonschema_description:"Minor units that the command named, if any."`
	Currency       money.Code        `json:"currency,omitempty" jsonschema_description:"The asset that the command named, if any."`
	Target         uuid              `json:"target,omitempty" jsonschema_description:"The hold or the transaction that the command was to act on."`
	RequestReason  id.Reason         `json:"request_reason,omitempty" jsonschema_description:"Why the client wanted to move money."`
}

// testData shows that a sink works.
type testData struct {
	common
	Message string `json:"message" jsonschema_description:"For a person."`
}
