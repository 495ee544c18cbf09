package jaeger

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// The corpus are spans as SDKs send them, the same at every run, with what
// protocols and programs make of spans at their edges: all types of values,
// 64-bit ids, links, events, spans without a parent or a service.

// epoch is when the first span of the corpus began. Jaeger is asked with times,
// so that it does not matter how long ago that is.
var epoch = time.Date(2025, 1, 15, 10, 0, 0, 0, time.UTC)

type object = map[string]any

func attribute(key string, value any) object {
	switch v := value.(type) {
	case string:
		return object{"key": key, "value": object{"stringValue": v}}
	case bool:
		return object{"key": key, "value": object{"boolValue": v}}
	case int:
		return object{"key": key, "value": object{"intValue": strconv.Itoa(v)}}
	case float64:
		return object{"key": key, "value": object{"doubleValue": v}}
	case []byte:
		return object{"key": key, "value": object{"bytesValue": base64.StdEncoding.EncodeToString(v)}}
	case []string:
		list := []object{}
		for _, s := range v {
			list = append(list, object{"stringValue": s})
		}
		return object{"key": key, "value": object{"arrayValue": object{"values": list}}}
	case object:
		return object{"key": key, "value": object{"kvlistValue": object{"values": []object{v}}}}
	}
	return object{"key": key, "value": object{}}
}

func nanos(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }

// part is a span with its resource and scope, as ResourceSpans of its own.
type part struct{ resource, scope, span object }

func (p part) resourceSpans() object {
	return object{"resource": p.resource, "scopeSpans": []object{{"scope": p.scope, "spans": []object{p.span}}}}
}

var services = []struct {
	name       string
	operations []string
}{
	{"gateway", []string{"GET /orders", "POST /orders", "GET /", "GET /permits/{id}"}},
	{"orders", []string{"list orders", "place order", "SELECT orders"}},
	{"payment", []string{"pay", "refund"}},
	{"户籍服务", []string{"查询户籍", "更新户籍"}},
	{"mail relay", []string{"send", "receive"}},
	{"team/ledger", []string{"post entry"}},
}

// corpus makes the spans.
func corpus() []part {
	rnd := rand.New(rand.NewPCG(20250115, 5))
	resources := map[string][]object{}
	for _, s := range services {
		for host := range 2 {
			resources[s.name] = append(resources[s.name], object{"attributes": []object{
				attribute("service.name", s.name), attribute("service.version", "1."+strconv.Itoa(host)), attribute("host.name", fmt.Sprintf("node-%d", host)),
				attribute("telemetry.sdk.language", "go"), attribute("service.instance.id", fmt.Sprintf("%s-%d", s.name, host)), attribute("process.pid", 1000+host)}})
		}
	}
	var parts []part
	next := uint64(0x1000)
	id := func() string { next++; return fmt.Sprintf("%016x", next) }
	for n := range 40 {
		trace := fmt.Sprintf("%016x%016x", rnd.Uint64(), rnd.Uint64())
		if n%13 == 0 {
			trace = fmt.Sprintf("%016x%016x", 0, rnd.Uint64()) // of a sender of 64-bit ids
		}
		start := epoch.Add(time.Duration(n)*time.Minute + time.Duration(rnd.IntN(1e9)))
		type open struct {
			id      string
			start   time.Time
			length  time.Duration
			service int
		}
		var known []open
		for i := range 1 + rnd.IntN(14) {
			s := open{id: id(), start: start, length: time.Duration(1+rnd.IntN(2000)) * time.Millisecond, service: rnd.IntN(len(services))}
			span := object{"traceId": trace, "spanId": s.id, "kind": rnd.IntN(6)}
			if i > 0 {
				parent := known[rnd.IntN(len(known))]
				if rnd.IntN(3) > 0 {
					s.service = parent.service
				}
				s.start = parent.start.Add(time.Duration(rnd.Int64N(int64(parent.length)/2 + 1)))
				s.length = time.Duration(rnd.Int64N(int64(parent.length) + 1))
				span["parentSpanId"] = parent.id
				if n == 7 && i == 1 {
					span["parentSpanId"] = "00000000deadbeef"
				}
			}
			service := services[s.service]
			span["name"] = service.operations[rnd.IntN(len(service.operations))]
			span["startTimeUnixNano"], span["endTimeUnixNano"] = nanos(s.start), nanos(s.start.Add(s.length))
			attributes := []object{attribute("http.request.method", []string{"GET", "POST"}[rnd.IntN(2)]), attribute("http.response.status_code", 200+100*rnd.IntN(2)), attribute("region", []string{"north", "south shore"}[rnd.IntN(2)])}
			switch rnd.IntN(5) {
			case 0:
				span["status"] = object{"code": 2, "message": "connection refused"}
				span["events"] = []object{
					{"name": "exception", "timeUnixNano": nanos(s.start.Add(s.length / 2)), "attributes": []object{attribute("exception.type", "net.OpError"), attribute("exception.message", "dial tcp: connection refused")}},
					{"name": "retry", "timeUnixNano": nanos(s.start.Add(s.length)), "attributes": []object{}},
				}
			case 1:
				span["status"] = object{"code": 1}
			}
			switch i {
			case 2:
				attributes = append(attributes, attribute("a.bool", true), attribute("a.big", 1<<53+1), attribute("a.double", 0.25), attribute("a.bytes", []byte{0, 1, 254, 255}))
			case 3:
				attributes = append(attributes, attribute("a.list", []string{"one", "二"}), attribute("a.map", attribute("k", 7)), attribute("a.text", "with \"quotes\", <tags> & 汉字\n"))
				span["traceState"] = "vendor=1,other=2"
			case 4:
				link := known[rnd.IntN(len(known))]
				span["links"] = []object{{"traceId": trace, "spanId": link.id, "attributes": []object{attribute("opentracing.ref_type", "child_of")}},
					{"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331", "attributes": []object{attribute("opentracing.ref_type", "follows_from")}}}
			}
			span["attributes"] = attributes
			scope := object{}
			if rnd.IntN(2) == 0 {
				scope = object{"name": "otelhttp", "version": "0.64.0"}
			}
			known = append(known, s)
			parts = append(parts, part{resources[service.name][rnd.IntN(2)], scope, span})
		}
	}
	// Sent twice, as after an answer that was lost.
	return append(parts, parts[17], parts[3])
}
