package api

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// A connection opened in advance and never used must not hold up the end.
func TestAnUnusedConnectionDoesNotHoldUpTheEnd(t *testing.T) {
	t.Parallel()
	var n newcomers
	server := &Server{http: &fasthttp.Server{ReadTimeout: time.Minute, IdleTimeout: time.Minute, CloseOnShutdown: true, ConnState: n.state,
		Handler: func(c *fasthttp.RequestCtx) { n.spoke(c.Conn()) }}}
	server.stop, server.stopNow = context.WithCancel(context.Background())
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	unused, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer unused.Close()
	used, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer used.Close()
	if _, err := used.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := http.ReadResponse(bufio.NewReader(used), nil); err != nil {
		t.Fatal(err)
	}
	n.mu.Lock()
	waiting := len(n.conns)
	n.mu.Unlock()
	if waiting != 1 {
		t.Errorf("%d connections count as unused, want 1", waiting)
	}
	server.newcomers = &n
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	began := time.Now()
	if err := server.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("the end took %s", took)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
