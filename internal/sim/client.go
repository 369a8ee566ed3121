package sim

import "context"

type client struct{}

func newClient(*History, Workload, []Region, Options, int) *client { return &client{} }
func (c *client) work(context.Context)                             {}
func newHistory(Workload, []Region, Options) *History              { return &History{} }
func (h *History) merge([]*client)                                 {}
