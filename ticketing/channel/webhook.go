package channel

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"icewatch/ticketing/webhook"
)

// Webhook posts notices to a URL: in Alertmanager's form, or as a CloudEvent.
// CloudEvents: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md
type Webhook struct {
	URL     string            `json:"url" secret:"url" form:"text!;地址;Address"`
	Secret  string            `json:"secret,omitempty" secret:"true" form:"text;签名密钥 (HMAC-SHA256);Secret of its signature (HMAC-SHA256)"`
	Format  string            `json:"format,omitempty" form:"choice;格式;Format;alertmanager;alertmanager|cloudevents|cloudevents-binary"`
	Headers map[string]string `json:"headers,omitempty" secret:"true" form:"pairs;请求头;Headers"`
}

// What the body may be.
const (
	FormatAlertmanager      = "alertmanager"
	FormatCloudEvents       = "cloudevents" // structured mode
	FormatCloudEventsBinary = "cloudevents-binary"
)

// Check implements Channel.
func (w *Webhook) Check() error {
	if err := needURL("url", w.URL); err != nil {
		return err
	}
	switch w.Format {
	case "", FormatAlertmanager, FormatCloudEvents, FormatCloudEventsBinary:
	default:
		return fmt.Errorf("format: %q: want %s, %s or %s", w.Format, FormatAlertmanager, FormatCloudEvents, FormatCloudEventsBinary)
	}
	return checkHeaders(w.Headers)
}

// checkHeaders refuses headers that would change what the request is.
func checkHeaders(headers map[string]string) error {
	for name, value := range headers {
		switch http.CanonicalHeaderKey(name) {
		case "Host", "Content-Length", "Transfer-Encoding", "Connection", webhook.SignatureHeader, webhook.DeliveryHeader:
			return fmt.Errorf("headers: %s is set by the suite", name)
		}
		if name == "" || strings.ContainsAny(name, " \t\r\n:") || strings.ContainsAny(value, "\r\n") {
			return fmt.Errorf("headers: %.40q is no header", name)
		}
	}
	return nil
}

// URLs implements Channel.
func (w *Webhook) URLs() []string { return []string{w.URL} }

// EventType is the type of the suite's CloudEvents; the notice's kind follows.
const EventType = "cn.icewatch.notification."

// Send implements Channel.
func (w *Webhook) Send(ctx context.Context, via *Via, n *Notice) Result {
	headers := map[string]string{"Content-Type": "application/json"}
	for name, value := range w.Headers {
		headers[name] = value
	}
	body := n.Body
	if body == nil {
		var err error
		if body, err = json.Marshal(n.Payload); err != nil {
			return final("the message cannot be written: %w", err)
		}
	}
	source := n.Payload.ExternalURL
	if source == "" {
		source = "icewatch"
	}
	event := map[string]string{"specversion": "1.0", "id": n.Delivery, "source": source, "type": EventType + n.Kind,
		"subject": n.Thread, "time": n.At.UTC().Format(time.RFC3339Nano)}
	switch w.Format {
	case FormatCloudEvents:
		whole := map[string]any{"datacontenttype": "application/json", "data": json.RawMessage(body)}
		for k, v := range event {
			if v != "" {
				whole[k] = v
			}
		}
		var err error
		if body, err = json.Marshal(whole); err != nil {
			return final("the message cannot be written: %w", err)
		}
		headers["Content-Type"] = "application/cloudevents+json; charset=utf-8"
	case FormatCloudEventsBinary:
		for k, v := range event {
			if v != "" {
				headers["ce-"+k] = percent(v)
			}
		}
	}
	headers[webhook.DeliveryHeader] = n.Delivery
	// The draft of the IETF by which gateways drop what is repeated.
	headers["Idempotency-Key"] = `"` + n.Delivery + `"`
	if w.Secret != "" {
		headers[webhook.SignatureHeader] = webhook.Sign(w.Secret, body)
	}
	_, r := via.ask(ctx, http.MethodPost, w.URL, headers, body)
	return r
}

// percent encodes a header's value as the binding says (3.1.3.2): whatever is
// not printable ASCII, and space, quote and percent sign.
func percent(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
