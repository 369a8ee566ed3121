package evidence

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

var screenshots = flag.String("screenshots", "", "a folder to which the browser tests write what they see, for a person to look at")

// watched is a tab that remembers whatever a page complains of and wherever it goes.
type watched struct {
	context.Context    //nolint:containedctx // to chromedp, a tab is a context
	mu                 sync.Mutex
	complaints, visits []string
}

// step is something done in a tab.
type step = chromedp.Action[chromedp.Void]

// command is a step that sends one command of the protocol.
func command[P, R any](c cdp.Command[P, R], params P) step {
	return func(ctx context.Context, tab *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, tab, c, params)
		return chromedp.Void{}, err
	}
}

// browse opens a page from a file in a real browser.
func browse(t *testing.T, text []byte, width int64, emulate ...step) *watched {
	t.Helper()
	binary, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("SKIPPED: there is no chromium on the PATH, so nobody looked at the page in a real browser")
	}
	path := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(binary), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.UserDataDir(t.TempDir()))
	ctx, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	browser, closeTab := chromedp.NewContext(ctx)
	t.Cleanup(closeTab)
	if err := chromedp.Do(browser); err != nil { // starts it, without the deadline below, which would end it
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := chromedp.Cancel(browser); err != nil {
			t.Errorf("end the browser: %v", err)
		}
	})
	ctx, cancel := context.WithTimeout(browser, 90*time.Second)
	t.Cleanup(cancel)
	w := &watched{Context: ctx}
	if err := chromedp.Listen(ctx, w.hear); err != nil {
		t.Fatal(err)
	}
	w.run(t, command(log.Enable, cdp.Empty{}), command(network.Enable, network.EnableParams{}), chromedp.EmulateViewport(width, 900))
	w.run(t, append(emulate, chromedp.Navigate("file://"+path))...)
	return w
}

func (w *watched) hear(event any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch e := event.(type) {
	case *log.EventEntryAdded:
		w.complaints = append(w.complaints, e.Entry.Text)
	case *runtime.EventConsoleAPICalled:
		w.complaints = append(w.complaints, fmt.Sprint("console.", e.Type))
	case *runtime.EventExceptionThrown:
		w.complaints = append(w.complaints, fmt.Sprintf("%+v", e.ExceptionDetails))
	case *network.EventRequestWillBeSent:
		w.visits = append(w.visits, e.Request.URL)
	}
}

// quiet wants that the page complained of nothing and asked for nothing but itself.
func (w *watched) quiet(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.complaints) > 0 {
		t.Errorf("the console says: %q", w.complaints)
	}
	if len(w.visits) != 1 || !strings.HasPrefix(w.visits[0], "file://") {
		t.Errorf("the page asked for %q, want itself alone", w.visits)
	}
}

func (w *watched) run(t *testing.T, steps ...step) {
	t.Helper()
	if err := chromedp.Do(w, steps...); err != nil {
		t.Fatal(err)
	}
}

// look evaluates an expression in the page.
func look[T any](t *testing.T, w *watched, expression string) T {
	t.Helper()
	value, err := chromedp.Run(w, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// shoot keeps a picture of the whole page.
func (w *watched) shoot(t *testing.T, name string) {
	t.Helper()
	if *screenshots == "" {
		return
	}
	picture, err := chromedp.Run(w, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*screenshots, name+".png"), picture, 0o644); err != nil {
		t.Fatal(err)
	}
}

func rendered(t *testing.T, r Report) []byte {
	t.Helper()
	text, err := HTML(r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestBrowser_ChartsShowWhatWasMeasured(t *testing.T) {
	w := browse(t, rendered(t, given()), 1100)
	for expression, want := range map[string]int{
		`document.querySelectorAll('svg.chart').length`:                           6, // three regions, throughput and latency
		`document.querySelectorAll('svg.chart .band').length`:                     6 * 3,
		`document.querySelectorAll('svg.chart .band.instant').length`:             6,
		`document.querySelectorAll('svg.chart .band rect').length`:                6 * 2,
		`document.querySelectorAll('svg.throughput path[d^="M"]').length`:         6,
		`document.querySelectorAll('svg.latency path[d^="M"]').length`:            6,
		`document.querySelectorAll('svg.chart .gap').length`:                      1,
		`document.querySelectorAll('details[open]').length`:                       0,
		`document.querySelectorAll('script[src],link,img,iframe,[style]').length`: 0,
	} {
		if got := look[int](t, w, expression); got != want {
			t.Errorf("%s is %d, want %d", expression, got, want)
		}
	}
	for _, name := range look[[]string](t, w, `[...document.querySelectorAll('svg.chart')].map(s => document.getElementById(s.getAttribute('aria-labelledby')).textContent)`) {
		if !strings.Contains(name, "clients in ") {
			t.Errorf("a chart is called %q", name)
		}
	}
	// The style is in force, so its hash in the policy is that of the style.
	if got := look[string](t, w, `getComputedStyle(document.querySelector('path.p50')).fill`); got != "none" {
		t.Errorf("the line is filled with %q: the page has no style", got)
	}
	// Labels of faults do not lie on each other, and nothing leaves its chart.
	if got := look[[]string](t, w, overlaps); len(got) > 0 {
		t.Errorf("overlaps: %q", got)
	}
	w.shoot(t, "light")
	w.quiet(t)
}

const overlaps = `(() => {
  const found = [];
  document.querySelectorAll('svg.chart').forEach(svg => {
    const outer = svg.getBoundingClientRect(), boxes = [...svg.querySelectorAll('text')].map(t => [t.textContent, t.getBoundingClientRect()]);
    boxes.forEach(([a, x], i) => {
      if (x.left < outer.left - 1 || x.right > outer.right + 1 || x.top < outer.top - 1 || x.bottom > outer.bottom + 1) found.push(a + ' leaves the chart');
      boxes.slice(i + 1).forEach(([b, y]) => {
        if (x.left < y.right - 1 && y.left < x.right - 1 && x.top < y.bottom - 3 && y.top < x.bottom - 3) found.push(a + ' / ' + b);
      });
    });
  });
  return found;
})()`

func TestBrowser_TooltipsTellTheNumbers(t *testing.T) {
	r := given()
	w := browse(t, rendered(t, r), 1100)
	hover := `(() => { const s = document.querySelector('#latency-0-about ~ .wide svg'), b = s.getBoundingClientRect();
		s.scrollIntoView(); const k = b.width / 960, left = Number(s.dataset.left), right = Number(s.dataset.right);
		const now = s.getBoundingClientRect();
		return [now.left + k * (left + (right - left) * (24.1 / 90)), now.top + now.height / 2]; })()`
	at := look[[]float64](t, w, hover)
	w.run(t, chromedp.MouseEvent(chromedp.MouseMoved, at[0], at[1]), chromedp.WaitVisible(chromedp.CSS(`.tip:not([hidden])`)))
	tip := look[string](t, w, `document.querySelector('.tip:not([hidden])').textContent`)
	s, i := r.Series[0], 96
	for _, part := range []string{
		"europe-west1, 24 to 24.25 s", fmt.Sprintf("answered %d/s, failed %d/s", 4*s.OK[i], 4*s.Failed[i]), "1: All database nodes and servers of europe-west1",
	} {
		if !strings.Contains(tip, part) {
			t.Errorf("the tooltip says %q, want %q", tip, part)
		}
	}
	if strings.Contains(tip, "3: ") {
		t.Errorf("the tooltip says %q: that fault came later", tip)
	}
	w.shoot(t, "tooltip")
	w.run(t, chromedp.MouseEvent(chromedp.MouseMoved, 5, 5), chromedp.WaitNotPresent(chromedp.CSS(`.tip:not([hidden])`)))
	w.run(t, chromedp.Focus(chromedp.CSS(`svg.latency`)), chromedp.KeyEvent(kb.End), chromedp.KeyEvent(kb.ArrowLeft))
	if tip := look[string](t, w, `document.querySelector('.tip:not([hidden])').textContent`); !strings.HasPrefix(tip, "europe-west1, 89.5 to 89.75 s") {
		t.Errorf("after End and the arrow to the left: %q", tip)
	}
	w.quiet(t)
}

func TestBrowser_WorksInTheDarkOnPaperOnAPhoneAndWithoutScript(t *testing.T) {
	media := func(kind, scheme string) step {
		return command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Media: kind, Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
	}
	for _, view := range []struct {
		name   string
		width  int64
		report Report
		action step
		paper  string // colour
	}{
		{"dark", 1100, broken(), media("screen", "dark"), "rgb(18, 24, 31)"},
		{"print", 720, broken(), media("print", "dark"), "rgb(255, 255, 255)"},
		{"phone", 390, broken(), media("screen", "light"), "rgb(255, 255, 255)"},
		{"no-script", 1100, given(), command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}), ""},
	} {
		t.Run(view.name, func(t *testing.T) {
			w := browse(t, rendered(t, view.report), view.width, view.action)
			if view.paper != "" {
				if got := look[string](t, w, `getComputedStyle(document.body).backgroundColor`); got != view.paper {
					t.Errorf("the paper is %s, want %s", got, view.paper)
				}
				if got := look[int](t, w, `document.documentElement.scrollWidth`); got > int(view.width) {
					t.Errorf("the page is %d wide, the window %d", got, view.width)
				}
				if faint := look[[]string](t, w, contrast); len(faint) > 0 {
					slices.Sort(faint)
					t.Errorf("contrast below 4.5: %q", slices.Compact(faint))
				}
			}
			w.shoot(t, view.name)
			w.quiet(t)
		})
	}
}

// contrast names the texts that people with weak sight cannot read (WCAG AA) on the paper.
const contrast = `(() => {
  const light = c => { const l = c.match(/[\d.]+/g).slice(0, 3).map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * l[0] + 0.7152 * l[1] + 0.0722 * l[2]; };
  const behind = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (!/, 0\)$/.test(c)) return c; } return 'rgb(255,255,255)'; };
  const faint = [];
  document.querySelectorAll('body *').forEach(e => {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) || !e.checkVisibility() || /SCRIPT|STYLE/.test(e.tagName)) return;
    const s = getComputedStyle(e), ink = light(e instanceof SVGElement ? s.fill : s.color), paper = light(behind(e));
    const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    if (ratio < 4.5) faint.push(ratio.toFixed(2) + ' ' + e.tagName + '.' + (e.getAttribute('class') || '') + ' ' + e.textContent.trim().slice(0, 30));
  });
  return faint;
})()`

func TestBrowser_HostileNamesStayText(t *testing.T) {
	w := browse(t, rendered(t, hostile(`"><img src=x onerror=alert(1)></script><script>document.title='owned'</script>`)), 1100)
	if got := look[int](t, w, `document.querySelectorAll('img, script').length`); got != 2 { // the data and the script of the page
		t.Errorf("%d scripts and pictures, want 2", got)
	}
	if got := look[string](t, w, `document.title`); !strings.HasPrefix(got, "✓ ") {
		t.Errorf("the title is %q", got)
	}
	w.run(t, chromedp.Focus(chromedp.CSS(`svg.latency`)), chromedp.KeyEvent(kb.Home))
	if got := look[int](t, w, `document.querySelectorAll('.tip *').length`); got != 0 {
		t.Errorf("the tooltip holds %d elements, want text", got)
	}
	w.quiet(t)
}
