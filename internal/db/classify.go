package db

import (
	"context"
	"errors"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/meridian-ledger/meridian/internal/errs"
)

// Classify turns an error of the driver into one of the domain, by SQLSTATE alone: ErrContended where the whole transaction should run
// again, ErrUnavailable where the connection or the node is gone, or lets us in no more, and nothing was committed, ErrDeadlineExceeded and ErrCanceled
// where the caller's context ended. What it does not know is internal. An *errs.Error passes unchanged, nil stays nil.
func Classify(err error) error {
	var known *errs.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	}
	if cause := misfit(err); cause != "" {
		return errs.ErrUnavailable.With("cause", cause).Because(err)
	}
	var server *pgconn.PgError
	if errors.As(err, &server) {
		return classifySQLState(server, err)
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded) && !errors.As(err, new(*pgconn.ConnectError)): // that one may be the timeout of the dial
		return errs.ErrDeadlineExceeded.Because(err)
	case errors.Is(err, context.Canceled):
		return errs.ErrCanceled.Because(err)
	case errors.Is(err, pgx.ErrTxCommitRollback):
		return errs.ErrContended.With("cause", "rolled_back").Because(err)
	case lost(err):
		return errs.ErrUnavailable.With("cause", "connection").Because(err)
	}
	return errs.ErrInternal.Because(err)
}

// ClassifyCommit is Classify for an error that came back as the answer to COMMIT, or instead of one: where the server did not say what
// happened, the outcome is unknown. An error of the server about a statement before COMMIT is a matter for Classify: that COMMIT was not
// executed.
func ClassifyCommit(err error) error {
	if err == nil {
		return nil
	}
	classified := Classify(err)
	var server *pgconn.PgError
	if !errors.As(err, &server) {
		if pgconn.SafeToRetry(err) || errors.Is(err, pgx.ErrTxCommitRollback) {
			return classified // not a byte was sent, or the server said that it rolled back
		}
		return errs.ErrOutcomeUnknown.With("cause", "connection").Because(err)
	}
	switch server.Code {
	case "57P01", "57P02", "57P03", "57014", "58C00", "58C01", "08006", "08007":
		return errs.ErrOutcomeUnknown.With("cause", server.Code).Because(err)
	}
	if strings.HasPrefix(server.Code, "XX") && !errors.Is(classified, errs.ErrContended) { // a server that does not know what befell it
		return errs.ErrOutcomeUnknown.With("cause", server.Code).Because(err)
	}
	return classified
}

func classifySQLState(server *pgconn.PgError, err error) error {
	switch server.Code {
	case "40001", "CR000":
		return errs.ErrContended.With("cause", "serialization").Because(err)
	case "40P01":
		return errs.ErrContended.With("cause", "deadlock").Because(err)
	case "23505":
		return errs.ErrContended.With("cause", "unique").With("constraint", server.ConstraintName).Because(err) // somebody wrote the key first: look again
	case "40003":
		return errs.ErrOutcomeUnknown.With("cause", "ambiguous").Because(err)
	case "55P03":
		return errs.ErrContended.With("cause", "lock_timeout").Because(err)
	case "25P03", "25P04":
		return errs.ErrUnavailable.With("cause", "transaction_timeout").Because(err) // it stalled: the server rolled back and hung up
	case "57014":
		return errs.ErrUnavailable.With("cause", "statement_timeout").Because(err)
	}
	// Four facts have no code of their own.
	switch {
	case server.Code == "0A000" && (server.Routine == "RevalidateCachedQuery" || strings.Contains(server.Message, "cached plan must not change")):
		// PostgreSQL translates its messages, but not the name of the routine. The driver has dropped the plan.
		return errs.ErrContended.With("cause", "stale_plan").Because(err)
	case server.Code == "XXUUU" && strings.Contains(server.Message, "timestamp in the future"):
		return errs.ErrContended.With("cause", "clock").Because(err)
	case server.Code == "XXUUU" && strings.Contains(server.Message, "rpc error: code = Unavailable"): // a node that it asked is gone
		return errs.ErrUnavailable.With("cause", "node").Because(err)
	case server.Code == "XXUUU" && strings.Contains(server.Message, "context canceled"): // somebody ended the session, or the node drains
		return errs.ErrUnavailable.With("cause", "canceled").Because(err)
	}
	switch server.Code[:min(2, len(server.Code))] {
	case "08", "53", "57", "58": // connection, resources, operator, system: this server, now
		return errs.ErrUnavailable.With("cause", server.Code).Because(err)
	}
	return errs.ErrInternal.Because(err)
}

// lost tells whether the connection broke or could not be made.
func lost(err error) bool {
	var connect *pgconn.ConnectError
	var network net.Error
	if errors.As(err, &connect) || errors.As(err, &network) || pgconn.SafeToRetry(err) {
		return true
	}
	for _, sign := range []string{"unexpected EOF", "conn closed", "broken pipe", "connection reset", "connection refused", "closed pool"} {
		if strings.Contains(err.Error(), sign) { // pgx wraps some of these as plain texts
			return true
		}
	}
	return false
}
