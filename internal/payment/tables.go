package payment

import "github.com/meridian-ledger/meridian/internal/ledger"

// Gates that most rules ask.
var (
	mayPlay = []Gate{GateStatus, GateExclusion, GateAML}
	mayPay  = []Gate{GateStatus, GateExclusion}
)

func and(gates []Gate, more ...Gate) []Gate { return append(append([]Gate(nil), gates...), more...) }

const review = ledger.UnderReview

// The parts of a deposit that nobody has taken back.
var refundable = Rest{Of: Captured, Less: []string{Refunded, Disputed}}

// Tables are the lifecycles of all kinds. For one state and trigger the first rule whose amount fits counts.
var Tables = []Table{
	{
		Kind: Deposit, Player: true,
		Uses:   map[ledger.Measure]Rest{ledger.MeasureDeposit: of(Authorized, Voided, Returned)},
		Bounds: []Rest{of(Authorized, Captured, Voided, Returned), refundable, of(Captured, Settled)},
		Rules: []Rule{
			{From: from(New), On: "authorize", Takes: Takes{How: Any}, To: "authorized", Gates: and(mayPay, GateAML, GateLimits), Sets: plus(Authorized)},
			{
				From: from(New), On: "receive", Takes: Takes{How: Any}, To: "captured", Posts: "capture", Pauses: and(mayPay, GateAML, GateLimits), PausePosts: "park",
				Sets: []Effect{{Total: Authorized}, {Total: Captured}},
			},
			{From: from("authorized", "partially_captured"), On: "capture", Takes: Takes{How: All, Rest: of(Authorized, Captured)}, To: "captured", Gates: []Gate{GateAML}, Sets: plus(Captured), Posts: "capture"},
			{From: from("authorized", "partially_captured"), On: "capture", Takes: Takes{How: Part, Rest: of(Authorized, Captured)}, To: "partially_captured", Gates: []Gate{GateAML}, Sets: plus(Captured), Posts: "capture"},
			{From: from("authorized"), On: "void", Takes: Takes{How: All, Rest: of(Authorized)}, To: "voided", Sets: plus(Voided)},
			{From: from("authorized"), On: Expire, Takes: Takes{How: All, Rest: of(Authorized)}, To: "expired", Sets: plus(Voided)},
			{From: from("partially_captured"), On: "void", Takes: Takes{How: All, Rest: of(Authorized, Captured)}, To: "captured", Sets: plus(Voided)},
			{From: from("partially_captured"), On: Expire, Takes: Takes{How: All, Rest: of(Authorized, Captured)}, To: "captured", Sets: plus(Voided)},
			{From: from("captured"), On: "settle", Takes: Takes{How: All, Rest: of(Captured)}, To: "settled", Sets: plus(Settled), Posts: "settle"},
			{From: from(review), On: "release", To: "captured", Gates: []Gate{GateAML, GateStatus}, Takes: Takes{How: All, Rest: of(Authorized)}, Sets: plus(Captured), Posts: "release"},
			{From: from(review), On: "reject", To: "returned", Takes: Takes{How: All, Rest: of(Authorized)}, Sets: plus(Returned), Posts: "return"},
		},
	},
	{
		Kind: Withdrawal, Player: true,
		Uses:   map[ledger.Measure]Rest{ledger.MeasureWithdrawal: of(Requested, Returned)},
		Bounds: []Rest{of(Requested, Settled, Returned)},
		Rules: []Rule{
			{
				From: from(New), On: "request", Takes: Takes{How: Any}, To: "requested", Gates: []Gate{GateLimits}, Pauses: []Gate{GateStatus, GateKYC, GateAML},
				Sets: plus(Requested), Posts: "hold", PausePosts: "hold",
			},
			{From: from(review), On: "release", To: "requested", Gates: []Gate{GateStatus, GateKYC, GateAML}},
			{From: from(review, "requested", "approved"), On: "reject", Takes: Takes{How: All, Rest: of(Requested)}, To: "rejected", Sets: plus(Returned), Posts: "release"},
			{From: from(review, "requested", "approved"), On: "cancel", Takes: Takes{How: All, Rest: of(Requested)}, To: "cancelled", Sets: plus(Returned), Posts: "release"},
			{From: from("requested"), On: "approve", To: "approved", Pauses: []Gate{GateStatus, GateKYC, GateAML}},
			{From: from("approved", "failed"), On: "submit", To: "submitted", Gates: []Gate{GateStatus, GateKYC, GateAML}},
			{From: from("submitted"), On: "settle", Takes: Takes{How: All, Rest: of(Requested)}, To: "settled", Sets: plus(Settled), Posts: "settle"},
			{From: from("submitted"), On: "fail", To: "failed"},
			{From: from("failed"), On: "compensate", Takes: Takes{How: All, Rest: of(Requested)}, To: "compensated", Sets: plus(Returned), Posts: "release"},
		},
	},
	{
		Kind: Bet, Player: true,
		Uses: map[ledger.Measure]Rest{
			ledger.MeasureStake: of(Stake, Returned), ledger.MeasureLoss: of(Stake, Payout, Returned),
		},
		Bounds: []Rest{of(Stake, Returned)},
		Rules:  betRules(),
	},
	{
		Kind: Refund, Player: true, Parent: Deposit,
		Bounds: []Rest{of(Requested, Settled, Returned)},
		Rules: []Rule{
			{
				From: from(New), On: "request", Takes: Takes{How: UpTo, Rest: refundable, Of: Parents}, To: "requested", Sets: plus(Requested), Parent: plus(Refunded),
				Pauses: []Gate{GateAML}, Posts: "hold", PausePosts: "hold",
			},
			{From: from(review), On: "release", To: "requested", Gates: []Gate{GateAML}},
			{
				From: from(review, "requested", "approved"), On: "reject", Takes: Takes{How: All, Rest: of(Requested)}, To: "rejected", Sets: plus(Returned),
				Parent: minus(Refunded), Posts: "release",
			},
			{From: from("requested"), On: "approve", To: "approved"},
			{From: from("approved", "failed"), On: "submit", To: "submitted"},
			{From: from("submitted"), On: "settle", Takes: Takes{How: All, Rest: of(Requested)}, To: "settled", Sets: plus(Settled), Posts: "settle"},
			{From: from("submitted"), On: "fail", To: "failed"},
			{
				From: from("failed"), On: "compensate", Takes: Takes{How: All, Rest: of(Requested)}, To: "compensated", Sets: plus(Returned),
				Parent: minus(Refunded), Posts: "release",
			},
		},
	},
	{
		Kind: Bonus, Player: true,
		Rules: []Rule{
			{
				From: from(New), On: "grant", Takes: Takes{How: Any}, To: "granted", Gates: and(mayPlay), Posts: "grant",
				Sets: []Effect{{Total: Granted}, {Total: Required, Value: "wagering"}},
			},
			{From: from("granted", "wagering"), On: "wager", Takes: Takes{How: Part, Rest: of(Required, Wagered)}, To: "wagering", Gates: mayPlay, Sets: plus(Wagered)},
			{From: from("granted", "wagering"), On: "wager", Takes: Takes{How: Enough, Rest: of(Required, Wagered)}, To: "cleared", Gates: mayPlay, Sets: plus(Wagered)},
			{From: from("cleared"), On: "convert", Takes: Takes{How: All, Rest: of(Granted)}, To: "converted", Gates: mayPlay, Posts: "convert"},
			{From: from("granted", "wagering", "cleared"), On: "forfeit", Takes: Takes{How: All, Rest: of(Granted)}, To: "forfeited", Posts: "forfeit"},
			{From: from("granted", "wagering", "cleared"), On: Expire, Takes: Takes{How: All, Rest: of(Granted)}, To: "expired", Posts: "forfeit"},
		},
	},
	{
		Kind: Commission, Player: true,
		Rules: []Rule{
			{From: from(New), On: "charge", Takes: Takes{How: Any}, To: "charged", Sets: plus(Base), Posts: "charge"},
			{From: from("charged"), On: "waive", Takes: Takes{How: All, Rest: of(Base)}, To: "waived", Posts: "waive"},
			{From: from("charged"), On: "settle", Takes: Takes{How: All, Rest: of(Base)}, To: "settled"},
		},
	},
	{
		Kind: Affiliate,
		Rules: []Rule{
			{From: from(New), On: "accrue", Takes: Takes{How: Any}, To: "accrued", Sets: plus(Base), Posts: "accrue"},
			{From: from("accrued"), On: "approve", To: "approved", OtherActor: true},
			{From: from("approved"), On: "pay", Takes: Takes{How: All, Rest: of(Base)}, To: "paid", Posts: "pay"},
			{From: from("accrued", "approved"), On: "cancel", Takes: Takes{How: All, Rest: of(Base)}, To: "cancelled", Posts: "cancel"},
		},
	},
	{
		Kind: Chargeback, Player: true, Parent: Deposit,
		Rules: []Rule{
			{From: from(New), On: "open", Takes: Takes{How: UpTo, Rest: refundable, Of: Parents}, To: "opened", Sets: plus(Disputed), Parent: plus(Disputed), Posts: "open"},
			{From: from("opened"), On: "represent", To: "represented"},
			{From: from("opened"), On: "accept", Takes: Takes{How: All, Rest: of(Disputed)}, To: "lost", Posts: "lose"},
			{From: from("represented"), On: "lose", Takes: Takes{How: All, Rest: of(Disputed)}, To: "lost", Posts: "lose"},
			{From: from("opened", "represented"), On: "win", Takes: Takes{How: All, Rest: of(Disputed)}, To: "won", Parent: minus(Disputed), Posts: "win"},
		},
	},
	{
		Kind: Adjustment, Player: true,
		Rules: []Rule{
			{From: from(New), On: "propose_credit", Takes: Takes{How: Any}, To: "credit_proposed", Sets: plus(Requested)},
			{From: from(New), On: "propose_debit", Takes: Takes{How: Any}, To: "debit_proposed", Sets: plus(Requested)},
			{From: from("credit_proposed"), On: "approve", Takes: Takes{How: All, Rest: of(Requested)}, To: "applied", OtherActor: true, Posts: "credit"},
			{From: from("debit_proposed"), On: "approve", Takes: Takes{How: All, Rest: of(Requested)}, To: "applied", OtherActor: true, Posts: "debit"},
			{From: from("credit_proposed", "debit_proposed"), On: "reject", Takes: Takes{How: All, Rest: of(Requested)}, To: "rejected"},
		},
	},
}

// betRules settles a bet as one of four results, and again as another one until it is closed.
func betRules() []Rule {
	stake := Takes{How: All, Rest: of(Stake)}
	rules := []Rule{
		{From: from(New), On: "accept", Takes: Takes{How: Any}, To: "accepted", Gates: and(mayPlay, GateLimits), Sets: plus(Stake), Posts: "hold"},
	}
	kept := Effect{Total: Returned, Op: Clear}
	results := []Rule{
		{On: "win", Takes: Takes{How: Any}, To: "won", Sets: []Effect{{Total: Payout, Op: Set}, kept}, Posts: "win"},
		{On: "lose", Takes: stake, To: "lost", Sets: []Effect{{Total: Payout, Op: Clear}, kept}, Posts: "lose"},
		{On: "push", Takes: stake, To: "pushed", Sets: []Effect{{Total: Payout, Op: Clear}, {Total: Returned, Op: Set}}, Posts: "push"},
		{On: "void", Takes: stake, To: "voided", Sets: []Effect{{Total: Payout, Op: Clear}, {Total: Returned, Op: Set}}, Posts: "push"},
	}
	for _, r := range results {
		r.From = from("accepted")
		rules = append(rules, r)
	}
	for _, r := range results {
		r.From, r.On, r.Over = from("won", "lost", "pushed"), "resettle_"+r.On, "hold"
		rules = append(rules, r)
	}
	return append(rules, Rule{From: from("won", "lost", "pushed"), On: "close", To: "settled"})
}
