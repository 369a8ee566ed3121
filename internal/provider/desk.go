package provider

import (
	"context"

	"github.com/meridian-ledger/meridian/internal/money"
)

// Operation is what a provider is asked to do.
type Operation string

// The operations.
const (
	OpCharge Operation = "charge" // take money from whom it is ours to take from
	OpPayout Operation = "payout" // pay money out
	OpRefund Operation = "refund" // give back what a charge took
)

// Order is what a provider is to do, once for each key.
type Order struct {
	Operation Operation    `json:"operation"`
	Payment   string       `json:"payment"`             // our id of the payment
	Original  string       `json:"original,omitempty"`  // of a refund: the provider's id of what is given back
	Recipient string       `json:"recipient,omitempty"` // whose money it is, by our name
	Amount    money.Amount `json:"amount"`              // in minor units
	Currency  money.Code   `json:"currency"`
}

// OrderState is how an order stands.
type OrderState string

// The states of orders. Done, Declined and Cancelled never change.
const (
	OrderPending   OrderState = "pending"   // taken, and not decided
	OrderDone      OrderState = "done"      // the money has moved
	OrderDeclined  OrderState = "declined"  // it will not move
	OrderCancelled OrderState = "cancelled" // it was taken back, and the key is spent: an order under it that is still on its way has no effect
	OrderMissing   OrderState = "missing"   // the provider has never heard of the key
)

// OrderStatus is what a provider says of an order.
type OrderStatus struct {
	State     OrderState `json:"state"`
	Reference string     `json:"reference,omitempty"` // the provider's id of the payment
	Cause     string     `json:"cause,omitempty"`     // of what was declined: one word
}

// Desk is where orders are given to a provider. Client is one over HTTP, package simulate has another. All methods may be called again with the
// same arguments, any number of times and from several nodes. An error says that nobody knows: what was asked may have been heard, or may
// still be. Ask for the Status then, before anything else.
type Desk interface {
	// Submit gives an order, unless the key has one: then nothing happens, and the answer is how that stands.
	Submit(ctx context.Context, key string, o Order) (OrderStatus, error)
	// Status says how the order of a key stands, OrderMissing where there is none.
	Status(ctx context.Context, key string) (OrderStatus, error)
	// Cancel takes an order back if it can still be, and says how it stands then: OrderDone where it is too late.
	Cancel(ctx context.Context, key string) (OrderStatus, error)
}

var orderStates = map[OrderState]bool{OrderPending: true, OrderDone: true, OrderDeclined: true, OrderCancelled: true, OrderMissing: true}
