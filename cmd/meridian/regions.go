package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func regionsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "regions",
		Short: "Lay a ledger out over regions, and prove where the money lies",
		Long: `A topology says which regions there are, which home lives in which, and what the deployment survives; regions/README.md is the reference.

  meridian regions show five-regions                  who lives where, and how far apart
  meridian regions plan --topology …                  what lies between a cluster and a topology
  meridian regions apply --topology …                 do it, one statement at a time
  meridian regions verify --topology …                prove it, in a signed report`,
	}
	cmd.AddCommand(regionsValidateCommand(), regionsShowCommand(), regionsPlanCommand(), regionsApplyCommand(), regionsVerifyCommand())
	return cmd
}

func regionsValidateCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "validate FILE|NAME",
		Short: "Say everything that is wrong with a topology, with file, line and remedy",
		Long: `A name is one of the topologies that come with Meridian; anything with an extension is a file. Editors can check files while you write, with
regions/topology.schema.json; what relates one part of a file to another is checked here alone.`,
		Example: "  meridian regions validate my-topology.yaml\n  meridian regions validate three-continents --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := loadTopology(args[0])
			if asJSON {
				answer := struct {
					Valid bool   `json:"valid"`
					Name  string `json:"name,omitempty"`
					Error string `json:"error,omitempty"`
				}{Valid: err == nil, Name: t.Name}
				if err != nil {
					answer.Error = err.Error()
				}
				if printed := printJSON(cmd.OutOrStdout(), answer); printed != nil || err == nil {
					return printed
				}
				return silent{code: 1}
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "topology %s is valid: %d regions, %d homes\n", t.Name, len(t.Regions), len(t.Homes))
			return err
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func regionsShowCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "show NAME|FILE",
		Short:   "Show who lives where, what a commit waits for, and how far apart the regions are",
		Example: "  meridian regions show three-continents\n  meridian regions show my-topology.yaml --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := loadTopology(args[0])
			switch {
			case err != nil:
				return err
			case asJSON:
				return printJSON(cmd.OutOrStdout(), t.View())
			default:
				return t.Show(cmd.OutOrStdout())
			}
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}
