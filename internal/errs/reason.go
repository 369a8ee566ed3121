package errs

// Reason is one word for why something was refused.
type Reason string

// Reasons of declines: answers of the books, stored in the journal and the same for ever. The order is the order in which the books
// look: the first that holds is the answer.
const (
	ReasonTransactionNotFound Reason = "TRANSACTION_NOT_FOUND"
	ReasonNotReversible       Reason = "NOT_REVERSIBLE"
	ReasonAlreadyReversed     Reason = "ALREADY_REVERSED"
	ReasonHoldNotFound        Reason = "HOLD_NOT_FOUND"
	ReasonHoldExhausted       Reason = "HOLD_EXHAUSTED"
	ReasonHoldExpired         Reason = "HOLD_EXPIRED"
	ReasonHoldExceeded        Reason = "HOLD_EXCEEDED"
	ReasonUnbalanced          Reason = "UNBALANCED"
	ReasonAccountNotFound     Reason = "ACCOUNT_NOT_FOUND"
	ReasonAccountExists       Reason = "ACCOUNT_EXISTS"
	ReasonAssetUnknown        Reason = "ASSET_UNKNOWN"
	ReasonAssetMismatch       Reason = "ASSET_MISMATCH"
	ReasonAccountClosed       Reason = "ACCOUNT_CLOSED"
	ReasonAccountFrozen       Reason = "ACCOUNT_FROZEN"
	ReasonHoldsOpen           Reason = "HOLDS_OPEN"
	ReasonBalanceNotZero      Reason = "BALANCE_NOT_ZERO"
	ReasonBalanceOverflow     Reason = "BALANCE_OVERFLOW"
	ReasonInsufficientFunds   Reason = "INSUFFICIENT_FUNDS"
	ReasonCeilingExceeded     Reason = "CEILING_EXCEEDED"
	ReasonBatchDeclined       Reason = "BATCH_DECLINED"
)

// Reasons of declines that a lifecycle has. It looks before the books do.
const (
	ReasonPaymentNotFound   Reason = "PAYMENT_NOT_FOUND"
	ReasonTransitionRefused Reason = "TRANSITION_REFUSED" // the state does not let the trigger through; cause says in what way
	ReasonAmountRefused     Reason = "AMOUNT_REFUSED"     // more than there is left to capture, refund, settle …
	ReasonGateClosed        Reason = "GATE_CLOSED"        // KYC, AML, status, self-exclusion or a limit; gate says which
)

// Reasons of errors: nothing was written, and nothing is stored.
const (
	ReasonInternal            Reason = "INTERNAL"
	ReasonInvalidArgument     Reason = "INVALID_ARGUMENT"
	ReasonIdempotencyMismatch Reason = "IDEMPOTENCY_MISMATCH"
	ReasonLedgerNotFound      Reason = "LEDGER_NOT_FOUND"
	ReasonLedgerExists        Reason = "LEDGER_EXISTS"
	ReasonOverloaded          Reason = "OVERLOADED"
	ReasonUnavailable         Reason = "UNAVAILABLE"
	ReasonDraining            Reason = "DRAINING"
	ReasonDeadlineExceeded    Reason = "DEADLINE_EXCEEDED"
	ReasonCanceled            Reason = "CANCELED"
	ReasonContended           Reason = "CONTENDED"
	ReasonOutcomeUnknown      Reason = "OUTCOME_UNKNOWN"

	ReasonSubscriptionNotFound Reason = "SUBSCRIPTION_NOT_FOUND"
	ReasonSubscriptionExists   Reason = "SUBSCRIPTION_EXISTS"
	ReasonDeliveryNotFound     Reason = "DELIVERY_NOT_FOUND"
	ReasonReplayNotFound       Reason = "REPLAY_NOT_FOUND"
	ReasonReplayExists         Reason = "REPLAY_EXISTS"
	ReasonResidencyRefused     Reason = "RESIDENCY_REFUSED"
	ReasonHomeNotFound         Reason = "HOME_NOT_FOUND"
	ReasonNotYetSearchable     Reason = "NOT_YET_SEARCHABLE"
	ReasonPlayerNotFound       Reason = "PLAYER_NOT_FOUND"
	ReasonCallbackNotFound     Reason = "CALLBACK_NOT_FOUND"
	ReasonReconNotFound        Reason = "RECON_NOT_FOUND"
	ReasonFourEyes             Reason = "FOUR_EYES"
	ReasonDecided              Reason = "DECIDED"
)

// Declines lists the reasons of declines in the order in which the books look.
var Declines = []Reason{
	ReasonTransactionNotFound, ReasonNotReversible, ReasonAlreadyReversed,
	ReasonHoldNotFound, ReasonHoldExhausted, ReasonHoldExpired, ReasonHoldExceeded,
	ReasonUnbalanced, ReasonAccountNotFound, ReasonAccountExists, ReasonAssetUnknown, ReasonAssetMismatch,
	ReasonAccountClosed, ReasonAccountFrozen, ReasonHoldsOpen, ReasonBalanceNotZero,
	ReasonBalanceOverflow, ReasonInsufficientFunds, ReasonCeilingExceeded, ReasonBatchDeclined,
}

// StepDeclines lists the reasons of declines that a lifecycle has, in the order in which it looks.
var StepDeclines = []Reason{ReasonPaymentNotFound, ReasonTransitionRefused, ReasonAmountRefused, ReasonGateClosed}

// Failures lists the reasons of errors.
var Failures = []Reason{
	ReasonInternal, ReasonInvalidArgument, ReasonIdempotencyMismatch, ReasonLedgerNotFound, ReasonLedgerExists,
	ReasonOverloaded, ReasonUnavailable, ReasonDraining, ReasonDeadlineExceeded, ReasonCanceled,
	ReasonContended, ReasonOutcomeUnknown,
	ReasonSubscriptionNotFound, ReasonSubscriptionExists, ReasonDeliveryNotFound, ReasonReplayNotFound, ReasonReplayExists,
	ReasonResidencyRefused, ReasonHomeNotFound, ReasonNotYetSearchable, ReasonPlayerNotFound, ReasonCallbackNotFound,
	ReasonReconNotFound, ReasonFourEyes, ReasonDecided,
}

// Errors that several packages return. Add facts with With and the driver's error with Because.
var (
	ErrInternal            = New(Internal, ReasonInternal, "an internal error; the trace id finds it in the log")
	ErrIdempotencyMismatch = New(AlreadyExists, ReasonIdempotencyMismatch, "this idempotency key was used for a different request")
	ErrLedgerNotFound      = New(NotFound, ReasonLedgerNotFound, "there is no such ledger")
	ErrLedgerExists        = New(AlreadyExists, ReasonLedgerExists, "a ledger of this name exists and differs")
	ErrAccountNotFound     = New(NotFound, ReasonAccountNotFound, "there is no such account")
	ErrTransactionNotFound = New(NotFound, ReasonTransactionNotFound, "there is no such transaction")
	ErrOverloaded          = New(ResourceExhausted, ReasonOverloaded, "too many commands are waiting; retry with the same key")
	ErrUnavailable         = New(Unavailable, ReasonUnavailable, "the database can not be reached; retry with the same key, here or at another node")
	ErrDraining            = New(Unavailable, ReasonDraining, "this node is shutting down; retry with the same key at another node")
	ErrDeadlineExceeded    = New(DeadlineExceeded, ReasonDeadlineExceeded, "the deadline ended first; retry with the same key to learn the outcome")
	ErrContended           = New(Aborted, ReasonContended, "others kept changing the same rows; retry with the same key")
	ErrOutcomeUnknown      = New(Unavailable, ReasonOutcomeUnknown, "the answer was lost on its way; retry with the same key to learn the outcome")
	ErrCanceled            = New(Canceled, ReasonCanceled, "the caller went away; retry with the same key to learn the outcome")

	ErrSubscriptionNotFound = New(NotFound, ReasonSubscriptionNotFound, "there is no such subscription")
	ErrSubscriptionExists   = New(AlreadyExists, ReasonSubscriptionExists, "a subscription of this id exists and differs")
	ErrDeliveryNotFound     = New(NotFound, ReasonDeliveryNotFound, "there is no such delivery")
	ErrReplayNotFound       = New(NotFound, ReasonReplayNotFound, "there is no such replay")
	ErrReplayExists         = New(AlreadyExists, ReasonReplayExists, "a replay of this id exists and differs")
	ErrResidencyRefused     = New(FailedPrecondition, ReasonResidencyRefused, "events of this home may not leave for that region without a residency grant")
	ErrHomeNotFound         = New(NotFound, ReasonHomeNotFound, "there is no such home")
	ErrNotYetSearchable     = New(Unavailable, ReasonNotYetSearchable, "the search model is not that far yet; ask again")
	ErrPaymentNotFound      = New(NotFound, ReasonPaymentNotFound, "there is no such payment")
	ErrPlayerNotFound       = New(NotFound, ReasonPlayerNotFound, "nothing is known of this player")
	ErrCallbackNotFound     = New(NotFound, ReasonCallbackNotFound, "there is no such callback")
	ErrReconNotFound        = New(NotFound, ReasonReconNotFound, "there is no such statement, run, result or resolution")
	ErrFourEyes             = New(PermissionDenied, ReasonFourEyes, "whoever proposes a resolution does not decide about it; somebody else has to")
	ErrDecided              = New(FailedPrecondition, ReasonDecided, "that is decided already")
)

// CodeOf returns the code of an error by its reason, which is all that an error inside a longer answer carries. A reason of no error is
// Internal.
func CodeOf(r Reason) Code {
	if r == ReasonInvalidArgument {
		return InvalidArgument
	}
	for _, e := range []*Error{
		ErrIdempotencyMismatch, ErrLedgerNotFound, ErrLedgerExists, ErrAccountNotFound, ErrTransactionNotFound, ErrOverloaded,
		ErrUnavailable, ErrDraining, ErrDeadlineExceeded, ErrContended, ErrOutcomeUnknown, ErrCanceled, ErrSubscriptionNotFound,
		ErrSubscriptionExists, ErrDeliveryNotFound, ErrReplayNotFound, ErrReplayExists, ErrResidencyRefused, ErrHomeNotFound,
		ErrNotYetSearchable, ErrPaymentNotFound, ErrPlayerNotFound, ErrCallbackNotFound, ErrReconNotFound, ErrFourEyes, ErrDecided,
	} {
		if e.Reason == r {
			return e.Code
		}
	}
	return Internal
}
