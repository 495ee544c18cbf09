package otlp

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"icewatch/soc/intake"
)

// newGRPC serves s over gRPC and returns a call of its services.
func newGRPC(t *testing.T, s *server, gate Gate) (g *GRPC, export func(ctx context.Context, service string, body []byte) ([]byte, error)) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g = NewGRPC(s.h, gate, GRPCOptions{Listen: ln.Addr().String(), MaxMessage: 1 << 20})
	served := make(chan error, 1)
	go func() { served <- g.Serve(ln) }()
	conn, err := grpc.NewClient("passthrough:///"+ln.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		g.Stop(ctx)
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return g, func(ctx context.Context, service string, body []byte) (answer []byte, err error) {
		err = conn.Invoke(ctx, "/opentelemetry.proto.collector."+service+"/Export", &body, &answer, grpc.ForceCodecV2(rawCodec{}))
		return answer, err
	}
}

// TestGRPC: the gate sees what the call shows, refusals have their codes, and
// what may be sent again says when.
func TestGRPC(t *testing.T) {
	t.Parallel()
	s := newServer(Options{})
	var seen Entry
	g, export := newGRPC(t, s, func(_ context.Context, e Entry) (string, int, string) {
		seen = e
		if e.Authorization == "" {
			return "", http.StatusUnauthorized, "who are you?"
		}
		return "tax", http.StatusOK, ""
	})
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	known := metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer x", "x-scope-orgid", "tax")
	body := marshal(t, logRequest("a"))
	refused := func(ctx context.Context, body []byte, code codes.Code, why string, wait time.Duration) {
		t.Helper()
		_, err := export(ctx, "logs.v1.LogsService", body)
		got := time.Duration(0)
		for _, d := range status.Convert(err).Details() {
			if r, ok := d.(*errdetails.RetryInfo); ok {
				got = r.GetRetryDelay().AsDuration()
			}
		}
		if status.Code(err) != code || !strings.Contains(err.Error(), why) || (got > 0) != (wait > 0) || got > wait {
			t.Errorf("%v, again in %s; want %s, %q, %s", err, got, code, why, wait)
		}
	}
	refused(ctx, body, codes.Unauthenticated, "who are you?", 0)
	refused(known, []byte("\xff"), codes.InvalidArgument, "not valid protobuf", 0)
	s.sink.Refuse(intake.ErrFull)
	refused(known, body, codes.Unavailable, "full", retry)
	s.sink.Refuse(&intake.OverQuota{Tenant: "tax", Limit: "1 event a day", Until: time.Now().Add(time.Hour)})
	refused(known, body, codes.ResourceExhausted, "quota", time.Hour+time.Second)
	s.sink.Refuse(errors.New("the disk is gone"))
	refused(known, body, codes.Unavailable, "the disk is gone", retry)
	if h := g.Health(); h.State != "error" || h.Rejected != 5 || h.Received != 0 {
		t.Errorf("health %+v", h)
	}
	s.sink.Refuse(nil)

	for service, body := range map[string][]byte{"logs.v1.LogsService": body, "trace.v1.TraceService": marshal(t, everyValue()), "metrics.v1.MetricsService": marshal(t, everyMetric())} {
		if _, err := export(known, service, body); err != nil {
			t.Errorf("%s: %v", service, err)
		}
	}
	if seen.Tenant != "tax" || seen.Authorization != "Bearer x" || !strings.HasPrefix(seen.UserAgent, "grpc-go/") || !strings.HasSuffix(seen.Method, "/Export") || seen.Peer.String() != "127.0.0.1" || seen.Secure {
		t.Errorf("the gate saw %+v", seen)
	}
	recs := s.sink.Records()
	if len(recs) != 2 || recs[0].Tenant != "tax" || recs[0].Peer.String() != "127.0.0.1" || len(s.samples.series) == 0 {
		t.Errorf("%d records, %d series", len(recs), len(s.samples.series))
	}
	if h := g.Health(); h.State != "ok" || h.ID != GRPCID || h.Received == 0 {
		t.Errorf("health %+v", h)
	}
}
