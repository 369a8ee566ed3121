package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
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

// retryAfterSeconds is how long a client waits before it tries again: a full queue is worked off, and a database has chosen another
// leader, within about that time.
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
	if e.Code == errs.ResourceExhausted || e.Code == errs.Unavailable {
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

// fromWire is the inverse of toWire, so that errors.Is holds on both sides. The context is that of the call.
func fromWire(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	wire := new(connect.Error)
	if !errors.As(err, &wire) {
		wire = connect.NewError(connect.CodeUnknown, err)
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
		e = unreasoned(ctx, wire)
	}
	return e.Because(err)
}

// unreasoned is for errors that no ledger gave a reason. Only a caller whose own context ended was canceled or out of time: Connect uses
// these words also where the server, or a dial that took too long, ended the connection.
func unreasoned(ctx context.Context, wire *connect.Error) *errs.Error {
	switch ended := over(ctx); {
	case errors.Is(ended, context.DeadlineExceeded):
		return errs.ErrDeadlineExceeded
	case ended != nil:
		return errs.ErrCanceled
	case severed(wire):
		return errNoAnswer
	}
	switch wire.Code() {
	case connect.CodeInvalidArgument:
		return errs.New(errs.InvalidArgument, errs.ReasonInvalidArgument, wire.Message())
	case connect.CodeResourceExhausted:
		return errs.ErrOverloaded
	case connect.CodeInternal:
		return errs.ErrInternal
	case connect.CodeDeadlineExceeded: // said by somebody on the way, whose clock is ahead of ours
		return errs.ErrDeadlineExceeded
	default:
		return errNoAnswer
	}
}

var errNoAnswer = errs.New(errs.Unavailable, errs.ReasonUnavailable, "there is no answer from the node; retry with the same key, here or at another node")

// over is ctx.Err, and the deadline also in the moment between its passing and the timer.
func over(ctx context.Context) error {
	if deadline, ok := ctx.Deadline(); ok && ctx.Err() == nil && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return ctx.Err()
}

// severed tells an answer that never came, or came in part, from one that somebody gave. HTTP/2 has no type for a stream that was reset.
func severed(wire *connect.Error) bool {
	if connect.IsWireError(wire) {
		return false
	}
	switch wire.Code() {
	case connect.CodeCanceled, connect.CodeDeadlineExceeded, connect.CodeUnknown, connect.CodeUnavailable:
		return true
	default:
		return errors.Is(wire, io.EOF) || errors.Is(wire, io.ErrUnexpectedEOF) || strings.HasPrefix(wire.Message(), "stream error: ")
	}
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
	default:
		return errs.FailedPrecondition
	}
}

func declinedError(r errs.Reason, detail map[string]string) error {
	e := errs.New(declinedCode(r), r, fmt.Sprintf("the change of the account was declined: %s", r))
	for k, fact := range detail {
		e = e.With(k, fact)
	}
	return e
}
