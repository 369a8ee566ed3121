package webhook

import (
	"io"
	"net/http"
	"strings"
	"time"
	"unicode"
)

// Bounds on the bodies of answers.
const (
	maxAnswer  = 64 << 10 // bytes that are read, so that the connection can be used again
	maxExcerpt = 200      // characters that are kept
	answerFor  = time.Second
)

// excerpt reads the body of an answer and keeps the beginning of that of a refusal. The status has come already and decides, so the body gets
// neither much time nor much room; stop ends the request where it takes more.
func excerpt(answer *http.Response, stop func()) string {
	timer := time.AfterFunc(answerFor, stop)
	defer timer.Stop()
	defer answer.Body.Close()
	body := io.LimitReader(answer.Body, maxAnswer)
	var text string
	if answer.StatusCode > 299 {
		head, _ := io.ReadAll(io.LimitReader(body, 8*maxExcerpt)) // of a broken body the rest is gone, and not needed
		text = clean(string(head))
	}
	_, _ = io.Copy(io.Discard, body)
	return text
}

// clean makes foreign text fit for a line of a terminal: no control or format characters, no broken UTF-8, bounded.
func clean(text string) string {
	fit := strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsGraphic(r) {
			return ' '
		}
		return r
	}, text)
	characters := []rune(strings.Join(strings.Fields(fit), " "))
	if len(characters) > maxExcerpt {
		return string(characters[:maxExcerpt-1]) + "…"
	}
	return string(characters)
}
