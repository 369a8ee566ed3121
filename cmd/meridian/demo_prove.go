package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/meridian-ledger/meridian/internal/cluster"
	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/sim"
	"github.com/meridian-ledger/meridian/internal/store"
	"github.com/meridian-ledger/meridian/internal/verify"
)

func (d *demo) kill(victim *cluster.Node) error {
	d.killed = victim.Region
	fmt.Fprintf(d.w, "  kill -9 %d: the node of %s is gone; its clients go on elsewhere with the same keys\n", victim.PID(), victim.Region)
	return victim.Kill()
}

// checkBank adds up the file by itself, and compares every customer's account with it.
func (d *demo) checkBank(ctx context.Context, svc ledger.Service, file []byte) error {
	want, err := bankBalances(file)
	if err != nil {
		return err
	}
	var total money.Amount
	seen, off := 0, len(d.problems)
	for after := id.Account(""); ; {
		page, err := svc.Accounts(ctx, d.bank, after, 1000)
		if err != nil {
			return fmt.Errorf("read the bank's accounts: %w", err)
		}
		for _, a := range page {
			after = a.Ref.Account
			number, customer := strings.CutPrefix(string(a.Ref.Account), "berka:")
			if !customer {
				continue
			}
			seen++
			if a.Posted() != want[number] {
				d.problems = append(d.problems, fmt.Sprintf("%s has %s, the file says %s", a.Ref, a.Posted(), want[number]))
			}
			if total, err = total.Add(a.Posted()); err != nil {
				return err
			}
		}
		if len(page) < 1000 {
			break
		}
	}
	if seen != len(want) {
		d.problems = append(d.problems, fmt.Sprintf("the books have %d customers, the file %d", seen, len(want)))
	}
	verdict := "every balance equals the running sum of the file"
	if off = len(d.problems) - off; off > 0 {
		verdict = fmt.Sprintf("%d of them differ from the file", off)
	}
	czk := money.Asset{Code: "CZK", Scale: 2}
	fmt.Fprintf(d.w, "  %d customers hold %s CZK: %s\n", seen, grouped(czk.Format(total)), verdict)
	return nil
}

// bankBalances is the sum of the signed amounts of each account, in hellers, read without the importer.
func bankBalances(file []byte) (map[string]money.Amount, error) {
	reader := csv.NewReader(bytes.NewReader(file))
	reader.Comma = ';'
	if _, err := reader.Read(); err != nil {
		return nil, fmt.Errorf("read the bank's file: %w", err)
	}
	czk := money.Asset{Code: "CZK", Scale: 2}
	balances := map[string]money.Amount{}
	for {
		row, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return balances, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the bank's file: %w", err)
		}
		amount, err := czk.ParseDecimal(row[5])
		if err != nil {
			return nil, fmt.Errorf("read the bank's file: %w", err)
		}
		if row[3] != "PRIJEM" {
			amount = amount.Neg()
		}
		if balances[row[1]], err = balances[row[1]].Add(amount); err != nil {
			return nil, fmt.Errorf("add up the bank's file: %w", err)
		}
	}
}

// prove holds the books against themselves and against what the clients were told.
func (d *demo) prove(ctx context.Context) error {
	d.headline("Proving the books")
	survivor := d.local.client(len(d.local.nodes) - 1)
	settling, cancel := context.WithTimeout(ctx, takeover)
	defer cancel()
	d.history.Settle(settling, survivor)
	d.verdicts, _ = d.history.Judge(ctx, d.workload, survivor, sim.Judging{})
	books, err := db.Open(ctx, db.Options{URL: d.local.engine.URL, Writers: 1, Readers: 2, Name: "meridian demo"})
	if err != nil {
		return err
	}
	defer books.Close()
	stream, err := d.proveStream(ctx, store.New(books))
	if err != nil {
		return err
	}
	d.verdicts = append(d.verdicts, stream)
	for _, v := range d.verdicts {
		d.problems = append(d.problems, v.Problems...)
	}
	if d.report, err = verify.Run(ctx, books, verify.Options{}); err != nil {
		return err
	}
	if !d.report.OK() {
		d.problems = append(d.problems, "meridian verify found damage")
	}
	return d.report.WriteText(d.w)
}
