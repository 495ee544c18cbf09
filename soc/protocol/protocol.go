// Package protocol says what an API of another product needs to be served by
// the suite: the routes that its clients know, and the form in which they read
// errors. The API's frame (soc/api) knows the callers, what they may do and see,
// and bounds what they send; a protocol's room (soc/loki, soc/prometheus,
// soc/elastic, soc/traces …) knows its language.
package protocol

import (
	"context"

	"github.com/gofiber/fiber/v2"

	"icewatch/soc/reach"
)

// Protocol is an API of another product, below a path of its own.
type Protocol struct {
	// Prefix is the first segment of its paths, with the slash before it, such
	// as "/loki".
	Prefix string
	// Refuse answers an error in the form that the protocol's clients read. The
	// frame uses it for what it turns away itself (who is not known, what is not
	// permitted, what comes too often, a path that does not exist) and for every
	// error that a handler returns.
	Refuse func(c *fiber.Ctx, status int, why string) error
	Routes []Route
}

// Route is one route of a Protocol.
type Route struct {
	Method, Path string
	// Operation names it in the permissions and in the audit log, such as
	// "loki-query". Several routes may be one operation.
	Operation string
	// Scope is what it demands (identity.ScopeRead …). The body of the operation
	// "ingest" comes packed as it was sent, may be as large as the intake allows
	// and is for the tenant that Caller.Tenant names; that of any other comes
	// unpacked.
	Scope string
	Kind  Kind
	// Handler serves it. Its errors are worded by the frame, as are those of the
	// suite's own API.
	Handler fiber.Handler
}

// Kind is what a route does.
type Kind uint8

// Kinds of routes.
const (
	Change Kind = iota // it changes something, and is audited
	Read               // it changes nothing, whatever the method: many clients send long queries by POST
	Search             // a Read of the lake: it waits for one of the places of searches, and the user context is bounded in time and ends when the client goes away
)

// Caller tells a handler about who asks.
type Caller interface {
	// Reach is what the caller may see, of the tenants that the request chose.
	Reach(c *fiber.Ctx) (reach.Reach, error)
	// Tenant is whom the request writes for; "" lets the pipeline decide by its
	// ownership tables.
	Tenant(c *fiber.Ctx) string
}

// Watcher is a Caller for what outlives its request, such as a live tail.
type Watcher interface {
	Caller
	// Still makes a check that says why the caller may no longer see what he
	// saw, "" while he may. It needs nothing of the request any more.
	Still(c *fiber.Ctx) func(ctx context.Context) (why string)
}
