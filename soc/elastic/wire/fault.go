package wire

import (
	"fmt"
	"net/http"

	"github.com/gofiber/fiber/v2"
)

// Fault is an error in Elasticsearch's form.
type Fault struct {
	Status       int    // of HTTP
	Type, Reason string // Type is the name of an exception of Elasticsearch
}

// Error implements error.
func (f *Fault) Error() string { return f.Type + ": " + f.Reason }

// Invalid is a request that is wrong, or that asks for what is not supported.
func Invalid(kind, format string, args ...any) *Fault {
	return &Fault{http.StatusBadRequest, kind, fmt.Sprintf(format, args...)}
}

// Unsupported names what of Elasticsearch is not spoken here.
func Unsupported(format string, args ...any) *Fault {
	return Invalid("illegal_argument_exception", "%s is not supported by icewatch; docs/elasticsearch.md lists what is", fmt.Sprintf(format, args...))
}

// Document is the error as a document.
func (f *Fault) Document() map[string]any {
	cause := map[string]any{"type": f.Type, "reason": f.Reason}
	return map[string]any{"error": map[string]any{"root_cause": []any{cause}, "type": f.Type, "reason": f.Reason}, "status": f.Status}
}

// Answer sends the error.
func (f *Fault) Answer(c *fiber.Ctx) error {
	c.Status(f.Status)
	return c.JSON(f.Document())
}
