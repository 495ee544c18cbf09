package forwarding

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/elastic/elastic-transport-go/v8/elastictransport"
	"github.com/elastic/go-elasticsearch/v8/esapi"

	"icewatch/soc/event"
)

// elasticSender writes by the bulk API. Each event is created under its id, so
// that one which is sent again is there once.
type elasticSender struct {
	opts      ElasticsearchOptions
	name      string // of the target
	index     pattern
	client    *elastictransport.Client
	transport *http.Transport
	prepared  bool // the template is seen to
	body      bytes.Buffer
	scratch   []byte
}

func openElasticsearch(c *Content, secrets Secrets, dial Dialer) (sender, error) {
	o := *c.Elasticsearch
	index, err := parsePattern(o.Index, "tenant", "dataset", "date")
	if err != nil {
		return nil, err
	}
	t, err := transport(c, secrets, dial)
	if err != nil {
		return nil, err
	}
	conf := elastictransport.Config{Transport: t, CompressRequestBody: true, PoolCompressor: true, MaxRetries: len(o.URLs),
		RetryOnStatus: []int{http.StatusBadGateway, http.StatusGatewayTimeout}, UserAgent: "icewatch"}
	for _, raw := range o.URLs {
		u, err := url.Parse(strings.TrimRight(raw, "/"))
		if err != nil {
			return nil, fmt.Errorf("the URL %q: %w", raw, err)
		}
		conf.URLs = append(conf.URLs, u)
	}
	switch o.Auth {
	case AuthBasic:
		conf.Username, conf.Password = o.Username, secrets[Password]
	case AuthAPIKey:
		conf.APIKey = secrets[Password]
	}
	client, err := elastictransport.New(conf)
	if err != nil {
		return nil, fmt.Errorf("forward: %w", err)
	}
	return &elasticSender{opts: o, name: c.Name, index: index, client: client, transport: t}, nil
}

// bulkAnswer is the part of a bulk answer that is looked at.
type bulkAnswer struct {
	Items []map[string]struct {
		Status int        `json:"status"`
		Error  bulkReason `json:"error"`
	} `json:"items"`
}

// bulkReason is why an item failed: an object, or a text in old versions.
type bulkReason struct{ text string }

// UnmarshalJSON implements json.Unmarshaler.
func (r *bulkReason) UnmarshalJSON(b []byte) error {
	var o struct {
		Type   string      `json:"type"`
		Reason string      `json:"reason"`
		Cause  *bulkReason `json:"caused_by"`
	}
	if json.Unmarshal(b, &o) == nil && o.Type != "" {
		r.text = o.Type + ": " + o.Reason
		if o.Cause != nil && o.Cause.text != "" {
			r.text += ": " + o.Cause.text
		}
		return nil
	}
	return json.Unmarshal(b, &r.text)
}

// Send implements sender.
func (s *elasticSender) Send(ctx context.Context, b *Batch) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	if err := s.prepare(ctx); err != nil {
		return err
	}
	open := b.Open()
	sizes := make([]int, len(open))
	s.body.Reset()
	for k, i := range open {
		e := &b.Events[i]
		before := s.body.Len()
		s.scratch = append(s.scratch[:0], `{"create":{"_index":`...)
		s.scratch = event.AppendJSON(s.scratch, s.index.fill(e.word))
		s.scratch = append(s.scratch, `,"_id":`...)
		s.scratch = event.AppendJSON(s.scratch, e.Key)
		s.scratch = append(s.scratch, "}}\n"...)
		s.scratch = append(e.document(s.scratch), '\n')
		s.body.Write(s.scratch)
		sizes[k] = s.body.Len() - before
	}
	var answer bulkAnswer
	if err := s.do(ctx, esapi.BulkRequest{Body: bytes.NewReader(s.body.Bytes()), FilterPath: []string{"items.*.status", "items.*.error"}}, &answer); err != nil {
		return err
	}
	if len(answer.Items) != len(open) {
		return fmt.Errorf("the answer to a bulk request tells of %d items, %d were sent", len(answer.Items), len(open))
	}
	again := ""
	for k, i := range open {
		for _, item := range answer.Items[k] {
			switch {
			case item.Status >= 200 && item.Status < 300:
				b.Take(i, sizes[k])
			case item.Status == http.StatusConflict:
				b.Repeat(i)
			case item.Status == http.StatusTooManyRequests || item.Status >= 500 || item.Status == http.StatusUnauthorized || item.Status == http.StatusForbidden,
				item.Status == http.StatusNotFound: // an index that may not be made is the cluster's business, not the event's
				again = fmt.Sprintf("status %d: %s", item.Status, clip(item.Error.text, 500))
			default:
				b.Refuse(i, clip(fmt.Sprintf("status %d: %s", item.Status, item.Error.text), maxReason))
			}
		}
	}
	if again != "" {
		return fmt.Errorf("%d of %d events are sent again: %s", b.left, len(open), again)
	}
	return nil
}

// do performs a request and reads its answer into v, which may be nil.
func (s *elasticSender) do(ctx context.Context, r esapi.Request, v any) error {
	resp, err := r.Do(ctx, s.client)
	if err != nil {
		return fmt.Errorf("the cluster cannot be asked: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("the cluster's answer broke off: %w", err)
	}
	if resp.IsError() {
		return &statusError{resp.StatusCode, clip(string(body), 500)}
	}
	if v == nil {
		return nil
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("the answer is not what an Elasticsearch cluster says: %w: %s", err, clip(string(body), 200))
	}
	return nil
}

// statusError is an answer that refuses a whole request.
type statusError struct {
	status int
	text   string
}

func (e *statusError) Error() string {
	return fmt.Sprintf("it answered %d %s: %s", e.status, http.StatusText(e.status), e.text)
}

// prepare installs the index template where it is wanted and there is none.
func (s *elasticSender) prepare(ctx context.Context) error {
	if s.prepared || !s.opts.Template {
		return nil
	}
	name := "icewatch-" + strings.ToLower(s.name)
	err := s.do(ctx, esapi.IndicesGetIndexTemplateRequest{Name: name}, nil)
	if refused, ok := err.(*statusError); ok && refused.status == http.StatusNotFound {
		stream := !strings.Contains(s.opts.Index, "{date}")
		body := indexTemplate([]string{s.wildcard()}, stream)
		if err = s.do(ctx, esapi.IndicesPutIndexTemplateRequest{Name: name, Body: bytes.NewReader(body)}, nil); err != nil {
			err = fmt.Errorf("install the index template %s: %w", name, err)
		}
	}
	s.prepared = err == nil
	return err
}

// wildcard is the pattern of names as Elasticsearch writes it.
func (s *elasticSender) wildcard() string {
	var b strings.Builder
	for i, part := range s.index {
		if i%2 == 0 {
			b.WriteString(part)
		} else {
			b.WriteByte('*')
		}
	}
	return b.String()
}

// Probe implements sender.
func (s *elasticSender) Probe(ctx context.Context) (string, error) {
	var info struct {
		Cluster string `json:"cluster_name"`
		Version struct {
			Number       string `json:"number"`
			Distribution string `json:"distribution"`
		} `json:"version"`
	}
	// Who may only write is not told the version.
	detail := "the version is not told"
	var refused *statusError
	switch err := s.do(ctx, esapi.InfoRequest{}, &info); {
	case err == nil && info.Version.Number != "":
		product := "Elasticsearch"
		if info.Version.Distribution != "" {
			product = info.Version.Distribution
		}
		detail = fmt.Sprintf("%s %s, cluster %s", product, info.Version.Number, info.Cluster)
	case err != nil && (!errors.As(err, &refused) || refused.status == http.StatusUnauthorized):
		return "", err
	}
	b := newBatch([]Event{testEvent(time.Now())})
	if err := s.Send(ctx, b); err != nil {
		return detail, err
	}
	if len(b.refused) > 0 {
		return detail, fmt.Errorf("it refused the test event: %s", b.refused[0].reason)
	}
	return detail + "; a test event was taken", nil
}

// Sure implements sender.
func (s *elasticSender) Sure() bool { return true }

// Close implements sender.
func (s *elasticSender) Close() bool {
	s.transport.CloseIdleConnections()
	return true
}
