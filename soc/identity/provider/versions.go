package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

const (
	versionTimeout = 5 * time.Second
	versionBody    = 64 << 10
	versionKept    = 10 * time.Minute
	failureKept    = time.Minute
	fetchersAtOnce = 8
)

// Version is what is known of an application's version.
type Version struct {
	ID        string     `json:"id"`
	Name      Text       `json:"name"`
	Version   string     `json:"version"`
	Source    string     `json:"source" enum:"stated,fetched,unknown" doc:"Stated by the administrator, or told by the application itself"`
	FetchedAt *time.Time `json:"fetched_at,omitempty"`
	Error     string     `json:"error,omitempty" doc:"Why it could not be fetched"`
}

// versions keeps what was fetched.
type versions struct {
	mu   sync.Mutex
	kept map[string]fetched // by address
}

type fetched struct {
	version, problem string
	at               time.Time
}

// Versions tells the versions of applications. Those with a version URL are
// asked, at most every ten minutes and eight at a time.
func (s *Service) Versions(ctx context.Context, apps []Application) []Version {
	out := make([]Version, len(apps))
	places := make(chan struct{}, fetchersAtOnce)
	var wait sync.WaitGroup
	for i, a := range apps {
		v := &out[i]
		*v = Version{ID: a.ID, Name: a.Name, Version: a.Version, Source: "stated"}
		if a.Version == "" {
			v.Source = "unknown"
		}
		if a.VersionURL == "" || s.Fetch == nil {
			continue
		}
		wait.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			f := s.version(ctx, a.VersionURL)
			v.FetchedAt, v.Error = &f.at, f.problem
			if f.problem == "" {
				v.Version, v.Source = f.version, "fetched"
			}
		})
	}
	wait.Wait()
	return out
}

// checkVersionURL refuses an address that would not be fetched.
func (s *Service) checkVersionURL(ctx context.Context, address string) error {
	if address == "" || s.Fetch == nil {
		return nil
	}
	if err := s.Fetch.Check(ctx, address); err != nil {
		return invalid("version_url: %s", err)
	}
	return nil
}

func (s *Service) version(ctx context.Context, address string) fetched {
	s.versions.mu.Lock()
	f, ok := s.versions.kept[address]
	s.versions.mu.Unlock()
	now := s.Now().UTC()
	kept := versionKept
	if f.problem != "" {
		kept = failureKept
	}
	if ok && now.Sub(f.at) < kept {
		return f
	}
	f = fetched{at: now}
	var err error
	if f.version, err = s.fetchVersion(ctx, address); err != nil {
		f.problem = err.Error()
	}
	s.versions.mu.Lock()
	defer s.versions.mu.Unlock()
	if s.versions.kept == nil || len(s.versions.kept) >= 2*maxApplications {
		s.versions.kept = map[string]fetched{}
	}
	s.versions.kept[address] = f
	return f
}

func (s *Service) fetchVersion(ctx context.Context, address string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", fmt.Errorf("the address cannot be read: %w", err)
	}
	req.Header.Set("Accept", "application/json, text/plain")
	resp, err := s.Fetch.Client(versionTimeout).Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s answered %s", address, resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, versionBody+1))
	if err != nil {
		return "", fmt.Errorf("%s: %w", address, err)
	}
	return parseVersion(body)
}

// plainVersion is a version that stands alone, such as v2.4.1-rc.1+build7.
var plainVersion = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 ._+~:-]{0,99}$`)

// parseVersion reads the version out of {"version": "…"}, as Grafana's
// /api/health and most others answer, the same inside "data", or plain text.
func parseVersion(body []byte) (string, error) {
	if len(body) > versionBody {
		return "", fmt.Errorf("the answer is longer than %d bytes", versionBody)
	}
	var doc struct {
		Version string `json:"version"`
		Data    struct {
			Version string `json:"version"`
		} `json:"data"`
	}
	text := strings.TrimSpace(string(body))
	if strings.HasPrefix(text, "{") {
		// A field of another type is no version; the other may still be one.
		if err := json.Unmarshal(body, &doc); err != nil && doc.Version == "" && doc.Data.Version == "" {
			return "", errors.New("the answer is no JSON object with a text \"version\"")
		}
		text = firstOf(doc.Version, doc.Data.Version)
	}
	if !utf8.ValidString(text) || !plainVersion.MatchString(text) {
		return "", errors.New("the answer holds no version: {\"version\": \"…\"} or plain text of at most 100 characters is expected")
	}
	return text, nil
}
