// Package wire is the form in which Elasticsearch's API is spoken: requests are
// JSON objects that are read member by member, so that what nobody asked for is
// refused by name; answers have the headers that clients demand; errors are
// faults.
package wire

import (
	"encoding/json"
	"net/url"
	"strings"

	"github.com/gofiber/fiber/v2"

	"icewatch/soc/elastic/filterpath"
)

// Head sets the headers that the official clients demand.
func Head(c *fiber.Ctx) {
	c.Set("X-Elastic-Product", "Elasticsearch")
	c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
	// A client that names the version of the media type wants it back.
	if accept := c.Get(fiber.HeaderAccept); strings.HasPrefix(accept, "application/vnd.elasticsearch+json") {
		c.Set(fiber.HeaderContentType, "application/vnd.elasticsearch+json;compatible-with=8")
	}
}

// Respond answers with a JSON document, of which filter_path picks parts.
func Respond(c *fiber.Ctx, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if b, err = filterpath.Pick(b, c.Query("filter_path")); err != nil {
		return err
	}
	c.Response().SetBody(b)
	c.Status(status)
	return nil
}

// Param is a part of the path, unescaped.
func Param(c *fiber.Ctx, name string) string {
	v, err := url.PathUnescape(c.Params(name))
	if err != nil {
		return strings.Clone(c.Params(name))
	}
	return strings.Clone(v)
}
