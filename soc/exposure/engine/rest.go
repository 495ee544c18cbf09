package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// rest asks a server with a header that says who asks.
type rest struct {
	base, header, value string
	client              *http.Client
}

func (r *rest) ask(ctx context.Context, method, path string, body any) ([]byte, error) {
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, r.base+path, in)
	if err != nil {
		return nil, away("%w", err)
	}
	if r.value != "" {
		req.Header.Set(r.header, r.value)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, away("%w", err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxReport+1))
	if err != nil {
		return nil, away("%s %s: %w", method, path, err)
	}
	if len(data) > maxReport {
		return nil, away("%s %s: more than %d bytes", method, path, maxReport)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, said(resp, data)
	}
	return data, nil
}

func (r *rest) json(ctx context.Context, method, path string, body, into any) error {
	data, err := r.ask(ctx, method, path, body)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return away("%s %s: it is not the JSON that is wanted: %w", method, path, err)
	}
	return nil
}

// nessus speaks to Nessus by the API that it documents at /api of each server.
type nessus struct{ rest }

func (n *nessus) check(ctx context.Context) (string, error) {
	var p struct {
		Version string `json:"nessus_ui_version"`
		Server  string `json:"server_version"`
	}
	if err := n.json(ctx, http.MethodGet, "/server/properties", nil, &p); err != nil {
		return "", err
	}
	// Properties are told to everybody: the list of scans says whether the keys are good.
	if _, err := n.scans(ctx); err != nil {
		return "", err
	}
	if p.Server != "" {
		return p.Server, nil
	}
	return p.Version, nil
}

func (n *nessus) scans(ctx context.Context) ([]EngineScan, error) {
	var l struct {
		Scans []struct {
			ID       int64  `json:"id"`
			Name     string `json:"name"`
			Status   string `json:"status"`
			Modified int64  `json:"last_modification_date"`
		} `json:"scans"`
	}
	if err := n.json(ctx, http.MethodGet, "/scans", nil, &l); err != nil {
		return nil, err
	}
	out := []EngineScan{}
	for _, x := range l.Scans[:min(len(l.Scans), 5000)] {
		s := EngineScan{ID: strconv.FormatInt(x.ID, 10), Name: clip(x.Name, 300), State: clip(x.Status, 60), Done: x.Status == "completed" || x.Status == "imported"}
		if x.Modified > 0 {
			s.Finished = time.Unix(x.Modified, 0).UTC()
		}
		out = append(out, s)
	}
	return out, nil
}

func (n *nessus) launch(ctx context.Context, scan string) error {
	var a struct {
		UUID string `json:"scan_uuid"`
	}
	return n.json(ctx, http.MethodPost, "/scans/"+url.PathEscape(scan)+"/launch", struct{}{}, &a)
}

func (n *nessus) fetch(ctx context.Context, scan string) ([]byte, string, error) {
	path := "/scans/" + url.PathEscape(scan) + "/export"
	var f struct {
		File int64 `json:"file"`
	}
	if err := n.json(ctx, http.MethodPost, path, map[string]string{"format": "nessus"}, &f); err != nil {
		return nil, "", err
	}
	path += "/" + strconv.FormatInt(f.File, 10)
	for wait := 200 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
		var s struct {
			Status string `json:"status"`
		}
		if err := n.json(ctx, http.MethodGet, path+"/status", nil, &s); err != nil {
			return nil, "", err
		}
		if s.Status == "ready" {
			break
		}
		if s.Status == "error" {
			return nil, "", away("the export of the scan %s failed", scan)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, "", away("the export of the scan %s is not ready in time", scan)
		}
	}
	data, err := n.ask(ctx, http.MethodGet, path+"/download", nil)
	return data, "nessus", err
}

// generic speaks to any other by the paths that people name.
type generic struct {
	rest
	d *EngineDraft
}

func (g *generic) path(p, scan string) string {
	return strings.ReplaceAll(p, "{scan}", url.PathEscape(scan))
}

func (g *generic) check(ctx context.Context) (string, error) {
	p := g.d.Check
	if p == "" {
		p = "/"
	}
	_, err := g.ask(ctx, http.MethodGet, g.path(p, g.d.Scan), nil)
	return "", err
}

func (g *generic) scans(ctx context.Context) ([]EngineScan, error) {
	x := EngineScan{ID: g.d.Scan, Name: g.d.Name, State: "unknown", Done: true}
	if g.d.Status != "" {
		data, err := g.ask(ctx, http.MethodGet, g.path(g.d.Status, g.d.Scan), nil)
		if err != nil {
			return nil, err
		}
		x.State = clip(strings.Join(strings.Fields(string(data)), " "), 60)
		x.Done = g.d.DoneText == "" || bytes.Contains(data, []byte(g.d.DoneText))
	}
	return []EngineScan{x}, nil
}

func (g *generic) launch(ctx context.Context, scan string) error {
	if g.d.Launch == "" {
		return fmt.Errorf("%w: launch_path: there is none, so that this engine's scans cannot be begun from here", ErrInvalid)
	}
	_, err := g.ask(ctx, http.MethodPost, g.path(g.d.Launch, scan), struct{}{})
	return err
}

func (g *generic) fetch(ctx context.Context, scan string) ([]byte, string, error) {
	data, err := g.ask(ctx, http.MethodGet, g.path(g.d.Report, scan), nil)
	return data, g.d.Format, err
}
