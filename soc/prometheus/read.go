package prometheus

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"icewatch/soc/metrics"
)

// Bounds of a remote read.
const (
	maxReadBody = 1 << 20 // bytes, unpacked
	maxReads    = 16      // queries of one request
	chunkLength = 120     // samples of one chunk, as Prometheus cuts them
	frameTarget = 1 << 20 // bytes of one frame of a stream
)

// remoteRead answers /read: raw samples by matchers, as one message of samples
// or as a stream of chunks, whichever the client names first.
func (r *room) remoteRead(c *fiber.Ctx) error {
	req, err := readRequest(c.Body())
	if err != nil {
		return r.fail(c, err)
	}
	ctx, cancel, err := within(c)
	if err != nil {
		return r.fail(c, err)
	}
	defer cancel()
	results := make([]*prompb.QueryResult, len(req.Queries))
	for i, q := range req.Queries {
		if results[i], err = r.raw(c, ctx, q); err != nil {
			return r.fail(c, err)
		}
	}
	for _, kind := range req.AcceptedResponseTypes {
		switch kind {
		case prompb.ReadRequest_STREAMED_XOR_CHUNKS:
			body, err := stream(results)
			if err != nil {
				return err
			}
			c.Set(fiber.HeaderContentType, "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse")
			return c.Send(body)
		case prompb.ReadRequest_SAMPLES:
			return samples(c, results)
		}
	}
	if len(req.AcceptedResponseTypes) > 0 {
		return r.fail(c, &failure{http.StatusBadRequest, badData, fmt.Sprintf("none of the requested response types %v is known: SAMPLES and STREAMED_XOR_CHUNKS are", req.AcceptedResponseTypes)})
	}
	return samples(c, results)
}

// readRequest unpacks and decodes a request.
func readRequest(body []byte) (*prompb.ReadRequest, error) {
	wrong := func(format string, args ...any) (*prompb.ReadRequest, error) {
		return nil, &failure{http.StatusBadRequest, badData, fmt.Sprintf(format, args...)}
	}
	if n, err := snappy.DecodedLen(body); err != nil || n > maxReadBody {
		return wrong("the body is not a snappy block of at most %d bytes (%d, %v)", maxReadBody, n, err)
	}
	plain, err := snappy.Decode(nil, body)
	if err != nil {
		return wrong("the body is not a snappy block: %v", err)
	}
	var req prompb.ReadRequest
	if err := req.Unmarshal(plain); err != nil {
		return wrong("the body is not a read request of Prometheus: %v", err)
	}
	if len(req.Queries) > maxReads {
		return wrong("the request has %d queries; %d is the most", len(req.Queries), maxReads)
	}
	return &req, nil
}

// labelName is what a name of a label in a selector may be.
var labelName = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)

// selector is a query's matchers in MetricsQL.
func selector(matchers []*prompb.LabelMatcher) (string, error) {
	if len(matchers) == 0 {
		return "", &failure{http.StatusBadRequest, badData, "a query has no matcher; one such as __name__=\"up\" is expected"}
	}
	signs := map[prompb.LabelMatcher_Type]string{prompb.LabelMatcher_EQ: "=", prompb.LabelMatcher_NEQ: "!=", prompb.LabelMatcher_RE: "=~", prompb.LabelMatcher_NRE: "!~"}
	parts := make([]string, len(matchers))
	for i, m := range matchers {
		sign, known := signs[m.Type]
		if !known || !labelName.MatchString(m.Name) {
			return "", &failure{http.StatusBadRequest, badData, fmt.Sprintf("the matcher of kind %d for the label %q is not one of =, !=, =~ and !~ for a name of letters, digits and _", m.Type, m.Name)}
		}
		parts[i] = m.Name + sign + strconv.Quote(m.Value)
	}
	return "{" + strings.Join(parts, ",") + "}", nil
}

// raw reads the samples of one query, sorted by labels.
func (r *room) raw(c *fiber.Ctx, ctx context.Context, q *prompb.Query) (*prompb.QueryResult, error) {
	match, err := selector(q.Matchers)
	if err != nil {
		return nil, err
	}
	start := max(q.StartTimestampMs, r.oldest().UnixMilli())
	end := min(q.EndTimestampMs, r.now().Add(metrics.FutureLimit).UnixMilli())
	out := &prompb.QueryResult{}
	if end < start {
		return out, nil
	}
	// A window holds its end and not its beginning.
	a, _, err := r.read(c, ctx, metrics.Read{Kind: metrics.KindQuery, Query: match + "[" + strconv.FormatInt(end-start+1, 10) + "ms]", Time: time.UnixMilli(end)})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(a.Result, func(x, y metrics.Row) int { return compare(x.Metric, y.Metric) })
	for _, row := range a.Result {
		ts := &prompb.TimeSeries{}
		for _, name := range slices.Sorted(maps.Keys(row.Metric)) {
			ts.Labels = append(ts.Labels, prompb.Label{Name: name, Value: row.Metric[name]})
		}
		for _, p := range row.Values {
			v := p.Value
			if math.IsNaN(v) {
				v = math.Float64frombits(value.StaleNaN) // the lake keeps no other
			}
			ts.Samples = append(ts.Samples, prompb.Sample{Timestamp: p.Time.UnixMilli(), Value: v})
		}
		out.Timeseries = append(out.Timeseries, ts)
	}
	return out, nil
}

// samples answers with one message.
func samples(c *fiber.Ctx, results []*prompb.QueryResult) error {
	body, err := (&prompb.ReadResponse{Results: results}).Marshal()
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, "application/x-protobuf")
	c.Set(fiber.HeaderContentEncoding, "snappy")
	return c.Send(snappy.Encode(nil, body))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// stream is the frames of a stream of chunks: of each its length as a varint,
// its CRC-32C and a ChunkedReadResponse.
func stream(results []*prompb.QueryResult) ([]byte, error) {
	var out bytes.Buffer
	frame := func(query int, series *prompb.ChunkedSeries) error {
		body, err := (&prompb.ChunkedReadResponse{ChunkedSeries: []*prompb.ChunkedSeries{series}, QueryIndex: int64(query)}).Marshal()
		if err != nil {
			return err
		}
		out.Write(binary.AppendUvarint(nil, uint64(len(body))))
		out.Write(binary.BigEndian.AppendUint32(nil, crc32.Checksum(body, castagnoli)))
		out.Write(body)
		return nil
	}
	for i, result := range results {
		for _, ts := range result.Timeseries {
			// A series whose chunks do not fit one frame goes on in the next.
			series, size := &prompb.ChunkedSeries{Labels: ts.Labels}, 0
			for part := range slices.Chunk(ts.Samples, chunkLength) {
				chunk, err := xor(part)
				if err != nil {
					return nil, err
				}
				if size += chunk.Size(); size > frameTarget {
					if err := frame(i, series); err != nil {
						return nil, err
					}
					series, size = &prompb.ChunkedSeries{Labels: ts.Labels}, chunk.Size()
				}
				series.Chunks = append(series.Chunks, chunk)
			}
			if err := frame(i, series); err != nil {
				return nil, err
			}
		}
	}
	return out.Bytes(), nil
}

// xor packs samples as Prometheus does.
func xor(list []prompb.Sample) (prompb.Chunk, error) {
	chunk := chunkenc.NewXORChunk()
	app, err := chunk.Appender()
	if err != nil {
		return prompb.Chunk{}, err
	}
	for _, s := range list {
		app.Append(0, s.Timestamp, s.Value)
	}
	return prompb.Chunk{MinTimeMs: list[0].Timestamp, MaxTimeMs: list[len(list)-1].Timestamp, Type: prompb.Chunk_XOR, Data: chunk.Bytes()}, nil
}
