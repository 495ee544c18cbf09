package otlp

import (
	"context"
	"encoding/json"
	"math"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"

	"icewatch/collectors"
	"icewatch/collectors/webbody"
	"icewatch/soc/identity"
	"icewatch/soc/protocol"
)

// Prefix stands before the paths on the suite's own address. On the protocol's
// own port there is none: /v1/logs.
const Prefix = "/otlp"

const (
	typeProto = "application/x-protobuf"
	typeJSON  = "application/json"
)

// Protocol is what the suite serves over HTTP: POST /otlp/v1/{logs,metrics,
// traces}.
func (h *Handler) Protocol(caller protocol.Caller) protocol.Protocol {
	p := protocol.Protocol{Prefix: Prefix, Refuse: refuse}
	for _, sig := range []*signal{logs, metricData, traces} {
		p.Routes = append(p.Routes, protocol.Route{Method: http.MethodPost, Path: Prefix + "/v1/" + sig.name, Operation: "ingest", Scope: identity.ScopeIngest,
			Handler: func(c *fiber.Ctx) error { return h.export(c, sig, caller.Tenant(c)) }})
	}
	return p
}

// Health tells how the way over HTTP fares. listen is the protocol's own
// address, "" where it has none.
func (h *Handler) Health(listen string) collectors.Health {
	at := Prefix + "/v1/*"
	if listen != "" {
		at += ", " + listen + " /v1/*"
	}
	return h.web.Health(ID, "otlp_http", at)
}

func (h *Handler) export(c *fiber.Ctx, sig *signal, tenant string) error {
	isJSON, ok := mediaType(c)
	if !ok {
		h.web.Rejected(1)
		return refuse(c, http.StatusUnsupportedMediaType, "the Content-Type "+strconv.Quote(clip(c.Get(fiber.HeaderContentType)))+" is neither "+typeProto+" nor "+typeJSON)
	}
	body, err := webbody.Read(c, h.opts.Limits)
	if err != nil {
		h.web.Rejected(1)
		r := h.refusal(err)
		return refuse(c, r.status, r.why)
	}
	defer body.Release()
	out, err := h.take(context.Context(c.Context()), sig, body.Bytes, isJSON, origin{tenant: tenant, peer: webbody.Peer(c)}, h.web)
	if err != nil {
		r := h.refusal(err)
		if r.wait > 0 {
			c.Set(fiber.HeaderRetryAfter, strconv.Itoa(max(1, int(math.Ceil(r.wait.Seconds())))))
		}
		return refuse(c, r.status, r.why)
	}
	if !isJSON {
		c.Set(fiber.HeaderContentType, typeProto)
		return c.Send(out.proto())
	}
	answer := map[string]any{}
	if out.rejected > 0 {
		answer["partialSuccess"] = map[string]string{sig.rejected: strconv.Itoa(out.rejected), "errorMessage": out.why}
	}
	return sendJSON(c, answer)
}

// mediaType tells in which of its two forms a request comes.
func mediaType(c *fiber.Ctx) (isJSON, ok bool) {
	media, _, err := mime.ParseMediaType(c.Get(fiber.HeaderContentType))
	if err != nil {
		return false, false
	}
	switch strings.ToLower(media) {
	case typeProto, "application/protobuf":
		return false, true
	case typeJSON:
		return true, true
	}
	return false, false
}

// proto is the answer of an export in protobuf. It has the same numbers for
// all signals.
func (o outcome) proto() []byte {
	if o.rejected == 0 {
		return nil
	}
	partial := protowire.AppendTag(nil, 1, protowire.VarintType)
	partial = protowire.AppendVarint(partial, uint64(o.rejected))
	partial = protowire.AppendTag(partial, 2, protowire.BytesType)
	partial = protowire.AppendString(partial, o.why)
	return protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), partial)
}

// refuse answers with a google.rpc.Status, in the encoding of the request, in
// JSON where that is unknown.
func refuse(c *fiber.Ctx, status int, why string) error {
	c.Status(status)
	if isJSON, ok := mediaType(c); ok && !isJSON {
		b := protowire.AppendTag(nil, 1, protowire.VarintType)
		b = protowire.AppendVarint(b, uint64(code(status)))
		b = protowire.AppendTag(b, 2, protowire.BytesType)
		b = protowire.AppendString(b, strings.ToValidUTF8(why, "\uFFFD"))
		c.Set(fiber.HeaderContentType, typeProto)
		return c.Send(b)
	}
	return sendJSON(c, map[string]any{"code": code(status), "message": why})
}

func sendJSON(c *fiber.Ctx, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, typeJSON)
	return c.Send(b)
}

// code is the code of gRPC that says the same as a status of HTTP
// (google/rpc/code.proto).
func code(status int) codes.Code {
	switch status {
	case http.StatusUnauthorized:
		return codes.Unauthenticated
	case http.StatusForbidden:
		return codes.PermissionDenied
	case http.StatusNotFound:
		return codes.NotFound
	case http.StatusMethodNotAllowed:
		return codes.Unimplemented
	case http.StatusTooManyRequests, http.StatusRequestEntityTooLarge:
		return codes.ResourceExhausted
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return codes.DeadlineExceeded
	case http.StatusServiceUnavailable:
		return codes.Unavailable
	case http.StatusInternalServerError:
		return codes.Internal
	}
	return codes.InvalidArgument
}
