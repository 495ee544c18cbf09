package clause

import (
	"net/mail"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Kinds of a text that somebody has marked.
const (
	KindText   = "text"
	KindIP     = "ip"
	KindNumber = "number"
	KindHash   = "hash"
	KindURL    = "url"
	KindEmail  = "email"
	KindDomain = "domain"
	KindTime   = "time"
)

var (
	hashText   = regexp.MustCompile(`^(?:[0-9a-fA-F]{32}|[0-9a-fA-F]{40}|[0-9a-fA-F]{64})$`)
	domainText = regexp.MustCompile(`^(?i)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,24}$`)
)

// KindOf tells what a marked text is.
func KindOf(s string) string {
	s = strings.TrimSpace(s)
	if _, err := netip.ParseAddr(s); err == nil {
		return KindIP
	}
	if _, err := strconv.ParseFloat(s, 64); err == nil {
		return KindNumber
	}
	if hashText.MatchString(s) {
		return KindHash
	}
	if u, err := url.Parse(s); err == nil && u.Scheme != "" && u.Host != "" {
		return KindURL
	}
	if a, err := mail.ParseAddress(s); err == nil && a.Address == s {
		return KindEmail
	}
	if domainText.MatchString(s) {
		return KindDomain
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateTime, time.Stamp, time.DateOnly} {
		if _, err := time.Parse(layout, s); err == nil {
			return KindTime
		}
	}
	return KindText
}

// Words are the words of a text as the lake tells them apart.
func Words(s string) []string {
	words := []string{}
	for w := range strings.FieldsFuncSeq(s, func(r rune) bool { return !wordRune(r) }) {
		words = append(words, w)
	}
	return words
}
