package link

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"icewatch/collectors/fleet/wire"
)

// Enrol makes this host an agent of the suite that a token names, and keeps the
// identity in dir. The server must show the certificate whose hash the token has.
// A host that has an identity already is enrolled anew only with again.
func Enrol(ctx context.Context, dir, token string, facts wire.Facts, version string, again bool) (*Identity, error) {
	t, err := wire.ParseToken(token)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("the agent's folder: %w", err)
	}
	if id, err := LoadIdentity(dir); err == nil && !again {
		return nil, fmt.Errorf("this host is enrolled already as agent %s of %s; --again enrols it anew", id.Agent, id.URLs[0])
	}
	key, csr, err := pendingKey(dir)
	if err != nil {
		return nil, err
	}
	body := wire.Encode(wire.EnrolRequest{Secret: t.Secret, CSR: csr, Machine: facts.Machine, Facts: facts, Version: version})
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: pinned(t.CA), Proxy: http.ProxyFromEnvironment,
		DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext}}
	defer client.CloseIdleConnections()
	var errs []error
	for _, url := range t.URLs {
		var answer wire.EnrolAnswer
		if err := post(ctx, client, url+wire.PathEnrol, body, &answer); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", url, err))
			var refused *Refused
			if errors.As(err, &refused) && refused.Status < 500 && refused.Status != http.StatusTooManyRequests {
				break // Another address would say the same.
			}
			continue
		}
		if err := fits(answer.Certificate, key); err != nil {
			return nil, err
		}
		if sum := sha256.Sum256(answer.CA); hex.EncodeToString(sum[:]) != t.CA {
			return nil, errors.New("the answer names another authority than the token")
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, err
		}
		id := &Identity{Agent: answer.Agent, Tenant: answer.Tenant, URLs: t.URLs, ServerName: answer.ServerName, Key: der,
			Certificate: append([][]byte{answer.Certificate}, answer.Chain...), CAs: [][]byte{answer.CA}, ReleaseKey: answer.ReleaseKey}
		if err := id.Save(dir); err != nil {
			return nil, err
		}
		_ = os.Remove(filepath.Join(dir, pendingFile))
		return id, nil
	}
	return nil, fmt.Errorf("enrol: %w", errors.Join(errs...))
}

// pinned accepts a server whose certificate was issued, for servers, by the
// authority with that hash. Its name is not known yet.
func pinned(ca string) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection below does more.
		VerifyConnection: func(s tls.ConnectionState) error {
			roots, between := x509.NewCertPool(), x509.NewCertPool()
			found := false
			for _, c := range s.PeerCertificates {
				if sum := sha256.Sum256(c.Raw); hex.EncodeToString(sum[:]) == ca {
					roots.AddCert(c)
					found = true
				} else {
					between.AddCert(c)
				}
			}
			if !found {
				return errors.New("the server does not show the authority that the token names: it is another suite, or something between reads along")
			}
			_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
			return err
		},
	}
}

// Refused is an answer that is no success.
type Refused struct {
	Status     int
	Code       string // one of wire's; "" where the answer is not the suite's
	Detail     string
	RetryAfter time.Duration // 0 where the server does not say
}

func (r *Refused) Error() string {
	if r.Detail == "" {
		return fmt.Sprintf("the suite answered %d %s", r.Status, http.StatusText(r.Status))
	}
	return fmt.Sprintf("the suite answered %d (%s): %s", r.Status, r.Code, r.Detail)
}

// maxAnswer bounds an answer: a configuration document and some words.
const maxAnswer = 8 << 20

// post sends JSON and reads JSON.
func post(ctx context.Context, client *http.Client, url string, body []byte, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	return do(client, req, into)
}

// do sends a request and reads its answer into into, which may be nil.
func do(client *http.Client, req *http.Request, into any) error {
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return refusal(resp)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if len(data) > maxAnswer {
		return fmt.Errorf("the answer is longer than %d bytes", maxAnswer)
	}
	if into == nil || len(data) == 0 {
		return nil
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("the answer of %s is not what the suite says: %w", req.URL.Path, err)
	}
	return nil
}

func refusal(resp *http.Response) error {
	r := &Refused{Status: resp.StatusCode}
	data, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	var said wire.Error
	_ = json.Unmarshal(data, &said) // What is between may answer anything.
	r.Code, r.Detail = said.Code, said.Detail
	if s := resp.Header.Get("Retry-After"); s != "" {
		var n int
		if _, err := fmt.Sscan(s, &n); err == nil && n > 0 {
			r.RetryAfter = min(time.Duration(n)*time.Second, 10*time.Minute)
		}
	}
	return r
}
