package main

import "slices"

// span is a run of sequences, first and last included.
type span [2]int64

// spans are a set of sequences: runs in order, which do not touch. An account without gaps is one run, however long its story.
type spans []span

// with adds a sequence.
func (s spans) with(n int64) spans {
	i, _ := slices.BinarySearchFunc(s, n, func(r span, n int64) int { return int(r[0] - n) }) // the first run that begins at n or later
	switch {
	case i < len(s) && s[i][0] == n, i > 0 && s[i-1][1] >= n:
		return s
	case i > 0 && s[i-1][1] == n-1 && i < len(s) && s[i][0] == n+1:
		s[i-1][1] = s[i][1]
		return slices.Delete(s, i, i+1)
	case i > 0 && s[i-1][1] == n-1:
		s[i-1][1] = n
		return s
	case i < len(s) && s[i][0] == n+1:
		s[i][0] = n
		return s
	}
	return slices.Insert(s, i, span{n, n})
}

// after returns the first sequence from n on that is not in the set.
func (s spans) after(n int64) int64 {
	for _, r := range s {
		if r[0] <= n && n <= r[1] {
			return r[1] + 1
		}
	}
	return n
}

// gaps are the sequences from 1 on that are missing before the last.
func (s spans) gaps() spans {
	var missing spans
	next := int64(1)
	for _, r := range s {
		if r[0] > next {
			missing = append(missing, span{next, r[0] - 1})
		}
		next = r[1] + 1
	}
	return missing
}
