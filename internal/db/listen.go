package db

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/errs"
)

// Listen calls told once when it has begun to listen on a channel, because of what happened before, and then for every notice, on a connection
// of its own, until the context ends or the connection breaks; it returns why. Notices that come while told runs are kept. It is for engines
// that notify (Engine.Notifies). A line that is dead without a word is not noticed: whoever listens also looks by itself now and then.
func (d *DB) Listen(ctx context.Context, channel string, told func()) error {
	if !d.Engine.Notifies {
		return errs.ErrInternal.Because(errors.New(d.Engine.Name + " does not notify"))
	}
	conn, err := d.Connect(ctx, map[string]string{"application_name": "meridian listen"}, nil)
	if err != nil {
		return err
	}
	defer func() {
		ending, cancel := farewell(ctx)
		defer cancel()
		_ = conn.Close(ending) // the story is why it ends
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{channel}.Sanitize()); err != nil {
		return Classify(fmt.Errorf("listen on %s: %w", channel, err))
	}
	for {
		told()
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return Classify(fmt.Errorf("wait for a notice on %s: %w", channel, err))
		}
	}
}
