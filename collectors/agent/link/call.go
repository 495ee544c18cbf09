package link

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"icewatch/collectors/fleet/wire"
)

// Call sends a message to a path of the suite and reads the answer into into.
func (c *Client) Call(ctx context.Context, path string, message, into any) error {
	body := wire.Encode(message)
	return c.each(ctx, func(client *http.Client, url string) error { return post(ctx, client, url+path, body, into) })
}

// Fetch writes what lies at a path of the suite into w, limit bytes at most. After
// an error w may hold a part of it.
func (c *Client) Fetch(ctx context.Context, path string, w io.Writer, limit int64) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	return c.each(ctx, func(client *http.Client, url string) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+path, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return refusal(resp)
		}
		n, err := io.Copy(w, io.LimitReader(resp.Body, limit+1))
		if err == nil && n > limit {
			err = fmt.Errorf("%s has more than %d bytes", path, limit)
		}
		return err
	})
}
