// Package setup answers what clients ask and put before they send or search:
// probes, and the setting up of a cluster.
//
// Shippers set a cluster up before they send: index templates, lifecycle
// policies, ingest pipelines, an index or a data stream. Nothing of this changes
// how events are stored here (fields have the types of ECS, and the retention
// class of a tenant says how long it keeps them), but shippers read back what
// they put and stop where it is not there. So it is kept for them: in memory, by
// tenant. After a restart they find nothing and put it again, as they do with a
// new cluster.
package setup

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"icewatch/collectors/webbody"
	"icewatch/soc/elastic/dates"
	"icewatch/soc/elastic/dsl"
	"icewatch/soc/elastic/filterpath"
	"icewatch/soc/elastic/wire"
	"icewatch/soc/identity"
	"icewatch/soc/identity/policy"
	"icewatch/soc/protocol"
)

// release is the one of Elasticsearch whose API is spoken. Clients refuse to talk
// to older majors.
const release = "8.19.0"

// shelf answers probes and keeps what is put.
type shelf struct {
	prefix string
	caller protocol.Caller
	now    func() time.Time
	kept   kept
}

// probe is a route that tells nothing about events and that every token may
// call: shippers ask before they send, readers before they search.
func (s *shelf) probe(method, path string, handler fiber.Handler) protocol.Route {
	return protocol.Route{Method: method, Path: s.prefix + path, Operation: "elastic-probe", Scope: policy.ScopeAny, Kind: protocol.Read, Handler: handler}
}

// change is a route by which a shipper sets something up.
func (s *shelf) change(method, path string, handler fiber.Handler) protocol.Route {
	return protocol.Route{Method: method, Path: s.prefix + path, Operation: "elastic-setup", Scope: identity.ScopeIngest, Kind: protocol.Change, Handler: handler}
}

// Routes are the routes of probes and of what shippers put, below the prefix.
// Among them is /:index, which any name matches: put them behind all others. What
// is put is kept by the tenant of the caller; now tells the time for dates in the
// names of indices.
func Routes(prefix string, caller protocol.Caller, now func() time.Time) []protocol.Route {
	s := &shelf{prefix: prefix, caller: caller, now: now}
	return s.routes()
}

// routes are what clients ask before they send or search, and what
// shippers set up.
func (s *shelf) routes() []protocol.Route {
	list := []protocol.Route{
		s.probe(http.MethodGet, "", s.info),
		s.probe(http.MethodGet, "/", s.info),
		s.probe(http.MethodGet, "/_license", s.license),
		s.probe(http.MethodGet, "/_xpack", s.xpack),
		s.probe(http.MethodGet, "/_cluster/health", s.health),
		s.probe(http.MethodGet, "/_cluster/health/:index", s.health),
		s.probe(http.MethodGet, "/_cat/health", s.catHealth),
		s.probe(http.MethodGet, "/_nodes", s.nodes),
		s.probe(http.MethodGet, "/_nodes/http", s.nodes),
		s.probe(http.MethodGet, "/_nodes/_all/http", s.nodes),
		s.probe(http.MethodGet, "/_cluster/settings", s.settings),
	}
	// What is put, with how its answer wraps it.
	for _, kind := range []thing{
		{path: "_index_template", list: "index_templates", entry: "index_template"},
		{path: "_component_template", list: "component_templates", entry: "component_template"},
		{path: "_template"},
		{path: "_ilm/policy", policy: true},
		{path: "_ingest/pipeline"},
	} {
		list = append(list,
			s.probe(http.MethodGet, "/"+kind.path, s.show(kind)),
			s.probe(http.MethodGet, "/"+kind.path+"/:name", s.show(kind)),
			s.change(http.MethodPut, "/"+kind.path+"/:name", s.keep(kind)),
			s.change(http.MethodPost, "/"+kind.path+"/:name", s.keep(kind)),
			s.change(http.MethodDelete, "/"+kind.path+"/:name", s.forget(kind)))
	}
	return append(list,
		s.probe(http.MethodGet, "/_ilm/status", func(c *fiber.Ctx) error {
			return wire.Respond(c, http.StatusOK, map[string]any{"operation_mode": "RUNNING"})
		}),
		s.probe(http.MethodGet, "/_data_stream/:name", s.dataStream),
		s.change(http.MethodPut, "/_data_stream/:name", s.keepIndex("data_stream")),
		s.probe(http.MethodGet, "/_alias/:name", s.alias),
		s.probe(http.MethodGet, "/:index/_alias", s.alias),
		s.probe(http.MethodGet, "/:index/_alias/:name", s.alias),
		s.probe(http.MethodGet, "/:index/_settings", s.index),
		s.probe(http.MethodGet, "/:index", s.index),
		s.change(http.MethodPut, "/:index", s.keepIndex("index")),
	)
}

func (s *shelf) info(c *fiber.Ctx) error {
	return wire.Respond(c, http.StatusOK, map[string]any{
		"name": "icewatch", "cluster_name": "icewatch", "cluster_uuid": "aWNld2F0Y2gtY2x1c3Rlcg",
		"version": map[string]any{"number": release, "build_flavor": "default", "build_type": "tar", "build_hash": "0000000000000000000000000000000000000000",
			"build_date": "2025-07-23T22:10:57.067596412Z", "build_snapshot": false, "lucene_version": "9.12.2",
			"minimum_wire_compatibility_version": "7.17.0", "minimum_index_compatibility_version": "7.0.0"},
		"tagline": "You Know, for Search",
	})
}

// license is asked by Beats and Logstash, which do not send where it is not
// active.
func (s *shelf) license(c *fiber.Ctx) error {
	return wire.Respond(c, http.StatusOK, map[string]any{"license": map[string]any{"status": "active", "uid": "00000000-0000-0000-0000-000000000000", "type": "basic",
		"issue_date": "2020-01-01T00:00:00.000Z", "issue_date_in_millis": 1577836800000, "max_nodes": 1000, "issued_to": "icewatch", "issuer": "icewatch", "start_date_in_millis": -1}})
}

func (s *shelf) xpack(c *fiber.Ctx) error {
	on := func(enabled bool) map[string]any { return map[string]any{"available": enabled, "enabled": enabled} }
	return wire.Respond(c, http.StatusOK, map[string]any{
		"build":    map[string]any{"hash": "0000000000000000000000000000000000000000", "date": "2025-07-23T22:10:57.067596412Z"},
		"license":  map[string]any{"uid": "00000000-0000-0000-0000-000000000000", "type": "basic", "mode": "basic", "status": "active"},
		"features": map[string]any{"ilm": on(true), "data_streams": on(true), "security": on(true), "monitoring": on(false), "ml": on(false)},
		"tagline":  "You know, for X",
	})
}

func (s *shelf) health(c *fiber.Ctx) error {
	return wire.Respond(c, http.StatusOK, map[string]any{"cluster_name": "icewatch", "status": "green", "timed_out": false, "number_of_nodes": 1, "number_of_data_nodes": 1,
		"active_primary_shards": 1, "active_shards": 1, "relocating_shards": 0, "initializing_shards": 0, "unassigned_shards": 0, "delayed_unassigned_shards": 0,
		"number_of_pending_tasks": 0, "number_of_in_flight_fetch": 0, "task_max_waiting_in_queue_millis": 0, "active_shards_percent_as_number": 100.0})
}

func (s *shelf) catHealth(c *fiber.Ctx) error {
	c.Set(fiber.HeaderContentType, "text/plain; charset=UTF-8")
	return c.SendString("icewatch green 1 1\n")
}

// nodes answers clients that sniff: there is one node, at the address at which
// it was asked. It names no address, so that a sniffing client keeps its own.
func (s *shelf) nodes(c *fiber.Ctx) error {
	return wire.Respond(c, http.StatusOK, map[string]any{"_nodes": map[string]int{"total": 1, "successful": 1, "failed": 0}, "cluster_name": "icewatch",
		"nodes": map[string]any{"icewatch": map[string]any{"name": "icewatch", "version": release, "build_flavor": "default", "roles": []string{"data", "ingest", "master"}}}})
}

func (s *shelf) settings(c *fiber.Ctx) error {
	return wire.Respond(c, http.StatusOK, map[string]any{"persistent": map[string]any{}, "transient": map[string]any{}})
}

// thing is a kind of what is put under a name.
type thing struct {
	path        string
	list, entry string // how the answer lists it; "" is an object by name
	policy      bool   // of a lifecycle: with a version beside
}

// show answers GET and HEAD.
func (s *shelf) show(kind thing) fiber.Handler {
	return func(c *fiber.Ctx) error {
		name := wire.Param(c, "name")
		found := s.kept.find(s.caller.Tenant(c), kind.path, name)
		if len(found) == 0 && name != "" && !strings.Contains(name, "*") {
			switch kind.path {
			case "_index_template", "_component_template":
				return &wire.Fault{Status: http.StatusNotFound, Type: "resource_not_found_exception", Reason: kind.entry[:strings.IndexByte(kind.entry, '_')] + " template matching [" + name + "] not found"}
			case "_ilm/policy":
				return &wire.Fault{Status: http.StatusNotFound, Type: "resource_not_found_exception", Reason: "Lifecycle policy not found: " + name}
			}
			return wire.Respond(c, http.StatusNotFound, map[string]any{})
		}
		if kind.list == "" {
			out := map[string]any{}
			for n, body := range found {
				out[n] = body
				if kind.policy {
					var p struct {
						Policy json.RawMessage `json:"policy"`
					}
					_ = json.Unmarshal(body, &p) // It was checked when it was put.
					out[n] = map[string]any{"version": 1, "policy": p.Policy, "in_use_by": map[string]any{"indices": []any{}, "data_streams": []any{}, "composable_templates": []any{}}}
				}
			}
			return wire.Respond(c, http.StatusOK, out)
		}
		names := make([]string, 0, len(found))
		for n := range found {
			names = append(names, n)
		}
		slices.Sort(names)
		entries := []any{}
		for _, n := range names {
			entries = append(entries, map[string]any{"name": n, kind.entry: found[n]})
		}
		return wire.Respond(c, http.StatusOK, map[string]any{kind.list: entries})
	}
}

// unpacked is the JSON object that a change brings; intake routes get bodies as
// they were sent.
func unpacked(c *fiber.Ctx) ([]byte, error) {
	body, err := webbody.Read(c, webbody.Limits{MaxBody: 2 * maxKeptSize, MaxDecoded: 2 * maxKeptSize})
	if err != nil {
		if r, ok := err.(*webbody.Refusal); ok {
			return nil, &wire.Fault{Status: r.Status, Type: "illegal_argument_exception", Reason: r.Reason}
		}
		return nil, err
	}
	defer body.Release()
	b := slices.Clone(body.Bytes)
	if len(b) == 0 {
		b = []byte("{}")
	}
	if _, err := wire.Decode(b); err != nil {
		return nil, err
	}
	return b, nil
}

func acknowledged(c *fiber.Ctx) error {
	return wire.Respond(c, http.StatusOK, map[string]any{"acknowledged": true})
}

// keep answers PUT.
func (s *shelf) keep(kind thing) fiber.Handler {
	return func(c *fiber.Ctx) error {
		name := wire.Param(c, "name")
		if kind, why := checkName(name); kind != "" {
			return wire.Invalid(kind, "%s", why)
		}
		body, err := unpacked(c)
		if err != nil {
			return err
		}
		if c.QueryBool("create") && len(s.kept.find(s.caller.Tenant(c), kind.path, name)) > 0 {
			return wire.Invalid("illegal_argument_exception", "index template [%s] already exists", name)
		}
		if err := s.kept.put(s.caller.Tenant(c), kind.path+"/"+name, body); err != nil {
			return err
		}
		return acknowledged(c)
	}
}

func (s *shelf) forget(kind thing) fiber.Handler {
	return func(c *fiber.Ctx) error {
		if !s.kept.remove(s.caller.Tenant(c), kind.path, wire.Param(c, "name")) {
			return &wire.Fault{Status: http.StatusNotFound, Type: "resource_not_found_exception", Reason: "[" + wire.Param(c, "name") + "] not found"}
		}
		return acknowledged(c)
	}
}

// checkName refuses names that would be patterns.
func checkName(name string) (kind, why string) {
	if name == "" || len(name) > 255 || strings.ContainsAny(name, "*, \"\\<|>/?#") {
		return "invalid_index_name_exception", "Invalid name [" + name + "]: it must have 1 to 255 bytes and none of [ *,\"\\<|>/?#]"
	}
	return "", ""
}

// keepIndex makes an index or a data stream, which is to say that it is there.
func (s *shelf) keepIndex(kind string) fiber.Handler {
	return func(c *fiber.Ctx) error {
		name := wire.Param(c, "index") + wire.Param(c, "name")
		if strings.HasPrefix(name, "_") {
			return &wire.Fault{Status: http.StatusMethodNotAllowed, Type: "illegal_argument_exception", Reason: "[PUT /" + name + "] is not supported by icewatch; docs/elasticsearch.md lists what is"}
		}
		name, err := dates.InName(name, s.now())
		if err != nil {
			return err
		}
		if kind, why := checkName(name); kind != "" {
			return wire.Invalid(kind, "%s", why)
		}
		body, err := unpacked(c)
		if err != nil {
			return err
		}
		tenant := s.caller.Tenant(c)
		if len(s.kept.find(tenant, kind, name)) > 0 {
			return wire.Invalid("resource_already_exists_exception", "%s [%s] already exists", kind, name)
		}
		if err := s.kept.put(tenant, kind+"/"+name, body); err != nil {
			return err
		}
		if kind == "index" {
			return wire.Respond(c, http.StatusOK, map[string]any{"acknowledged": true, "shards_acknowledged": true, "index": name})
		}
		return acknowledged(c)
	}
}

func noIndex(name string) error {
	return &wire.Fault{Status: http.StatusNotFound, Type: "index_not_found_exception", Reason: "no such index [" + name + "]"}
}

// index answers GET and HEAD of an index that was made.
func (s *shelf) index(c *fiber.Ctx) error {
	name := wire.Param(c, "index")
	if strings.HasPrefix(name, "_") {
		return wire.Unsupported("[%s /%s]", c.Method(), name)
	}
	tenant := s.caller.Tenant(c)
	found := s.kept.find(tenant, "index", name)
	for n, body := range s.kept.find(tenant, "index", "") {
		if aliases(body)[name] != nil {
			found[n] = body
		}
	}
	for n := range s.kept.find(tenant, "data_stream", name) {
		found[n] = json.RawMessage("{}")
	}
	if len(found) == 0 && !strings.Contains(name, "*") {
		return noIndex(name)
	}
	out := map[string]any{}
	for n, body := range found {
		var parts map[string]json.RawMessage
		_ = json.Unmarshal(body, &parts) // It was checked when it was put.
		entry := map[string]any{"aliases": map[string]any{}, "mappings": map[string]any{}, "settings": map[string]any{"index": map[string]any{"provided_name": n, "number_of_shards": "1", "number_of_replicas": "0"}}}
		for _, part := range []string{"aliases", "mappings"} {
			if v, ok := parts[part]; ok {
				entry[part] = v
			}
		}
		out[n] = entry
	}
	return wire.Respond(c, http.StatusOK, out)
}

func (s *shelf) dataStream(c *fiber.Ctx) error {
	name := wire.Param(c, "name")
	found := s.kept.find(s.caller.Tenant(c), "data_stream", name)
	if len(found) == 0 && !strings.Contains(name, "*") {
		return noIndex(name)
	}
	list := []any{}
	for _, n := range slices.Sorted(maps.Keys(found)) {
		list = append(list, map[string]any{"name": n, "timestamp_field": map[string]any{"name": dsl.FieldTime}, "indices": []any{map[string]any{"index_name": ".ds-" + n + "-000001", "index_uuid": "_na_"}},
			"generation": 1, "status": "GREEN", "template": n, "hidden": false, "system": false})
	}
	return wire.Respond(c, http.StatusOK, map[string]any{"data_streams": list})
}

// aliases are those that an index was made with.
func aliases(body json.RawMessage) map[string]json.RawMessage {
	var parts struct {
		Aliases map[string]json.RawMessage `json:"aliases"`
	}
	_ = json.Unmarshal(body, &parts) // It was checked when it was put; what is no object has none.
	return parts.Aliases
}

// alias tells that a name is the alias of an index that was made with it.
func (s *shelf) alias(c *fiber.Ctx) error {
	name := wire.Param(c, "name")
	out := map[string]any{}
	for n, body := range s.kept.find(s.caller.Tenant(c), "index", wire.Param(c, "index")) {
		of := map[string]any{}
		for alias, body := range aliases(body) {
			if name == "" || filterpath.Glob(name, alias) {
				of[alias] = body
			}
		}
		if len(of) > 0 {
			out[n] = map[string]any{"aliases": of}
		}
	}
	if len(out) == 0 && name != "" && !strings.Contains(name, "*") {
		return wire.Respond(c, http.StatusNotFound, map[string]any{"error": "alias [" + name + "] missing", "status": http.StatusNotFound})
	}
	return wire.Respond(c, http.StatusOK, out)
}
