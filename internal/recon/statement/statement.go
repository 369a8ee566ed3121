// Package statement reads the files of providers: CSV and JSON lines by a mapping, ISO 20022 camt.053.
//
// It promises that every line comes back exact and once, or as an error that names file and line and how to mend it, and that memory is bounded
// however long the file is. It relies on package importer for the language of mappings. See camt.go for ISO 20022.
package statement

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"iter"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/importer"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/recon"
)

// Format is how a statement is written.
type Format string

// The formats. Those besides camt are read by a mapping.
const (
	CSV   Format = "csv"
	JSONL Format = "jsonl"
	Camt  Format = "camt"
)

// File is a statement to import, less its content.
type File struct {
	Ledger    id.Ledger
	Provider  string
	Name      string // what errors call it
	Format    Format
	Mapping   []byte        // of csv and jsonl: the text of a mapping, see importer.ParseLineMapping
	MapName   string        // what errors call that
	Reference CamtReference // of camt; left out: EndToEnd
}

// Source says how the file is read. The error is of errs.InvalidArgument.
func (f File) Source() (recon.Source, error) {
	s := recon.Source{Ledger: f.Ledger, Provider: f.Provider, Name: f.Name}
	switch f.Format {
	case CSV, JSONL:
		m, err := importer.ParseLineMapping(f.MapName, f.Mapping)
		if err != nil {
			return recon.Source{}, errs.Invalid("mapping", err.Error())
		}
		sum := sha256.Sum256(f.Mapping)
		s.Reading = string(f.Format) + ":" + hex.EncodeToString(sum[:])
		s.Lines = func(in io.Reader, assets []money.Asset) iter.Seq2[recon.Line, error] {
			return mapped(m.Lines(f.Name, in, importer.Syntax(f.Format), assets))
		}
	case Camt:
		prefer := f.Reference
		if prefer == "" {
			prefer = EndToEnd
		}
		s.Reading = "camt:" + string(prefer)
		s.Lines = func(in io.Reader, assets []money.Asset) iter.Seq2[recon.Line, error] {
			return CamtLines(f.Name, in, prefer, assets)
		}
	default:
		return recon.Source{}, errs.Invalid("format", "write csv, jsonl or camt")
	}
	return s, nil
}

func mapped(lines iter.Seq2[importer.Line, error]) iter.Seq2[recon.Line, error] {
	return func(yield func(recon.Line, error) bool) {
		for l, err := range lines {
			line := recon.Line{
				At: l.At, ID: l.ID, Reference: l.Reference, Kind: l.Kind, Asset: l.Asset, Amount: l.Amount, Date: l.Date, Pending: l.Pending,
			}
			if !yield(line, err) {
				return
			}
		}
	}
}
