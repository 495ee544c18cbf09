package client

import (
	"context"
	"io"
	"net/http"
	"net/url"
)

// Open gets a file and returns its body, which the caller closes. A status of 400 or more is
// returned as a *Problem.
func (c *Client) Open(ctx context.Context, path string, query url.Values) (io.ReadCloser, error) {
	resp, err := c.Do(ctx, http.MethodGet, path, query, nil, nil)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 400 {
		defer resp.Body.Close()
		return nil, problem(resp)
	}
	return resp.Body, nil
}
