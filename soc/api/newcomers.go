package api

import (
	"net"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// newcomers are the connections on which no request has come yet. fasthttp
// takes such a connection for busy until its read timeout, since it waits for
// the first request without a look ahead; browsers and Go's own client open
// one in advance now and then, and it would hold up the server's end.
type newcomers struct {
	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// state follows the connections; it is fasthttp's ConnState.
func (n *newcomers) state(c net.Conn, st fasthttp.ConnState) {
	switch st {
	case fasthttp.StateNew:
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.conns == nil {
			n.conns = map[net.Conn]struct{}{}
		}
		n.conns[c] = struct{}{}
	case fasthttp.StateClosed, fasthttp.StateHijacked:
		n.spoke(c)
	}
}

// spoke says that a request has come on the connection.
func (n *newcomers) spoke(c net.Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.conns, c)
}

// closeUntil closes the connections on which nothing has come, again and
// again until done is closed: the last ones may be accepted meanwhile.
func (n *newcomers) closeUntil(done <-chan struct{}) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		n.mu.Lock()
		for c := range n.conns {
			_ = c.Close()
		}
		n.mu.Unlock()
		select {
		case <-done:
			return
		case <-tick.C:
		}
	}
}
