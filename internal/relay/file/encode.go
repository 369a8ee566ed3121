package file

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strconv"

	"github.com/parquet-go/parquet-go"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/relay/sink"
)

// encode writes a whole file.
func (f Format) encode(w io.Writer, messages []sink.Message) error {
	if f == Parquet {
		return encodeParquet(w, messages)
	}
	b := bufio.NewWriterSize(w, 1<<20)
	for _, m := range messages {
		_, _ = b.Write(m.Body) // the error stays, and Flush returns it
		_ = b.WriteByte('\n')
	}
	return b.Flush()
}

func encodeParquet(w io.Writer, messages []sink.Message) error {
	const chunk = 256
	p := parquet.NewGenericWriter[row](w, parquet.Compression(&parquet.Snappy), parquet.CreatedBy("meridian", event.SchemaVersion, ""))
	rows := make([]row, 0, chunk)
	for len(messages) > 0 {
		n := min(chunk, len(messages))
		rows = rows[:0]
		for _, m := range messages[:n] {
			r, err := rowOf(m)
			if err != nil {
				return &malformedError{m.Position, err}
			}
			rows = append(rows, r)
		}
		if _, err := p.Write(rows); err != nil {
			return err
		}
		messages = messages[n:]
	}
	return p.Close()
}

// readPositions returns the positions of the events in a file.
func readPositions(base *os.Root, name string, f Format) ([]event.Position, error) {
	file, err := base.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if f == Parquet {
		return positionsOfParquet(file)
	}
	return positionsOfNDJSON(file)
}

func positionsOfNDJSON(r io.Reader) ([]event.Position, error) {
	var positions []event.Position
	lines := bufio.NewReaderSize(r, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(bytes.TrimSpace(line)) == 0 {
			return positions, nil
		}
		if err != nil {
			return nil, err
		}
		var e struct {
			Position string `json:"position"`
		}
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, err
		}
		p, err := strconv.ParseInt(e.Position, 10, 64)
		if err != nil {
			return nil, err
		}
		positions = append(positions, event.Position(p))
	}
}

func positionsOfParquet(file *os.File) ([]event.Position, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	whole, err := parquet.OpenFile(file, info.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, err
	}
	column, ok := whole.Schema().Lookup("position")
	if !ok {
		return nil, errors.New("there is no column position")
	}
	var positions []event.Position
	values := make([]parquet.Value, 1024)
	for _, group := range whole.RowGroups() {
		pages := group.ColumnChunks()[column.ColumnIndex].Pages()
		err := eachPage(pages, func(v parquet.ValueReader) error {
			for {
				n, err := v.ReadValues(values)
				for _, value := range values[:n] {
					positions = append(positions, event.Position(value.Int64()))
				}
				if err != nil {
					return err
				}
			}
		})
		if err := errors.Join(err, pages.Close()); err != nil {
			return nil, err
		}
	}
	return positions, nil
}

// eachPage hands the pages of a column on; fn ends with io.EOF at the end of one.
func eachPage(pages parquet.Pages, fn func(parquet.ValueReader) error) error {
	for {
		page, err := pages.ReadPage()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		err = fn(page.Values())
		parquet.Release(page)
		if !errors.Is(err, io.EOF) {
			return err
		}
	}
}
