package evidence

// The bounds of a bucket in seconds. Beyond them a report is damaged, and an axis would have no end.
const (
	leastBucket = 0.001
	mostBucket  = 3600
)

// columns are the series of all regions, a few buckets in one where there are more of them than can be shown.
type columns struct {
	count  int
	width  float64 // seconds
	series []seriesColumns
}

type seriesColumns struct {
	region  string
	columns []column
}

// column is what the clients of a region saw in one stretch of time. Latencies are in milliseconds, -1: no call ended.
type column struct {
	OK, Failed float64 // calls a second
	Calls      int     // that ended, well or not
	P50        float64 // the mean of the buckets' medians, each with the weight of its calls
	P99, Max   float64 // the worst of the buckets
}

// columns gives at most so many columns for each region. Regions whose lists are shorter get columns in which nothing happened, so that a
// report that contradicts itself can still be looked at.
func (r Report) columns(most int) columns {
	buckets := 0
	for _, s := range r.Series {
		buckets = max(buckets, len(s.OK))
	}
	if buckets == 0 || !(r.Bucket >= leastBucket && r.Bucket <= mostBucket) {
		return columns{}
	}
	per := (buckets + most - 1) / most
	cols := columns{count: (buckets + per - 1) / per, width: float64(per) * r.Bucket}
	for _, s := range r.Series {
		out := seriesColumns{region: s.Region, columns: make([]column, cols.count)}
		for i := range out.columns {
			from, until := i*per, min((i+1)*per, buckets)
			out.columns[i] = s.column(from, until, float64(until-from)*r.Bucket)
		}
		cols.series = append(cols.series, out)
	}
	return cols
}

// column sums up the buckets from (included) to until (not).
func (s Series) column(from, until int, width float64) column {
	c := column{P50: -1, P99: -1, Max: -1}
	ok, failed, weight, medians := 0, 0, 0, 0.0
	for i := from; i < until; i++ {
		ended := at(s.OK, i) + at(s.Failed, i)
		ok, failed = ok+at(s.OK, i), failed+at(s.Failed, i)
		if i < len(s.P50) && known(s.P50[i]) {
			weight, medians = weight+max(ended, 1), medians+float64(max(ended, 1))*s.P50[i]
		}
		if i < len(s.P99) && known(s.P99[i]) {
			c.P99 = max(c.P99, s.P99[i])
		}
		if i < len(s.Max) && known(s.Max[i]) {
			c.Max = max(c.Max, s.Max[i])
		}
	}
	if weight > 0 {
		c.P50 = medians / float64(weight)
	}
	c.OK, c.Failed, c.Calls = float64(ok)/width, float64(failed)/width, ok+failed
	return c
}

func at(l []int, i int) int {
	if i < len(l) && l[i] > 0 {
		return l[i]
	}
	return 0
}
