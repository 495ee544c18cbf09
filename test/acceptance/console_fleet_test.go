package acceptance

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"icewatch/collectors/fleet/fleettest"
	"icewatch/collectors/fleet/wire"
)

// contained are the containers of the host that simulatedHost makes.
var contained = []wire.Container{
	{ID: "abc1", Name: "cache", Image: "redis:7", State: "running", Engine: "docker", Service: "redis", Version: "7", Health: "unhealthy", Restarts: 2, Services: []wire.ContainerService{
		{Protocol: "tcp", Port: 6379, Process: "redis-server", Service: "redis", Version: "7.2.5", Published: "0.0.0.0:16379", Listening: true}, {Protocol: "tcp", Port: 9121, Service: "prometheus", Listening: true}}},
	{ID: "abd2", Name: "job", Image: "busybox", State: "exited", Engine: "docker", ExitCode: 137, Reason: "out of memory"},
	{ID: "abe3", Name: "web", Image: "nginx:1.27", State: "running", Engine: "kubernetes", Pod: "shop-1", Namespace: "city", Service: "nginx", Version: "1.27", Services: []wire.ContainerService{{Protocol: "tcp", Port: 80, Service: "nginx"}}},
}

// simulatedHost serves at the address that it returns: a token posted there enrols a host, which
// speaks the agents' protocol to the suite until the test ends. The answer comes once the suite
// has its inventory.
func simulatedHost(t *testing.T) string {
	t.Helper()
	facts := wire.Facts{Hostname: "shop-node", Machine: "c0ffee00c0ffee00c0ffee00c0ffee00", OS: "linux", Arch: "amd64", Platform: "debian", Release: "12", Kernel: "6.1.0", Cores: 8, Memory: 16 << 30, Addresses: []string{"10.77.0.9"}, Virtual: "kvm"}
	ctx, end := context.WithCancel(t.Context())
	left := make(chan struct{}, 1)
	left <- struct{}{}
	join := func(token string) error {
		parsed, err := wire.ParseToken(token)
		if err != nil {
			return err
		}
		c, err := fleettest.NewClient(parsed)
		if err != nil {
			return err
		}
		if err := c.Enrol(ctx, facts); err != nil {
			return err
		}
		<-left
		go func() {
			defer func() { left <- struct{}{} }()
			began := time.Now().Add(-time.Hour).Unix()
			for in := (wire.Checkin{Version: "1.0.0", State: wire.StateHealthy, Facts: &facts, Usage: wire.Usage{CPUPercent: 0.5, MemoryBytes: 60 << 20, Started: began}}); ctx.Err() == nil; {
				_, _ = c.Checkin(ctx, in) // what is asked of it stays undone
				select {
				case <-time.After(time.Second):
				case <-ctx.Done():
				}
			}
			c.HTTP.CloseIdleConnections()
		}()
		enc, err := zstd.NewWriter(nil)
		if err != nil {
			return err
		}
		return c.Batch(ctx, wire.PathInventory, "01JDQ6Z3W8AAAAAAAAAAAAAAAA-1", enc.EncodeAll(wire.Encode(wire.Inventory{Taken: time.Now().Unix(), Facts: facts, Containers: contained}), nil))
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, err := io.ReadAll(io.LimitReader(r.Body, 4096))
		if err == nil {
			err = join(string(token))
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
		}
	}))
	t.Cleanup(func() {
		srv.Close()
		end()
		<-left
	})
	return srv.URL
}
