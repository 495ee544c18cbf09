package loki

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/gofiber/fiber/v2"
	"github.com/grafana/loki/v3/pkg/loghttp"
	legacy "github.com/grafana/loki/v3/pkg/loghttp/legacy"
	"github.com/grafana/loki/v3/pkg/logproto"
	lokisyntax "github.com/grafana/loki/v3/pkg/logql/syntax"
	"github.com/grafana/loki/v3/pkg/util/httpreq"
	"github.com/grafana/loki/v3/pkg/util/marshal"
	"github.com/valyala/fasthttp"

	"icewatch/soc/loki/logql"
	"icewatch/soc/reach"
	"icewatch/soc/search"
)

const (
	tailPending = 5_000                  // lines that wait for a slow client; further ones are dropped
	tailFlush   = 250 * time.Millisecond // between two messages
	tailPing    = 15 * time.Second       // a sign of life, so that proxies keep the connection
	tailCheck   = 10 * time.Second       // how soon a tail ends after its caller may no longer see
	tailSend    = 30 * time.Second       // how long a client may leave a message unread
	tailLongest = time.Hour              // as with Loki, whose clients then ask anew
	tailMessage = 1_000                  // lines of one message
)

// following is one live tail.
type following struct {
	service
	within reach.Reach
	still  func(context.Context) (why string)
	expr   lokisyntax.LogSelectorExpr
	query  string
	start  time.Time
	limit  uint32
	delay  time.Duration
	flags  httpreq.EncodingFlags
	conn   *websocket.Conn
}

// tail follows a log query over a WebSocket: first the newest lines since start,
// then lines as they are stored.
func (s service) tail(c *fiber.Ctx) error {
	r, err := s.request(c)
	if err != nil {
		return s.fail(c, err)
	}
	in, err := loghttp.ParseTailQuery(r.Request)
	if err != nil {
		return refuse(c, http.StatusBadRequest, err.Error())
	}
	expr, err := lokisyntax.ParseLogSelector(in.Query, true)
	if err != nil {
		return refuse(c, http.StatusBadRequest, err.Error())
	}
	if limits := s.Engine.Limits(); int(in.Limit) > limits.Entries {
		return refuse(c, http.StatusBadRequest, fmt.Sprintf("max entries limit per query exceeded, limit > max_entries_limit_per_query (%d > %d)", in.Limit, limits.Entries))
	}
	if !websocket.FastHTTPIsWebSocketUpgrade(c.Context()) {
		return refuse(c, http.StatusBadRequest, "a live tail goes over a WebSocket: the request does not ask for one (Upgrade: websocket)")
	}
	f := &following{service: s, within: r.within, still: s.Caller.Still(c), expr: expr, query: in.Query, start: in.Start, limit: in.Limit,
		delay: time.Duration(in.DelayFor) * time.Second, flags: r.flags}
	upgrader := websocket.FastHTTPUpgrader{HandshakeTimeout: 10 * time.Second, CheckOrigin: ownOrigin,
		Error: func(ctx *fasthttp.RequestCtx, status int, reason error) { ctx.Error(reason.Error(), status) }}
	return upgrader.Upgrade(c.Context(), func(conn *websocket.Conn) {
		defer conn.Close()
		f.conn = conn
		code, why := f.run()
		_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, why), time.Now().Add(time.Second))
	})
}

// ownOrigin lets pages of other sites follow nothing with a cookie that the
// browser adds by itself; who shows a token or password means to.
func ownOrigin(ctx *fasthttp.RequestCtx) bool {
	origin := string(ctx.Request.Header.Peek("Origin"))
	if origin == "" || len(ctx.Request.Header.Peek("Authorization")) > 0 {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host == string(ctx.Host())
}

// run follows until the client goes, and says why it ends.
func (f *following) run() (code int, why string) {
	ctx, cancel := context.WithTimeout(context.Background(), tailLongest)
	defer cancel()
	go func() {
		// Nothing is expected of the client but that it closes.
		defer cancel()
		f.conn.SetReadLimit(4096)
		for {
			if _, _, err := f.conn.ReadMessage(); err != nil {
				return
			}
		}
	}()
	lines := make(chan logql.Tailed, tailPending)
	ended := make(chan error, 1)
	go func() {
		ended <- f.Engine.Tail(ctx, f.within, f.expr, func(t logql.Tailed) error {
			select {
			case lines <- t:
			default:
				if t.Line != nil {
					t = logql.Tailed{Dropped: 1}
				}
				f.drop(lines, t)
			}
			return nil
		})
	}()
	select {
	case first := <-lines:
		lines <- first // there is room: nothing else has come yet, or little
	case err := <-ended:
		return f.endOf(ctx, err)
	case <-ctx.Done():
		return websocket.CloseNormalClosure, ""
	}
	had, err := f.history(ctx)
	if err != nil {
		return f.endOf(ctx, err)
	}
	return f.follow(ctx, lines, ended, had)
}

// drop makes room for the notice that lines were left out, at the cost of the
// oldest one waiting.
func (f *following) drop(lines chan logql.Tailed, t logql.Tailed) {
	if t.Dropped == 0 {
		return
	}
	select {
	case old := <-lines:
		if old.Line != nil {
			old.Dropped = 1
		}
		t.Dropped += old.Dropped
	default:
	}
	select {
	case lines <- t:
	default:
	}
}

func (f *following) endOf(ctx context.Context, err error) (int, string) {
	switch {
	case ctx.Err() != nil || err == nil:
		return websocket.CloseNormalClosure, ""
	case errors.Is(err, search.ErrTooMany):
		return websocket.CloseTryAgainLater, "as many searches are followed as can be at a time: try again later"
	case errors.Is(err, search.ErrUnavailable):
		return websocket.CloseTryAgainLater, "the lake is not available at the moment"
	}
	return websocket.CloseInternalServerErr, "the live tail broke off"
}

// history sends the newest lines since start, the oldest of them first.
func (f *following) history(ctx context.Context) (had map[string]bool, err error) {
	now := time.Now()
	if !f.start.Before(now) {
		return nil, nil
	}
	p, err := logql.Params(f.query, f.start, now, 0, 0, logproto.BACKWARD, f.limit)
	if err != nil {
		return nil, err
	}
	had = map[string]bool{}
	var list []logql.Tailed
	_, err = f.Engine.Lines(ctx, f.within, p, func(l logql.Line) error {
		had[l.ID] = true
		list = append(list, logql.Tailed{Line: &l})
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.Reverse(list)
	return had, f.send(list, 0)
}

// follow sends lines as they come, each after the delay asked for.
func (f *following) follow(ctx context.Context, lines chan logql.Tailed, ended chan error, had map[string]bool) (int, string) {
	flush, ping, check := time.NewTicker(tailFlush), time.NewTicker(tailPing), time.NewTicker(tailCheck)
	defer flush.Stop()
	defer ping.Stop()
	defer check.Stop()
	type waiting struct {
		logql.Tailed
		due time.Time
	}
	var queue []waiting
	dropped := uint64(0)
	for {
		select {
		case t := <-lines:
			dropped += t.Dropped
			if t.Line != nil && !had[t.Line.ID] {
				queue = append(queue, waiting{t, time.Now().Add(f.delay)})
			}
		case now := <-flush.C:
			n := 0
			for n < len(queue) && n < tailMessage && !queue[n].due.After(now) {
				n++
			}
			if n == 0 && dropped == 0 {
				continue
			}
			list := make([]logql.Tailed, n)
			for i := range list {
				list[i] = queue[i].Tailed
			}
			queue = slices.Delete(queue, 0, n)
			slices.SortStableFunc(list, func(a, b logql.Tailed) int { return a.Line.Time.Compare(b.Line.Time) })
			if err := f.send(list, dropped); err != nil {
				return websocket.CloseGoingAway, ""
			}
			dropped = 0
		case <-ping.C:
			if f.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(tailSend)) != nil {
				return websocket.CloseGoingAway, ""
			}
		case <-check.C:
			if why := f.still(ctx); why != "" {
				return websocket.ClosePolicyViolation, why
			}
		case err := <-ended:
			return f.endOf(ctx, err)
		case <-ctx.Done():
			return websocket.CloseNormalClosure, ""
		}
	}
}

// send writes one message, each line in a stream of its own kind. Of lines left
// out their number is not told, as the protocol has no place for it.
func (f *following) send(list []logql.Tailed, dropped uint64) error {
	if len(list) == 0 && dropped == 0 {
		return nil
	}
	var answer legacy.TailResponse
	for _, t := range list {
		l := t.Line
		n := len(answer.Streams)
		if n == 0 || answer.Streams[n-1].Labels != l.Labels {
			answer.Streams = append(answer.Streams, logproto.Stream{Labels: l.Labels})
			n++
		}
		answer.Streams[n-1].Entries = append(answer.Streams[n-1].Entries, logproto.Entry{Timestamp: l.Time, Line: l.Text,
			StructuredMetadata: l.Metadata, Parsed: l.Parsed})
	}
	if dropped > 0 {
		answer.DroppedEntries = append(answer.DroppedEntries, legacy.DroppedEntry{Timestamp: time.Now(), Labels: "{}"})
	}
	var buf bytes.Buffer
	if err := marshal.WriteTailResponseJSON(answer, &buf, f.flags); err != nil {
		return err
	}
	if err := f.conn.SetWriteDeadline(time.Now().Add(tailSend)); err != nil {
		return err
	}
	return f.conn.WriteMessage(websocket.TextMessage, buf.Bytes())
}
