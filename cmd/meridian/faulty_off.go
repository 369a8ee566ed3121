package main

import (
	"github.com/spf13/cobra"

	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/rpc"
)

// What builds with the tag faulty put in the way of their clients: see faulty.go. In every other build nothing stands there.
var (
	breaks   = func(*cobra.Command) {}
	sabotage = func(s ledger.Service, e rpc.Stream) (ledger.Service, rpc.Stream) { return s, e }
)
