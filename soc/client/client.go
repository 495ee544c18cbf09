// Package client speaks the suite's REST API, /api/v1, for the command-line
// tools, the simulator and the acceptance tests. It is small on purpose: one
// connection, one credential, the server's own errors shown plainly, and
// nothing retried behind the caller's back.
package client

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// DefaultURL is where a suite with default settings answers.
const DefaultURL = "http://127.0.0.1:8080"

// maxAnswer bounds an answer that is read into memory, in bytes. Streams are
// not bounded: they are handed on line by line.
const maxAnswer = 64 << 20

// maxLine bounds one line of a streamed answer, in bytes. An event is at most
// 1 MiB before JSON escapes it, which can make six bytes of one.
const maxLine = 8 << 20

// Options say where the server is and who asks.
type Options struct {
	// URL is the server's address, e.g. "https://icewatch.example:8443". With
	// Socket set it only names the host in requests.
	URL string
	// Socket is the path of the local peer's Unix socket; a connection there
	// needs no token.
	Socket string
	// Token is sent as a bearer token where it is not empty.
	Token string
	// Tenant is the slug sent as X-Scope-OrgID where it is not empty.
	Tenant string
	// CAFile is a PEM file of certificates to trust beside the system's, such as
	// a suite's self-signed one.
	CAFile string
	// Insecure takes any certificate. It is for a first look on a network one
	// trusts; a token sent so can be read by whoever sits between.
	Insecure bool
	// Timeout bounds one request that is not a stream. 0 means 30 s.
	Timeout time.Duration
	// UserAgent names the program in the server's audit log.
	UserAgent string
}

// Client is a connection to one server. It is safe for concurrent use.
type Client struct {
	o    Options
	base *url.URL
	http *http.Client
}

// New checks the options. It does not connect.
func New(o Options) (*Client, error) {
	if o.URL == "" {
		o.URL = DefaultURL
	}
	if !strings.Contains(o.URL, "://") {
		o.URL = "http://" + o.URL
	}
	base, err := url.Parse(o.URL)
	if err != nil {
		return nil, fmt.Errorf("server address %q: %w", o.URL, err)
	}
	if base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, fmt.Errorf("server address %q: want http://HOST:PORT or https://HOST:PORT", o.URL)
	}
	base.Path = strings.TrimSuffix(base.Path, "/")
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.UserAgent == "" {
		o.UserAgent = "icewatch-client"
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 16
	if o.CAFile != "" || o.Insecure {
		trust, err := trusted(o.CAFile)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: trust, InsecureSkipVerify: o.Insecure, MinVersion: tls.VersionTLS12}
	}
	if o.Socket != "" {
		dialer := &net.Dialer{Timeout: 5 * time.Second}
		transport.Proxy = nil
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", o.Socket)
		}
		// The socket is the transport: a certificate has nothing to add to it.
		base.Scheme = "http"
	}
	return &Client{o: o, base: base, http: &http.Client{Transport: transport}}, nil
}

// trusted is the system's certificates and those of a file.
func trusted(file string) (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if file == "" {
		return pool, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("certificates to trust: %w", err)
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("certificates to trust: %s holds no certificate in PEM form", file)
	}
	return pool, nil
}

// Options returns what the client was made with, defaults filled in.
func (c *Client) Options() Options { return c.o }

// With returns a client that shares the connection but sends another token
// and tenant.
func (c *Client) With(token, tenant string) *Client {
	d := *c
	d.o.Token, d.o.Tenant = token, tenant
	return &d
}

// Where names the server for messages: its URL, or the socket's path.
func (c *Client) Where() string {
	if c.o.Socket != "" {
		return "unix:" + c.o.Socket
	}
	return c.base.String()
}

// Problem is the server's refusal as RFC 9457 writes it.
type Problem struct {
	Type   string         `json:"type,omitempty"`
	Title  string         `json:"title"`
	Status int            `json:"status"`
	Detail string         `json:"detail,omitempty"`
	Errors []ProblemError `json:"errors,omitempty"`

	// Code names what to do next where a program can tell; Challenge and
	// Factors come with "factor_required".
	Code      string   `json:"code,omitempty"`
	Challenge string   `json:"challenge,omitempty"`
	Factors   []string `json:"factors,omitempty"`
}

// ProblemError is one of several faults of a request. Row and Column place it
// in an imported file (rows count from 1); Location and Message are those of
// a request's own fields.
type ProblemError struct {
	Row      int    `json:"row,omitempty"`
	Column   string `json:"column,omitempty"`
	Location string `json:"location,omitempty"`
	Message  string `json:"message"`
	Value    any    `json:"value,omitempty"`
}

// Error tells title, detail and each fault on a line of its own.
func (p *Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.Title)
	if p.Detail != "" && p.Detail != p.Title {
		if p.Title != "" {
			b.WriteString(": ")
		}
		b.WriteString(p.Detail)
	}
	fmt.Fprintf(&b, " (HTTP %d)", p.Status)
	for _, e := range p.Errors {
		b.WriteString("\n  ")
		switch {
		case e.Row > 0 && e.Column != "":
			fmt.Fprintf(&b, "row %d, %s: ", e.Row, e.Column)
		case e.Row > 0:
			fmt.Fprintf(&b, "row %d: ", e.Row)
		case e.Column != "":
			fmt.Fprintf(&b, "%s: ", e.Column)
		case e.Location != "":
			fmt.Fprintf(&b, "%s: ", e.Location)
		}
		b.WriteString(e.Message)
		if e.Value != nil && e.Row == 0 {
			if v, err := json.Marshal(e.Value); err == nil && len(v) <= 200 {
				fmt.Fprintf(&b, " (got %s)", v)
			}
		}
	}
	return b.String()
}

// Status returns the HTTP status of a server's refusal, or 0 for any other
// error.
func Status(err error) int {
	var p *Problem
	if errors.As(err, &p) {
		return p.Status
	}
	return 0
}

// problem reads a refusal; a body that is no problem+json is quoted.
func problem(resp *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	p := &Problem{}
	if strings.Contains(resp.Header.Get("Content-Type"), "json") {
		if err := json.Unmarshal(body, p); err != nil || p.Title == "" && p.Detail == "" {
			p = &Problem{Detail: strings.TrimSpace(string(body))}
		}
	} else {
		p.Detail = strings.TrimSpace(string(body))
	}
	if len(p.Detail) > 2000 {
		p.Detail = p.Detail[:2000] + "…"
	}
	if p.Title == "" {
		p.Title = http.StatusText(resp.StatusCode)
	}
	p.Status = resp.StatusCode
	return p
}

// Do sends one request and returns the answer whatever its status. The path
// counts from the server's root. The caller closes the body.
func (c *Client) Do(ctx context.Context, method, path string, query url.Values, header http.Header, body io.Reader) (*http.Response, error) {
	u := *c.base
	u.Path += path
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("User-Agent", c.o.UserAgent)
	if c.o.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.o.Token)
	}
	if c.o.Tenant != "" {
		req.Header.Set("X-Scope-OrgID", c.o.Tenant)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		// net/http repeats method and URL, the query included, before the cause.
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		var unknown *tls.CertificateVerificationError
		if errors.As(err, &unknown) {
			return nil, fmt.Errorf("the certificate of %s is not trusted: %w (name its certificate with --ca FILE)", c.Where(), unknown.Err)
		}
		return nil, fmt.Errorf("cannot reach the server at %s: %w", c.Where(), err)
	}
	return resp, nil
}

// Send sends a body as it is and decodes the JSON answer into out, which may
// be nil. A status of 400 or more is returned as a *Problem.
func (c *Client) Send(ctx context.Context, method, path string, query url.Values, header http.Header, body io.Reader, out any) error {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	resp, err := c.Do(ctx, method, path, query, header, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 400 {
		return problem(resp)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("%s %s: answer broke off after %d bytes: %w", method, path, len(data), err)
	}
	if len(data) > maxAnswer {
		return fmt.Errorf("%s %s: the answer is longer than %d MiB", method, path, maxAnswer>>20)
	}
	switch out := out.(type) {
	case nil:
		return nil
	case *[]byte:
		*out = data
		return nil
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("%s %s: the answer is not what was expected: %w", method, path, err)
	}
	return nil
}

// JSON sends in as JSON (nil: no body) and decodes the answer into out.
func (c *Client) JSON(ctx context.Context, method, path string, query url.Values, in, out any) error {
	var body io.Reader
	header := http.Header{"Accept": {"application/json"}}
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
		body = bytes.NewReader(data)
		header.Set("Content-Type", "application/json")
	}
	return c.Send(ctx, method, path, query, header, body, out)
}

// Get is JSON with GET and no body.
func (c *Client) Get(ctx context.Context, path string, query url.Values, out any) error {
	return c.JSON(ctx, http.MethodGet, path, query, nil, out)
}

// Stream asks for newline-delimited JSON and hands over each line as it comes,
// without the line's end. line is valid only during the call. An answer that
// breaks off is an error, however many lines were handed over before.
func (c *Client) Stream(ctx context.Context, path string, query url.Values, each func(line []byte) error) error {
	resp, err := c.Do(ctx, http.MethodGet, path, query, http.Header{"Accept": {"application/x-ndjson"}}, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 400 {
		return problem(resp)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	n := 0
	var held []byte // a line that is an error if it is the last one
	for lines.Scan() {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		if held != nil {
			n++
			if err := each(held); err != nil {
				return err
			}
			held = nil
		}
		if bytes.HasPrefix(line, []byte(`{"error":`)) {
			held = bytes.Clone(line)
			continue
		}
		n++
		if err := each(line); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("the answer broke off after %d lines: %w", n, err)
	}
	// The server has sent its status by the time a query fails midway; its last
	// line then holds nothing but the error.
	if held != nil {
		var last map[string]any
		if json.Unmarshal(held, &last) == nil && len(last) == 1 {
			return fmt.Errorf("the answer is incomplete after %d events: %v", n, last["error"])
		}
		return each(held)
	}
	return nil
}
