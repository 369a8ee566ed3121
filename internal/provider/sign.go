package provider

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// SignStripe sets the header that Stripe looks for.
func SignStripe(h http.Header, header string, secret, body []byte, at time.Time) {
	stamp := strconv.FormatInt(at.Unix(), 10)
	h.Set(header, "t="+stamp+",v1="+hex.EncodeToString(mac(secret, stamp, ".", string(body))))
}

// SignStandardWebhooks sets the headers that StandardWebhooks looks for.
func SignStandardWebhooks(h http.Header, prefix string, secret, body []byte, message string, at time.Time) {
	stamp := strconv.FormatInt(at.Unix(), 10)
	h.Set(prefix+"-id", message)
	h.Set(prefix+"-timestamp", stamp)
	h.Set(prefix+"-signature", "v1,"+base64.StdEncoding.EncodeToString(mac(secret, message, ".", stamp, ".", string(body))))
}

// SignAdyen returns the body with a signature in each of its items.
func SignAdyen(secret, body []byte) ([]byte, error) {
	tree, err := decodeJSON(body)
	if err != nil {
		return nil, fmt.Errorf("read the notification to sign: %w", err)
	}
	items, ok := spread(tree, adyenList)
	if !ok {
		return nil, errors.New("sign a notification: it has no notificationItems")
	}
	for n := range items {
		item, isObject := items[n].(map[string]any)
		if !isObject {
			return nil, fmt.Errorf("sign item %d: it is no object", n)
		}
		more, _ := item["additionalData"].(map[string]any)
		if more == nil {
			more = map[string]any{}
			item["additionalData"] = more
		}
		more["hmacSignature"] = base64.StdEncoding.EncodeToString(mac(secret, adyenSigned(item)))
	}
	return json.Marshal(tree)
}
