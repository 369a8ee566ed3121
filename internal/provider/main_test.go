package provider_test

import (
	"testing"

	"github.com/meridian-ledger/meridian/internal/db/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }
