package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/meridian-ledger/meridian/internal/ledger"
)

// Strategy is how a program without group commit goes about a transfer. Every program has the same tables, the same statements in the same
// order and one SERIALIZABLE transaction per transfer; this is all that they differ in.
type Strategy struct {
	Name string `json:"name"`
	Does string `json:"does"` // in words, for a person
	// read is the statement that reads both accounts.
	read string
	// pause is how long to wait before an attempt is repeated, counted from 1; nil: not at all.
	pause func(attempt int) time.Duration
	// hot is the least window on hot accounts: where few transfers a second get through, a short one counts a handful.
	hot time.Duration
}

// Naive is what one writes first, from the documentation of pgx: read, check, write, commit, and all of it again when the database says
// that it could not be serialized. Neither pgx nor its BeginTxFunc repeats anything, or knows of pauses, so it has none.
var Naive = Strategy{
	Name: "naive",
	Does: "plain reads, repeated at once",
	read: sqlRead,
	hot:  20 * time.Second,
}

// Tuned is the same program after an afternoon with the manual of the database: it locks both accounts as it reads them, in the order of
// their ids, so that no two transfers wait for each other; and it pauses before it repeats. One that waited is still refused when the other
// has committed, since its snapshot is the older.
var Tuned = Strategy{
	Name:  "tuned",
	Does:  "accounts locked in order, repeated after random pauses",
	read:  sqlReadLocked,
	pause: func(attempt int) time.Duration { return time.Duration(rand.Int64N(int64(pauseBound(attempt)))) },
}

// pauseBound doubles from two milliseconds to a quarter of a second.
func pauseBound(attempt int) time.Duration {
	return min(250*time.Millisecond, time.Millisecond<<min(attempt, 10))
}

var strategies = []Strategy{Naive, Tuned}

// ParseStrategies reads names of programs to compare with; one that is named twice counts once.
func ParseStrategies(names []string) ([]Strategy, error) {
	for _, name := range names {
		if !slices.ContainsFunc(strategies, func(s Strategy) bool { return s.Name == name }) {
			return nil, fmt.Errorf("%q is none of %s and %s", name, Naive.Name, Tuned.Name)
		}
	}
	return slices.DeleteFunc(slices.Clone(strategies), func(s Strategy) bool { return !slices.Contains(names, s.Name) }), nil
}

// Opponent is a program to compare with, and the connections it may have. It has none until its turn comes, and leaves none behind.
type Opponent struct {
	Strategy
	Connections int    `json:"connections"`
	Tried       []Pool `json:"tried,omitempty"` // of which Connections is the best
	url         string
	ledger      string // its own: opponents get the same commands, and share the tables
}

// NewOpponent returns a strategy on the tables that PrepareOpponents made.
func NewOpponent(s Strategy, url string, connections int, b Books) *Opponent {
	return &Opponent{Strategy: s, url: url, Connections: connections, ledger: s.ledgerOf(b)}
}

func (s Strategy) ledgerOf(b Books) string { return string(b.Ledger) + "." + s.Name }

// Run measures a slice, as the function Run does. An opponent has no batches: where Meridian gets them, as many clients send the same
// commands one by one. On hot accounts its window may be longer than Meridian's.
func (o *Opponent) Run(ctx context.Context, l Load, b Books, slice int) (Slice, error) {
	l.Batch = 1
	if l.Scenario == Hot {
		l.Duration = max(l.Duration, o.hot)
	}
	p, err := o.connect(ctx, l.Clients)
	if err != nil {
		return Slice{}, err
	}
	defer p.pool.Close()
	return Run(ctx, p, l, b, slice, nil)
}

// connect opens what these clients will use at once, so that a database with fewer connections is found out before the measurement.
func (o *Opponent) connect(ctx context.Context, clients int) (*program, error) {
	config, err := pgxpool.ParseConfig(o.url)
	if err != nil {
		return nil, fmt.Errorf("read the database URL: %w", err)
	}
	config.MaxConns = int32(o.Connections) //nolint:gosec // 150 at most
	config.ConnConfig.RuntimeParams["application_name"] = "meridian bench " + o.Name
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open the pool of %s: %w", o.Name, err)
	}
	for range min(clients, o.Connections) {
		conn, err := pool.Acquire(ctx)
		if err != nil {
			err = fmt.Errorf("open %d connections for %s (--%s-pool): %w", o.Connections, o.Name, o.Name, err)
			defer pool.Close()
			return nil, err
		}
		defer conn.Release()
	}
	return &program{Opponent: o, pool: pool}, nil
}

// program is an opponent with its connections. It does transfers alone, and no more than its tables need: no RPC, no validation, amounts
// in 64 bits.
type program struct {
	*Opponent
	pool *pgxpool.Pool
}

// Do implements Target: one transfer after another.
func (p *program) Do(ctx context.Context, _ int, commands []ledger.Command) (Answer, error) {
	var sum Answer
	for _, c := range commands {
		a, err := p.persist(ctx, c)
		if err != nil {
			return sum, fmt.Errorf("%s transfer: %w", p.Name, err)
		}
		sum.add(a)
	}
	return sum, nil
}

// persist repeats a transfer until it is in, or until time is up.
func (p *program) persist(ctx context.Context, c ledger.Command) (Answer, error) {
	for attempt := 1; ; attempt++ {
		a, err := p.attempt(ctx, c)
		if err == nil {
			a.Retries = attempt - 1
			return a, nil
		}
		if ctx.Err() != nil || !repeatable(err) {
			return Answer{}, err
		}
		if p.pause != nil && !sleepUntil(ctx, time.Now().Add(p.pause(attempt))) {
			return Answer{}, ctx.Err()
		}
	}
}

// repeatable says that the same again may succeed: it could not be serialized (40001), or was chosen to end a deadlock (40P01), or came
// second with a key or a sequence number (23505), and will find the first.
func repeatable(err error) bool {
	var server *pgconn.PgError
	return errors.As(err, &server) && (server.Code == "40001" || server.Code == "40P01" || server.Code == "23505")
}

// Fit tries pools of several sizes on a load, and keeps the best.
func (o *Opponent) Fit(ctx context.Context, l Load, b Books, sizes ...int) error {
	for i, size := range sizes {
		o.Connections = size
		s, err := o.Run(ctx, l, b, -1-i)
		if err != nil {
			return fmt.Errorf("try %s with %d connections: %w", o.Name, size, err)
		}
		o.Tried = append(o.Tried, Pool{Connections: size, PerSecond: s.PerSecond})
	}
	o.Connections = slices.MaxFunc(o.Tried, func(x, y Pool) int { return cmp.Compare(x.PerSecond, y.PerSecond) }).Connections
	return nil
}
