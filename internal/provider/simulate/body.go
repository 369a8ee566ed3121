package simulate

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// plain is a body of one event, as most providers write it.
func plain(e Event, start time.Time) (Request, error) {
	type data struct {
		Reference string `json:"reference"`
		Payment   string `json:"payment"`
		Amount    int64  `json:"amount"`
		Currency  string `json:"currency"`
	}
	body, err := json.Marshal(struct {
		ID      string `json:"id"`
		Type    string `json:"type"`
		Created string `json:"created"`
		Data    data   `json:"data"`
	}{e.ID, e.Type, start.Add(e.At).UTC().Format(time.RFC3339Nano), data{e.Reference, e.Payment, e.Amount, e.Currency}})
	if err != nil {
		return Request{}, fmt.Errorf("write event %s: %w", e.ID, err)
	}
	return Request{Header: jsonHeader(), Body: body}, nil
}

func jsonHeader() http.Header { return http.Header{"Content-Type": {"application/json"}} }

// adyenCodes are the words of Adyen for what happens to a payment, and whether it went well.
var adyenCodes = map[string][2]string{
	"payment.authorized": {"AUTHORISATION", "true"}, "payment.declined": {"AUTHORISATION", "false"}, "payment.captured": {"CAPTURE", "true"},
	"payment.settled": {"SETTLED", "true"}, "payment.refunded": {"REFUND", "true"},
}

// notification is a body of several events as Adyen writes it. An item has no id of its own there: reference, code and success are it; what
// contradicts under the same id keeps these and has another amount.
func notification(events []Event, start time.Time) (Request, error) {
	type amount struct {
		Value    int64  `json:"value"`
		Currency string `json:"currency"`
	}
	type item struct {
		Amount              amount `json:"amount"`
		EventCode           string `json:"eventCode"`
		EventDate           string `json:"eventDate"`
		MerchantAccountCode string `json:"merchantAccountCode"`
		MerchantReference   string `json:"merchantReference"`
		OriginalReference   string `json:"originalReference"`
		PSPReference        string `json:"pspReference"`
		Success             string `json:"success"`
	}
	type outer struct {
		Item item `json:"NotificationRequestItem"`
	}
	items := make([]outer, len(events))
	for i, e := range events {
		code, known := adyenCodes[e.Type]
		if !known {
			code = [2]string{strings.ToUpper(e.Type), "true"}
		}
		items[i].Item = item{
			Amount: amount{e.Amount, e.Currency}, EventCode: code[0], Success: code[1], EventDate: start.Add(e.At).UTC().Format(time.RFC3339),
			MerchantAccountCode: "Simulated", MerchantReference: e.Payment, OriginalReference: e.Reference, PSPReference: e.ID,
		}
	}
	body, err := json.Marshal(struct {
		Live  string  `json:"live"`
		Items []outer `json:"notificationItems"`
	}{"false", items})
	if err != nil {
		return Request{}, fmt.Errorf("write a notification: %w", err)
	}
	return Request{Header: jsonHeader(), Body: body}, nil
}
