package setup

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"

	"icewatch/soc/elastic/filterpath"
	"icewatch/soc/elastic/wire"
)

// Bounds of what is kept.
const (
	maxKept     = 200       // things of one tenant
	maxKeptSize = 512 << 10 // bytes of one thing
	maxKeptAll  = 64 << 20  // bytes of all
)

// kept is what shippers put. The zero value is ready.
type kept struct {
	mu   sync.Mutex
	by   map[string]map[string]json.RawMessage // by tenant, then by kind/name
	size int
}

// put keeps a thing; a *wire.Fault where it is too large or too many.
func (k *kept) put(tenant, key string, body []byte) error {
	if len(body) > maxKeptSize {
		return &wire.Fault{Status: http.StatusRequestEntityTooLarge, Type: "content_too_long_exception", Reason: "what is set up may have " + "512 KiB at most"}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.by == nil {
		k.by = map[string]map[string]json.RawMessage{}
	}
	of := k.by[tenant]
	if of == nil {
		of = map[string]json.RawMessage{}
		k.by[tenant] = of
	}
	old, again := of[key]
	if !again && len(of) >= maxKept || k.size+len(body)-len(old) > maxKeptAll {
		return &wire.Fault{Status: http.StatusTooManyRequests, Type: "es_rejected_execution_exception", Reason: "there are too many templates, policies, pipelines and indices already; delete some"}
	}
	k.size += len(body) - len(old)
	of[key] = slices.Clone(body)
	return nil
}

// find lists what matches kind/pattern, by name.
func (k *kept) find(tenant, kind, patterns string) map[string]json.RawMessage {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := map[string]json.RawMessage{}
	for key, body := range k.by[tenant] {
		name, ok := strings.CutPrefix(key, kind+"/")
		if ok && (patterns == "" || filterpath.Any(strings.Split(patterns, ","), name)) {
			out[name] = body
		}
	}
	return out
}

// remove forgets what matches and tells whether there was any.
func (k *kept) remove(tenant, kind, patterns string) bool {
	found := k.find(tenant, kind, patterns)
	k.mu.Lock()
	defer k.mu.Unlock()
	for name, body := range found {
		delete(k.by[tenant], kind+"/"+name)
		k.size -= len(body)
	}
	return len(found) > 0
}
