package otlp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/net/netutil"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip" // registers the compressor by itself
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"icewatch/collectors"
)

// GRPCID is the name of the way over gRPC in metrics and in the list of sources.
const GRPCID = "otlp-grpc"

// Bounds of the listener.
const (
	maxConnections = 4096
	maxStreams     = 100 // of a connection
	maxReading     = 32  // requests whose bodies are in memory at once; more wait
	receiveTimeout = 30 * time.Second
)

// Entry is what a request over gRPC shows of its sender.
type Entry struct {
	Authorization string // of the metadata, as HTTP's header
	Tenant        string // x-scope-orgid of the metadata
	UserAgent     string
	Method        string // such as /opentelemetry.proto.collector.logs.v1.LogsService/Export
	Peer          netip.Addr
	Secure        bool // over TLS
}

// Gate decides who may bring events and for whom, by the rules of the suite's
// own HTTP API. status is of HTTP, 200 where the entry is admitted.
type Gate func(ctx context.Context, e Entry) (tenant string, status int, why string)

// GRPCOptions configure the way over gRPC.
type GRPCOptions struct {
	Listen     string // address, for Health
	MaxMessage int    // bytes of a request once decompressed; 0 is 16 MiB
	Secure     bool   // the listener speaks TLS
}

// GRPC is the server of the three export services of OTLP.
type GRPC struct {
	h        *Handler
	gate     Gate
	opts     GRPCOptions
	server   *grpc.Server
	counters *collectors.Counters
	reading  chan struct{}
}

// services are the protocol's, each with the one method Export.
var services = []struct {
	name string
	sig  *signal
}{
	{"opentelemetry.proto.collector.logs.v1.LogsService", logs},
	{"opentelemetry.proto.collector.metrics.v1.MetricsService", metricData},
	{"opentelemetry.proto.collector.trace.v1.TraceService", traces},
}

// NewGRPC makes a server that takes requests in by h.
func NewGRPC(h *Handler, gate Gate, opts GRPCOptions) *GRPC {
	if opts.MaxMessage <= 0 {
		opts.MaxMessage = 16 << 20
	}
	g := &GRPC{h: h, gate: gate, opts: opts, counters: collectors.NewCounters(h.opts.Metrics, GRPCID), reading: make(chan struct{}, maxReading)}
	if encoding.GetCompressor(zstdName) == nil {
		encoding.RegisterCompressor(newZstd())
	}
	g.server = grpc.NewServer(
		grpc.ForceServerCodecV2(rawCodec{}),
		grpc.MaxRecvMsgSize(opts.MaxMessage),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxHeaderListSize(16<<10),
		grpc.ConnectionTimeout(10*time.Second),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: 10 * time.Minute, Time: time.Minute, Timeout: 20 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
	)
	for _, s := range services {
		// A stream of one request is on the wire what a simple call is; here it
		// lets the sender be known before anything of the request is read.
		g.server.RegisterService(&grpc.ServiceDesc{ServiceName: s.name, HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{
			{StreamName: "Export", ClientStreams: true, Handler: func(_ any, stream grpc.ServerStream) error { return g.export(s.sig, stream) }},
		}}, g)
	}
	return g
}

// Serve answers on the listener until Stop.
func (g *GRPC) Serve(ln net.Listener) error {
	g.counters.Running(true)
	defer g.counters.Running(false)
	if err := g.server.Serve(netutil.LimitListener(ln, maxConnections)); err != nil {
		return fmt.Errorf("serve gRPC on %s: %w", ln.Addr(), err)
	}
	return nil
}

// Stop closes the listener and lets running requests end within the context's
// time.
func (g *GRPC) Stop(ctx context.Context) {
	done := make(chan struct{})
	go func() { g.server.GracefulStop(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		g.server.Stop()
		<-done
	}
}

// Health tells how the way over gRPC fares.
func (g *GRPC) Health() collectors.Health {
	return g.counters.Health(GRPCID, "otlp_grpc", g.opts.Listen)
}

// export answers one call.
func (g *GRPC) export(sig *signal, stream grpc.ServerStream) error {
	ctx := stream.Context()
	e := entry(ctx, g.opts.Secure)
	tenant, code, why := g.gate(ctx, e)
	if code != http.StatusOK {
		g.counters.Rejected(1)
		return failure(&refusal{status: code, why: why})
	}
	select {
	case g.reading <- struct{}{}:
		defer func() { <-g.reading }()
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
	body, err := receive(stream)
	if err != nil {
		g.counters.Rejected(1)
		return err
	}
	out, err := g.h.take(ctx, sig, body, false, origin{tenant: tenant, peer: e.Peer}, g.counters)
	if err != nil {
		return failure(g.h.refusal(err))
	}
	answer := out.proto()
	return stream.SendMsg(&answer)
}

// receive reads the one request of a call, which must have come within
// receiveTimeout. The error has a code of gRPC.
func receive(stream grpc.ServerStream) ([]byte, error) {
	type received struct {
		body []byte
		err  error
	}
	done := make(chan received, 1)
	go func() { // It ends with the call at the latest.
		var r received
		r.err = stream.RecvMsg(&r.body)
		done <- r
	}()
	timer := time.NewTimer(receiveTimeout)
	defer timer.Stop()
	select {
	case r := <-done:
		if errors.Is(r.err, io.EOF) {
			return nil, status.Error(codes.InvalidArgument, "the call brings no request")
		}
		return r.body, r.err // worded by the library
	case <-timer.C:
		return nil, status.Errorf(codes.DeadlineExceeded, "the request did not come within %s", receiveTimeout)
	}
}

// entry gathers what a call shows of its sender.
func entry(ctx context.Context, secure bool) Entry {
	e := Entry{Secure: secure}
	e.Method, _ = grpc.Method(ctx)
	md, _ := metadata.FromIncomingContext(ctx)
	first := func(name string) string {
		if v := md.Get(name); len(v) > 0 {
			return v[0]
		}
		return ""
	}
	e.Authorization, e.Tenant, e.UserAgent = first("authorization"), first("x-scope-orgid"), first("user-agent")
	if p, ok := peer.FromContext(ctx); ok {
		if tcp, ok := p.Addr.(*net.TCPAddr); ok {
			addr := tcp.AddrPort().Addr()
			e.Peer = addr.Unmap()
		}
	}
	return e
}

// failure words a refusal as gRPC does. RetryInfo is how a client of OTLP knows
// that it may send again, and when.
func failure(r *refusal) error {
	st := status.New(code(r.status), r.why)
	if r.wait > 0 {
		if detailed, err := st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(r.wait)}); err == nil {
			st = detailed
		}
	}
	return st.Err()
}

// rawCodec leaves messages as the bytes they are.
type rawCodec struct{}

// Name implements encoding.CodecV2: the bytes are protobuf.
func (rawCodec) Name() string { return "proto" }

// Marshal implements encoding.CodecV2.
func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	b, ok := v.(*[]byte)
	if !ok {
		return nil, fmt.Errorf("otlp: an answer of type %T", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(*b)}, nil
}

// Unmarshal implements encoding.CodecV2.
func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	b, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("otlp: a request of type %T", v)
	}
	*b = data.Materialize()
	return nil
}

const zstdName = "zstd"

// zstdCompressor is the compression zstd of gRPC, which has none of its own.
type zstdCompressor struct{ encoder *zstd.Encoder }

func newZstd() *zstdCompressor {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		panic("otlp: zstd: " + err.Error()) // only wrong options fail
	}
	return &zstdCompressor{e}
}

// Name implements encoding.Compressor.
func (*zstdCompressor) Name() string { return zstdName }

// Compress implements encoding.Compressor.
func (c *zstdCompressor) Compress(w io.Writer) (io.WriteCloser, error) {
	return &zstdFrame{to: w, encoder: c.encoder}, nil
}

// zstdFrame gathers an answer, which is small, and writes it as one frame.
type zstdFrame struct {
	to      io.Writer
	encoder *zstd.Encoder
	plain   []byte
}

// Write implements io.Writer.
func (f *zstdFrame) Write(p []byte) (int, error) {
	f.plain = append(f.plain, p...)
	return len(p), nil
}

// Close implements io.Closer.
func (f *zstdFrame) Close() error {
	_, err := f.to.Write(f.encoder.EncodeAll(f.plain, nil))
	return err
}

// Decompress implements encoding.Compressor. gRPC bounds what it reads of it.
func (*zstdCompressor) Decompress(r io.Reader) (io.Reader, error) {
	// The window is what a small frame can make us allocate.
	d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(16<<20), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	return &zstdReader{d}, nil
}

// zstdReader gives its decoder's memory back at the end.
type zstdReader struct{ d *zstd.Decoder }

// Read implements io.Reader.
func (r *zstdReader) Read(p []byte) (int, error) {
	if r.d == nil {
		return 0, io.EOF
	}
	n, err := r.d.Read(p)
	if err != nil {
		r.d.Close()
		r.d = nil
	}
	return n, err
}
