package store

import (
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// column is one column of many rows, as unnest takes it. pgx would do with a plain slice, but puts each value into an interface of its own
// then, or looks at it through reflection, which was a third of all allocations of a server under load. A column hands out pointers into
// itself, which cost nothing. The elements are of the types below.
type column[T string | int64 | time.Time | [16]byte] []T

// sparse is a column in which nil is NULL.
type sparse[T string | [16]byte] []*T

// blobs are a column of bytes.
type blobs [][]byte

// Dimensions implements pgtype.ArrayGetter.
func (c column[T]) Dimensions() []pgtype.ArrayDimension { return rowCount(len(c)) }

// Index implements pgtype.ArrayGetter.
func (c column[T]) Index(i int) any { return cell(&c[i]) }

// IndexType implements pgtype.ArrayGetter.
func (column[T]) IndexType() any { return cell((*T)(nil)) }

// Dimensions implements pgtype.ArrayGetter.
func (c sparse[T]) Dimensions() []pgtype.ArrayDimension { return rowCount(len(c)) }

// Index implements pgtype.ArrayGetter.
func (c sparse[T]) Index(i int) any { return cell(c[i]) }

// IndexType implements pgtype.ArrayGetter.
func (sparse[T]) IndexType() any { return cell((*T)(nil)) }

// Dimensions implements pgtype.ArrayGetter.
func (c blobs) Dimensions() []pgtype.ArrayDimension { return rowCount(len(c)) }

// Index implements pgtype.ArrayGetter.
func (c blobs) Index(i int) any { return (*blobCell)(&c[i]) }

// IndexType implements pgtype.ArrayGetter.
func (blobs) IndexType() any { return (*blobCell)(nil) }

func rowCount(n int) []pgtype.ArrayDimension {
	return []pgtype.ArrayDimension{{Length: int32(n), LowerBound: 1}} //nolint:gosec // no group has a billion rows
}

// cell is a pointer as the type that tells pgx what it points to.
func cell[T string | int64 | time.Time | [16]byte](p *T) any {
	switch p := any(p).(type) {
	case *string:
		return (*textCell)(p)
	case *int64:
		return (*integerCell)(p)
	case *time.Time:
		return (*instantCell)(p)
	case *[16]byte:
		return (*uuidCell)(p)
	}
	panic("every type of the constraint has a case")
}

type (
	textCell    string
	integerCell int64
	instantCell time.Time
	uuidCell    [16]byte
	blobCell    []byte
)

// TextValue implements pgtype.TextValuer. What is NULL is never asked.
func (c *textCell) TextValue() (pgtype.Text, error) {
	return pgtype.Text{String: string(*c), Valid: true}, nil
}

// Int64Value implements pgtype.Int64Valuer.
func (c *integerCell) Int64Value() (pgtype.Int8, error) {
	return pgtype.Int8{Int64: int64(*c), Valid: true}, nil
}

// TimestamptzValue implements pgtype.TimestamptzValuer.
func (c *instantCell) TimestamptzValue() (pgtype.Timestamptz, error) {
	return pgtype.Timestamptz{Time: time.Time(*c), Valid: true}, nil
}

// UUIDValue implements pgtype.UUIDValuer.
func (c *uuidCell) UUIDValue() (pgtype.UUID, error) {
	return pgtype.UUID{Bytes: *c, Valid: true}, nil
}

// BytesValue implements pgtype.BytesValuer.
func (c *blobCell) BytesValue() ([]byte, error) { return *c, nil }
