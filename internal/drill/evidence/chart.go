package evidence

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// Measures of a chart in the units of its view box, which are pixels at its natural size.
const (
	chartWidth    = 960
	chartLeft     = 64  // room for the labels of the axis
	chartRight    = 70  // room for the names of the lines
	plotHeight    = 120 // without labels and axis
	laneHeight    = 16  // of a row of labels of faults
	axisHeight    = 30
	letterWidth   = 6.3 // of a label, on average
	maxColumns    = 480 // more than can be told apart
	labelledSteps = 8   // with more steps than that, a label is the number alone
	mostLanes     = 5
)

// chart is a drawing of what the clients of one region saw over time, ready for the template: all places are in units of the view box.
type chart struct {
	ID, Title   string
	Region      int // index of the series, for the script
	Kind        string
	Width       int
	Height      float64
	Left, Right float64
	Top, Bottom float64 // of the plot
	Bands       []band
	XTicks      []tick
	YTicks      []tick
	Zero        float64 // where nothing is, of throughput
	Lines       []line
	Names       []tick
	Gaps        []gap
	GapTop      float64
}

// band is what a step covers: a stretch, or with Width 0 an instant.
type band struct {
	Number       int
	X, Width     float64
	Label        string
	LabelX       float64
	LabelY       float64
	End          bool // the label ends at LabelX
	Title        string
	Odd, Instant bool
}

type tick struct {
	At   float64
	Text string
	Name string // class
}

type line struct{ Name, Path string }

// gap is a stretch in which no call ended.
type gap struct{ X, Width float64 }

// plot turns time into places.
type plot struct {
	cols  columns
	steps []Step
	bands []band
	lanes int
}

func newPlot(r Report) plot {
	p := plot{cols: r.columns(maxColumns), steps: r.Steps}
	p.placeBands()
	return p
}

func (p plot) end() float64 { return float64(p.cols.count) * p.cols.width }

func (p plot) x(s float64) float64 {
	s = min(max(s, 0), p.end())
	return chartLeft + s/p.end()*(chartWidth-chartLeft-chartRight)
}

// placeBands gives each step that was done its stretch, and its label the first lane in which there is room.
func (p *plot) placeBands() {
	var ends [mostLanes]float64 // of the labels in each lane
	done := 0
	for _, s := range p.steps {
		if s.Skipped == "" {
			done++
		}
	}
	for i, s := range p.steps {
		if s.Skipped != "" || math.IsNaN(s.At) || s.At > p.end() || s.Until != nil && *s.Until < 0 {
			continue
		}
		b := band{Number: i + 1, X: p.x(s.At), Odd: len(p.bands)%2 == 1, Instant: s.Until == nil, Title: fmt.Sprintf("%d, %s: %s", i+1, s.when(), s.describe())}
		if s.Until != nil {
			b.Width = max(p.x(*s.Until)-b.X, 2)
		}
		b.Label = fmt.Sprint(i + 1)
		if done <= labelledSteps {
			b.Label = shortened(strings.TrimSpace(fmt.Sprintf("%d %s %s", i+1, s.Kind, s.Target)), 44)
		}
		width := letterWidth * float64(utf8.RuneCountInString(b.Label))
		from := b.X + 4
		b.LabelX = from
		if from+width > chartWidth {
			b.LabelX, b.End, from = b.X-4, true, b.X-4-width
		}
		lane := 0
		for lane < mostLanes-1 && ends[lane] > from {
			lane++
		}
		ends[lane] = max(ends[lane], from+width+10)
		p.lanes = max(p.lanes, lane+1)
		b.LabelY = float64(lane)*laneHeight + laneHeight - 4
		p.bands = append(p.bands, b)
	}
}

// describe is a step in words, even if it brought none.
func (s Step) describe() string {
	if s.Text != "" {
		return s.Text
	}
	return strings.TrimSpace(s.Kind + " " + s.Target)
}

// charts draws two charts a region, all throughputs on one scale and all latencies on one, so that regions can be compared by eye.
func (p plot) charts() []chart {
	if p.cols.count == 0 {
		return nil
	}
	most, mostFailed, low, high := 0.0, 0.0, math.Inf(1), 0.0
	for _, s := range p.cols.series {
		for _, c := range s.columns {
			most, mostFailed = max(most, c.OK), max(mostFailed, c.Failed)
			if c.P50 > 0 {
				low = min(low, c.P50)
			}
			high = max(high, c.P50, c.P99)
		}
	}
	all := make([]chart, 0, 2*len(p.cols.series))
	for i := range p.cols.series {
		all = append(all, p.throughput(i, most, mostFailed), p.latency(i, low, high))
	}
	return all
}

// frame is a chart without its lines.
func (p plot) frame(region int, kind string) chart {
	top := float64(p.lanes*laneHeight + 6)
	c := chart{
		ID: fmt.Sprintf("%s-%d", kind, region), Kind: kind, Region: region, Width: chartWidth, Left: chartLeft, Right: chartWidth - chartRight,
		Top: top, Bottom: top + plotHeight, Height: top + plotHeight + axisHeight, Bands: p.bands,
	}
	step := niceTime(p.end() / 10)
	for at := 0.0; at <= p.end()*1.0001; at += step {
		c.XTicks = append(c.XTicks, tick{At: p.x(at), Text: trimmed(at, 2) + " s"})
	}
	return c
}

// throughput draws what was answered upwards and what failed downwards from one axis, on the same scale.
func (p plot) throughput(region int, most, mostFailed float64) chart {
	c, s := p.frame(region, "throughput"), p.cols.series[region]
	c.Title = fmt.Sprintf("Calls a second of clients in %s: answered above the axis, failed below it", s.region)
	step := niceNumber(max(most+mostFailed, 1) / 4)
	up := max(math.Ceil(most/step), 1) * step
	down := max(mostFailed, up/6)
	y := func(rate float64) float64 { return c.Top + (up-rate)/(up+down)*plotHeight }
	c.Zero = y(0)
	for at := 0.0; at <= up*1.0001; at += step {
		c.YTicks = append(c.YTicks, tick{At: y(at), Text: number(at)})
	}
	c.YTicks[len(c.YTicks)-1].Text += "/s"
	for at := step; at <= down*1.0001; at += step {
		c.YTicks = append(c.YTicks, tick{At: y(-at), Text: number(at)})
	}
	c.Names = []tick{{At: c.Top + 10, Text: "answered", Name: "ok"}, {At: c.Bottom - 4, Text: "failed", Name: "failed"}}
	c.Lines = []line{
		{"ok", p.bars(s.columns, c.Zero, func(o column) float64 { return min(y(o.OK), atLeast(o.OK, c.Zero-1.5, c.Zero)) })},
		{"failed", p.bars(s.columns, c.Zero, func(o column) float64 { return max(y(-o.Failed), atLeast(o.Failed, c.Zero+4, c.Zero)) })},
	}
	return c
}

// atLeast is a place where a single call is still seen beside thousands.
func atLeast(n, place, zero float64) float64 {
	if n > 0 {
		return place
	}
	return zero
}

// bars draws the outline of bars that stand on zero side by side.
func (p plot) bars(columns []column, zero float64, y func(column) float64) string {
	var b strings.Builder
	was := zero
	for i, c := range columns {
		now := y(c)
		switch {
		case was == zero && now != zero:
			fmt.Fprintf(&b, "M%s %sV%s", place(p.x(float64(i)*p.cols.width)), place(zero), place(now))
		case now == zero && was != zero:
			b.WriteString("V" + place(zero) + "Z")
		case now != was:
			b.WriteString("V" + place(now))
		}
		if now != zero {
			b.WriteString("H" + place(p.x(float64(i+1)*p.cols.width)))
		}
		was = now
	}
	if was != zero {
		b.WriteString("V" + place(zero) + "Z")
	}
	return b.String()
}

// latency draws p50 and p99 on a logarithmic scale, and where no call ended nothing but a hatched stretch.
func (p plot) latency(region int, low, high float64) chart {
	c, s := p.frame(region, "latency"), p.cols.series[region]
	c.Title = fmt.Sprintf("Latency of calls of clients in %s, in milliseconds on a logarithmic scale: median (p50) and 99th percentile (p99)", s.region)
	if math.IsInf(low, 0) || high <= 0 {
		low, high = 1, 10
	}
	from, until := math.Floor(math.Log10(max(low, 1e-3))), math.Ceil(math.Log10(max(min(high, 1e7), 1e-3)))
	until = max(until, from+1)
	y := func(ms float64) float64 {
		return c.Top + (until-min(max(math.Log10(max(ms, 1e-9)), from), until))/(until-from)*plotHeight
	}
	for e := from; e <= until; e++ {
		c.YTicks = append(c.YTicks, tick{At: y(math.Pow(10, e)), Text: milliseconds(math.Pow(10, e))})
	}
	c.GapTop = c.Bottom - 8
	open := false
	for i, o := range s.columns {
		switch {
		case known(o.P50) || known(o.P99):
			open = false
		case open:
			c.Gaps[len(c.Gaps)-1].Width += p.x(p.cols.width) - chartLeft
		default:
			open = true
			c.Gaps = append(c.Gaps, gap{X: p.x(float64(i) * p.cols.width), Width: p.x(p.cols.width) - chartLeft})
		}
	}
	for _, l := range []struct {
		name string
		of   func(column) float64
	}{{"p99", func(o column) float64 { return o.P99 }}, {"p50", func(o column) float64 { return o.P50 }}} {
		path, last := p.stairs(s.columns, l.of, y)
		c.Lines = append(c.Lines, line{l.name, path})
		if path != "" {
			c.Names = append(c.Names, tick{At: last + 4, Text: l.name, Name: l.name})
		}
	}
	if len(c.Names) == 2 && c.Names[1].At-c.Names[0].At < 14 { // p50 lies below p99; their names must not lie on each other
		c.Names[1].At = min(c.Names[1].At, c.Bottom) + 4
		c.Names[0].At = c.Names[1].At - 14
	}
	return c
}

// stairs draws a line with a level for each column and none where nothing is known. last is where it ends.
func (p plot) stairs(columns []column, of func(column) float64, y func(float64) float64) (path string, last float64) {
	var b strings.Builder
	drawing := false
	for i, c := range columns {
		if !known(of(c)) {
			drawing = false
			continue
		}
		last = y(of(c))
		if drawing {
			b.WriteString("V" + place(last))
		} else {
			fmt.Fprintf(&b, "M%s %s", place(p.x(float64(i)*p.cols.width)), place(last))
		}
		b.WriteString("H" + place(p.x(float64(i+1)*p.cols.width)))
		drawing = true
	}
	return b.String(), last
}

// place writes a coordinate: a tenth of a pixel is enough.
func place(f float64) string { return trimmed(f, 1) }

// niceNumber is the least of 1, 2 and 5 times a power of ten that is not below f.
func niceNumber(f float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(max(f, 1e-6))))
	for _, n := range []float64{1, 2, 5} {
		if n*power >= f {
			return n * power
		}
	}
	return 10 * power
}

// niceTime is the same for seconds, which people count in minutes from some time on.
func niceTime(f float64) float64 {
	for _, n := range []float64{10, 15, 30, 60, 120, 300, 600} {
		if f > 5 && n >= f {
			return n
		}
	}
	return niceNumber(f)
}
