package bench

import "slices"

func each[T, V any](all []T, of func(T) V) []V {
	values := make([]V, len(all))
	for i, v := range all {
		values[i] = of(v)
	}
	return values
}

func over(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// merge makes one slice of several: sums of what was counted, medians of rates and times, and the largest memory.
func merge(all []Slice) Slice {
	of := func(f func(Slice) float64) float64 { return median(each(all, f)) }
	latency := func(l func(Slice) Latency) Latency {
		return Latency{
			P50: of(func(s Slice) float64 { return l(s).P50 }), P90: of(func(s Slice) float64 { return l(s).P90 }),
			P99: of(func(s Slice) float64 { return l(s).P99 }), P999: of(func(s Slice) float64 { return l(s).P999 }),
			Max: of(func(s Slice) float64 { return l(s).Max }),
		}
	}
	m := Slice{Declined: map[string]int64{}, Errors: map[string]int64{}}
	for _, s := range all {
		m.add(s)
	}
	m.PerSecond = of(func(s Slice) float64 { return s.PerSecond })
	m.Latency = latency(func(s Slice) Latency { return s.Latency })
	if all[0].Service != nil {
		service := latency(func(s Slice) Latency { return *s.Service })
		m.Service = &service
	}
	m.Client = ClientUse{
		Cores: of(func(s Slice) float64 { return s.Client.Cores }), Machine: of(func(s Slice) float64 { return s.Client.Machine }),
	}
	if all[0].Server != nil {
		use := mergeUse(all)
		m.Server = &use
	}
	return m
}

func (s *Slice) add(other Slice) {
	s.Seconds += other.Seconds
	s.Calls += other.Calls
	s.Commands += other.Commands
	s.Posted += other.Posted
	s.Replayed += other.Replayed
	s.Unanswered += other.Unanswered
	s.Entries += other.Entries
	s.Retries += other.Retries
	for reason, n := range other.Declined {
		s.Declined[reason] += n
	}
	for reason, n := range other.Errors {
		s.Errors[reason] += n
	}
}

func mergeUse(all []Slice) ServerUse {
	of := func(f func(ServerUse) float64) float64 {
		return median(each(all, func(s Slice) float64 { return f(*s.Server) }))
	}
	use := ServerUse{
		Cores:           of(func(u ServerUse) float64 { return u.Cores }),
		GroupsPerSecond: of(func(u ServerUse) float64 { return u.GroupsPerSecond }),
		GroupCommands:   of(func(u ServerUse) float64 { return u.GroupCommands }),
		QueueMS:         of(func(u ServerUse) float64 { return u.QueueMS }),
		LoadMS:          of(func(u ServerUse) float64 { return u.LoadMS }),
		DecideMS:        of(func(u ServerUse) float64 { return u.DecideMS }),
		WriteMS:         of(func(u ServerUse) float64 { return u.WriteMS }),
	}
	for _, s := range all {
		use.GroupRetries += s.Server.GroupRetries
		use.PeakRSS = max(use.PeakRSS, s.Server.PeakRSS)
	}
	return use
}
