package api

import (
	"crypto/rand"
	"encoding/base64"

	"github.com/gofiber/fiber/v2"
)

// transportSecurity tells browsers to come back by HTTPS only (RFC 6797), for
// this host alone: what else the city serves under the domain is not ours to
// decide. Browsers ignore it while they do not trust the certificate.
const transportSecurity = "max-age=31536000"

// bareHeaders sets what every answer carries, whoever asks and whatever
// becomes of the request.
func bareHeaders(c *fiber.Ctx, st *reqState) {
	h := &c.Response().Header
	h.Set(fiber.HeaderXRequestID, st.requestID)
	h.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	h.Set(fiber.HeaderXFrameOptions, "DENY")
	h.Set(fiber.HeaderReferrerPolicy, "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("X-Permitted-Cross-Domain-Policies", "none")
	h.Set(fiber.HeaderPermissionsPolicy, "camera=(), microphone=(), geolocation=(), payment=(), usb=(), serial=(), display-capture=()")
	// What is not the console has nothing to load and must not be framed.
	h.Set(fiber.HeaderContentSecurityPolicy, "default-src 'none'; frame-ancestors 'none'")
	h.Set(fiber.HeaderCacheControl, "no-store")
	if st.secure {
		h.Set(fiber.HeaderStrictTransportSecurity, transportSecurity)
	}
}

// consolePolicy lets the console load from its own origin alone. Nothing is
// inline: no script at all, and of the style elements that Ant Design adds
// while the page runs only those that carry the page's nonce. Scripts reach the
// page's HTML through the console's own trusted-types policy or not at all.
func consolePolicy(nonce string) string {
	return "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-" + nonce + "'; img-src 'self'; font-src 'self'; " +
		"connect-src 'self'; manifest-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; " +
		"require-trusted-types-for 'script'; trusted-types default"
}

// noncePlace is what index.html holds where a page's nonce goes; the console's
// build knows it (vite.config.ts).
const noncePlace = "__ICEWATCH_NONCE__"

// newNonce makes a value that a page's styles show and that nobody can guess.
func newNonce() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails since Go 1.24
	return base64.StdEncoding.EncodeToString(b)
}
