package rpc

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/meridian-ledger/meridian/internal/errs"
	ledgerv1 "github.com/meridian-ledger/meridian/proto/meridian/ledger/v1"
)

// domain is that of every ErrorInfo.
const domain = "meridian"

// codes is the one table between the domain and the wire; the client uses its inverse.
var codes = map[errs.Code]connect.Code{
	errs.Internal:           connect.CodeInternal,
	errs.InvalidArgument:    connect.CodeInvalidArgument,
	errs.NotFound:           connect.CodeNotFound,
	errs.AlreadyExists:      connect.CodeAlreadyExists,
	errs.FailedPrecondition: connect.CodeFailedPrecondition,
	errs.ResourceExhausted:  connect.CodeResourceExhausted,
	errs.Aborted:            connect.CodeAborted,
	errs.Unavailable:        connect.CodeUnavailable,
	errs.DeadlineExceeded:   connect.CodeDeadlineExceeded,
	errs.Canceled:           connect.CodeCanceled,
	errs.Unauthenticated:    connect.CodeUnauthenticated,
	errs.PermissionDenied:   connect.CodePermissionDenied,
}

var codesBack = func() map[connect.Code]errs.Code {
	back := make(map[connect.Code]errs.Code, len(codes))
	for e, c := range codes {
		back[c] = e
	}
	return back
}()

// retryAfter is how long a client waits after OVERLOADED: a full queue is worked off within about that time.
const retryAfterSeconds = 1

// toWire turns an error of the domain into one of Connect. What an internal error says stays in the log.
func toWire(err error) *connect.Error {
	if already := new(connect.Error); errors.As(err, &already) {
		return already
	}
	e := errs.Of(err)
	message := e.Message
	if field, found := e.Fields["field"]; found && e.Code == errs.InvalidArgument {
		message = field + ": " + message
	}
	out := connect.NewError(codes[e.Code], errors.New(message))
	metadata := e.Fields
	if e.Code == errs.Internal {
		metadata = nil
	}
	attach(out, &errdetails.ErrorInfo{Domain: domain, Reason: string(e.Reason), Metadata: metadata})
	if e.Code == errs.InvalidArgument && e.Fields["field"] != "" {
		attach(out, &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: e.Fields["field"], Description: e.Message}}})
	}
	if e.Code == errs.ResourceExhausted {
		out.Meta().Set("Retry-After", strconv.Itoa(retryAfterSeconds))
		attach(out, &errdetails.RetryInfo{RetryDelay: durationpb.New(retryAfterSeconds * time.Second)})
	}
	return out
}

func attach(e *connect.Error, m proto.Message) {
	detail, err := connect.NewErrorDetail(m)
	if err != nil {
		return // only a message that can not be marshaled; the code and the sentence remain
	}
	e.AddDetail(detail)
}

// fromWire is the inverse of toWire, so that errors.Is holds on both sides.
func fromWire(err error) error {
	if err == nil {
		return nil
	}
	wire := new(connect.Error)
	if !errors.As(err, &wire) {
		return errs.ErrUnavailable.Because(err)
	}
	e := errs.New(codesBack[wire.Code()], "", wire.Message())
	for _, d := range wire.Details() {
		value, bad := d.Value()
		if bad != nil {
			continue
		}
		switch v := value.(type) {
		case *errdetails.ErrorInfo:
			e.Reason = errs.Reason(v.GetReason())
			for k, fact := range v.GetMetadata() {
				e = e.With(k, fact)
			}
		case *errdetails.BadRequest:
			for _, violation := range v.GetFieldViolations() {
				e.Message = violation.GetDescription()
			}
		}
	}
	if e.Reason == "" { // not from a ledger: a proxy, or nothing at all
		e = unreasoned(wire)
	}
	return e.Because(err)
}

func unreasoned(wire *connect.Error) *errs.Error {
	switch {
	case errors.Is(wire, context.DeadlineExceeded) || wire.Code() == connect.CodeDeadlineExceeded:
		return errs.ErrDeadlineExceeded
	case errors.Is(wire, context.Canceled) || wire.Code() == connect.CodeCanceled:
		return errs.ErrCanceled
	case wire.Code() == connect.CodeInvalidArgument:
		return errs.New(errs.InvalidArgument, errs.ReasonInvalidArgument, wire.Message())
	case wire.Code() == connect.CodeResourceExhausted:
		return errs.ErrOverloaded
	case wire.Code() == connect.CodeInternal:
		return errs.ErrInternal
	}
	return errs.ErrUnavailable
}

// reasonOf gives a reason its number on the wire. A test walks all of them.
func reasonOf(r errs.Reason) ledgerv1.Reason {
	if r == "" {
		return ledgerv1.Reason_REASON_UNSPECIFIED
	}
	return ledgerv1.Reason(ledgerv1.Reason_value["REASON_"+string(r)])
}

func reasonBack(r ledgerv1.Reason) errs.Reason {
	if r == ledgerv1.Reason_REASON_UNSPECIFIED {
		return ""
	}
	return errs.Reason(r.String()[len("REASON_"):])
}

// declinedCode is the code of a declined command on an account, which is an error to its caller.
func declinedCode(r errs.Reason) errs.Code {
	switch r {
	case errs.ReasonAccountNotFound:
		return errs.NotFound
	case errs.ReasonAccountExists:
		return errs.AlreadyExists
	case errs.ReasonAssetUnknown:
		return errs.InvalidArgument
	}
	return errs.FailedPrecondition
}

func declinedError(r errs.Reason, detail map[string]string) error {
	e := errs.New(declinedCode(r), r, fmt.Sprintf("the change of the account was declined: %s", r))
	for k, fact := range detail {
		e = e.With(k, fact)
	}
	return e
}
