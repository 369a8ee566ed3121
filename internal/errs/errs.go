// Package errs holds the one error type that crosses layers and every reason it can carry.
//
// A Reason is one word for one fact, the same in Go, SQL, proto, metrics and the documentation. Refusals of the books (an account
// without funds) and refusals of the service (a queue that is full) share the type; IsDecline tells them apart, because the first
// are stored as answers and the second are not. It relies on the standard library only. Package rpc maps codes to the wire.
package errs

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Code says what kind of trouble an error is, and so what a client can do about it. The values are those of Connect and gRPC.
type Code uint8

// The codes in use.
const (
	Internal           Code = iota // a bug or broken data: stop and look
	InvalidArgument                // the request can never succeed as it stands
	NotFound                       // what it names is not there
	AlreadyExists                  // what it would create is there and differs
	FailedPrecondition             // not now: the state forbids it
	ResourceExhausted              // too much at once: come back after RetryAfter
	Aborted                        // lost a race too often: retry with the same key
	Unavailable                    // try again, here or at another node, with the same key
	DeadlineExceeded               // the caller's time ran out
	Canceled                       // the caller went away
	Unauthenticated                // who are you
	PermissionDenied               // not yours
)

// Error is a refusal with a reason. Values are immutable: With and Because return copies. Compare with errors.Is, which looks at the
// reason alone.
type Error struct {
	Code    Code
	Reason  Reason
	Message string            // a sentence for the customer, without driver detail
	Fields  map[string]string // facts that go with the reason: available, required, field …
	cause   error
}

// New returns an error for the package variables of the domain.
func New(code Code, reason Reason, message string) *Error {
	return &Error{Code: code, Reason: reason, Message: message}
}

// Invalid says that the field of a request is malformed and how to mend it.
func Invalid(field, message string) *Error {
	return New(InvalidArgument, ReasonInvalidArgument, message).With("field", field)
}

// Error returns the reason, the message and the fields in a fixed order.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", e.Reason, e.Message)
	for _, k := range slices.Sorted(maps.Keys(e.Fields)) {
		fmt.Fprintf(&b, " %s=%s", k, e.Fields[k])
	}
	if e.cause != nil {
		fmt.Fprintf(&b, ": %v", e.cause)
	}
	return b.String()
}

// Is reports whether target carries the same reason.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Reason == e.Reason
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// With returns a copy that carries one more fact.
func (e *Error) With(key string, value any) *Error {
	c := *e
	c.Fields = maps.Clone(e.Fields)
	if c.Fields == nil {
		c.Fields = map[string]string{}
	}
	c.Fields[key] = fmt.Sprint(value)
	return &c
}

// Because returns a copy that wraps the cause, which stays in the log and never leaves the process.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// Transient tells whether the same request, with the same key, may have another answer at another node or later.
func Transient(err error) bool {
	switch Of(err).Code {
	case Unavailable, DeadlineExceeded, ResourceExhausted, Aborted, Canceled:
		return true
	default:
		return false
	}
}

// Of returns the *Error inside err, or an internal one that wraps it.
func Of(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return ErrInternal.Because(err)
}
