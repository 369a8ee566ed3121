package recon

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// Source is a statement to import, less its content.
type Source struct {
	Ledger   id.Ledger
	Provider string
	Name     string // what errors call the file
	Reading  string // how it is read, in words that are the same for the same lines
	// Lines reads it. A line that is wrong comes as an error that names it, and others follow.
	Lines func(in io.Reader, assets []money.Asset) iter.Seq2[Line, error]
}

// maxReports is how many lines that are wrong are named.
const maxReports = 20

// Import reads a statement twice: first to see that every line of it is right, then to write them. So a file that is wrong leaves nothing behind,
// memory stays bounded however long it is, and an import that was interrupted goes on when it is called again. The same file of the same provider
// by the same mapping is imported once: then there is true. progress, unless nil, hears of lines read and written, every few thousand.
//
// The error names each line that is wrong, up to 20 of them, and is of errs.InvalidArgument.
func (s *Service) Import(ctx context.Context, f Source, in io.ReadSeeker, progress func(read, written int64)) (st Statement, there bool, err error) {
	if progress == nil {
		progress = func(int64, int64) {}
	}
	if f.Provider, err = ParseProvider(f.Provider); err != nil {
		return Statement{}, false, err
	}
	l, err := s.store.Ledger(ctx, f.Ledger)
	if err != nil {
		return Statement{}, false, err
	}
	read := func(in io.Reader) iter.Seq2[Line, error] { return f.Lines(in, l.Assets) }
	st = Statement{Ledger: l.ID, Provider: f.Provider, File: baseName(f.Name), Reading: f.Reading}
	if err := st.examine(ctx, in, read, func(n int64) { progress(n, 0) }); err != nil {
		return Statement{}, false, err
	}
	st.ID = StatementID{derive("statement", string(l.ID), f.Provider, string(st.FileHash[:]), f.Reading)}
	switch stored, err := s.store.Statement(ctx, l, st.ID); {
	case err == nil:
		return stored, true, nil
	case !errors.Is(err, errs.ErrReconNotFound):
		return Statement{}, false, err
	}
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return Statement{}, false, errs.ErrInternal.Because(fmt.Errorf("read %s again: %w", f.Name, err))
	}
	again := sha256.New()
	if err := s.write(ctx, l, st, read(io.TeeReader(in, again)), progress); err != nil {
		return Statement{}, false, err
	}
	if _, err := io.Copy(again, in); err != nil || [sha256.Size]byte(again.Sum(nil)) != st.FileHash {
		return Statement{}, false, errs.Invalid("file", fmt.Sprintf("%s changed while it was read; import it again", f.Name))
	}
	st.Imported = s.now().UTC().Truncate(time.Microsecond)
	if err := s.store.AddStatement(ctx, l, st); err != nil {
		return Statement{}, false, err
	}
	s.metrics.lines.WithLabelValues(string(l.ID), f.Provider).Add(float64(st.Lines))
	st, err = s.store.Statement(ctx, l, st.ID)
	return st, false, err
}

// examine reads the file for its hash, its days, and what is wrong with it.
func (st *Statement) examine(ctx context.Context, in io.Reader, read func(io.Reader) iter.Seq2[Line, error], progress func(int64)) error {
	hash := sha256.New()
	var wrong []error
	for line, err := range read(io.TeeReader(in, hash)) {
		if ctx.Err() != nil {
			return errs.ErrCanceled.Because(ctx.Err())
		}
		if err != nil {
			if wrong = append(wrong, err); len(wrong) == maxReports {
				wrong = append(wrong, errors.New("and perhaps more"))
				break
			}
			continue
		}
		if st.Lines++; st.Lines%progressEvery == 0 {
			progress(st.Lines)
		}
		if line.Pending {
			st.Pending++
		}
		if d := day(line.Date); st.From.IsZero() || d.Before(st.From) {
			st.From = d
		}
		if d := day(line.Date).Add(24 * time.Hour); d.After(st.To) {
			st.To = d
		}
	}
	if len(wrong) > 0 {
		return errs.Invalid("file", errors.Join(wrong...).Error())
	}
	if st.Lines == 0 {
		return errs.Invalid("file", "the statement has no lines; is it the right file, and the right mapping?")
	}
	if _, err := io.Copy(hash, in); err != nil {
		return errs.Invalid("file", fmt.Sprintf("the file can not be read to its end: %v", err))
	}
	st.FileHash = [sha256.Size]byte(hash.Sum(nil))
	return nil
}

// How many rows are written at once, and how often progress is told.
const (
	batchRows     = 2000
	progressEvery = 10_000
)

func (s *Service) write(ctx context.Context, l ledger.Ledger, st Statement, lines iter.Seq2[Line, error], progress func(read, written int64)) error {
	batch := make([]Line, 0, batchRows)
	written := int64(0)
	flush := func() error {
		if err := s.store.AddLines(ctx, l, batch); err != nil {
			return err
		}
		before := written / progressEvery
		if written += int64(len(batch)); written/progressEvery > before {
			progress(st.Lines, written)
		}
		batch = batch[:0]
		return nil
	}
	number := int64(0)
	for line, err := range lines {
		if err != nil { // the first reading had none
			return errs.Invalid("file", fmt.Sprintf("the file changed while it was read; import it again: %v", err))
		}
		number++
		line.Statement, line.Number = st.ID, number
		batch = append(batch, line)
		if len(batch) == batchRows {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if len(batch) == 0 {
		return nil
	}
	return flush()
}

// baseName is the last part of a path, of either kind, as much of it as a text may have.
func baseName(path string) string {
	name := path[strings.LastIndexAny(path, `/\`)+1:]
	return strings.ToValidUTF8(name[:min(len(name), ledger.MaxText)], "")
}
