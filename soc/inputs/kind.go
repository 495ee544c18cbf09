package inputs

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/collectors"
)

// Extensions of the schemas of settings.
const (
	extSecret = "x-secret" // true on what is sealed and never shown
	extOrder  = "x-order"  // names of an object's properties in the order for people
	extGroup  = "x-group"  // word of the group that a property stands in
)

// outward are the kinds that only reach out, by connections that soc/egress
// judges: administrators of a tenant may have these. All others listen, or read
// the machine itself.
var outward = []string{"kafka", "ftp", "sqltable", "snmppoll"}

// patient are the kinds whose sources keep what is not taken, beside those that
// reach out: what is over a quota waits there.
var patient = []string{"filetail", "journal", "journal_upload"}

// Kind is a kind of input as it is shown.
type Kind struct {
	Kind   string       `json:"kind"`
	Way    string       `json:"way" enum:"fetch,listen,local" doc:"fetch reaches out to the source; listen waits for senders; local reads this machine. The last two need the reach over all tenants"`
	Trial  bool         `json:"trial" doc:"A test reaches the source and shows first records; without it only the settings, and that the address is free, are tested"`
	Schema *huma.Schema `json:"schema" doc:"JSON Schema of the settings. x-secret marks secrets, x-order tells the order of an object's properties, x-group names groups"`
}

// The ways of kinds.
const (
	wayFetch  = "fetch"
	wayListen = "listen"
	wayLocal  = "local"
)

type kind struct {
	factory collectors.Factory
	schema  *huma.Schema
	way     string
	waits   bool
}

// newKind makes a kind of a factory. It is nil for sources whose configuration
// has no json tags: these are for the configuration file alone.
func newKind(f collectors.Factory) (k *kind, err error) {
	cfg := f.DefaultConfig()
	t := reflect.TypeOf(cfg)
	if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		return nil, fmt.Errorf("inputs: the source %s is configured by %T, not by a pointer to a struct", f.Type, cfg)
	}
	if !tagged(t.Elem()) {
		return nil, nil
	}
	defer func() {
		// A tag that cannot be read makes huma panic.
		if p := recover(); p != nil {
			k, err = nil, fmt.Errorf("inputs: the settings of the source %s: %v", f.Type, p)
		}
	}()
	registry := huma.NewMapRegistry("#/", func(t reflect.Type, hint string) string { return t.PkgPath() + "." + t.Name() + hint })
	schema := huma.SchemaFromType(registry, t)
	text, err := json.Marshal(cfg)
	if err != nil {
		return nil, fmt.Errorf("inputs: the defaults of the source %s: %w", f.Type, err)
	}
	var defaults any
	if err := json.Unmarshal(text, &defaults); err != nil {
		return nil, fmt.Errorf("inputs: the defaults of the source %s: %w", f.Type, err)
	}
	schema = finish(registry, schema, t, defaults)
	schema.Default = nil // each field says its own
	schema.PrecomputeMessages()
	k = &kind{factory: f, schema: schema, way: wayLocal, waits: slices.Contains(patient, f.Type)}
	switch {
	case slices.Contains(outward, f.Type):
		k.way, k.waits = wayFetch, true
	case schema.Properties["listen"] != nil:
		k.way = wayListen
	}
	return k, nil
}

// tagged tells whether any field has a name in JSON.
func tagged(t reflect.Type) bool {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous && f.Type.Kind() == reflect.Struct && tagged(f.Type) {
			return true
		}
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			return true
		}
	}
	return false
}

// field is a property of an object with the Go field behind it.
type field struct {
	name string
	f    reflect.StructField
}

// fields lists a struct's properties in their order.
func fields(t reflect.Type) []field {
	var out []field
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct:
			out = append(out, fields(f.Type)...)
		case name != "" && name != "-" && f.IsExported():
			out = append(out, field{name, f})
		}
	}
	return out
}

// finish makes a schema stand by itself: references are resolved, nothing is
// required but what says so, defaults are those of the factory, and what is not
// named in JSON is left out.
func finish(r huma.Registry, s *huma.Schema, t reflect.Type, defaults any) *huma.Schema {
	for s.Ref != "" {
		description := s.Description
		c := *r.SchemaFromRef(s.Ref)
		if description != "" {
			c.Description = description
		}
		s = &c
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case s.Type == huma.TypeArray && s.Items != nil:
		s.Items = finish(r, s.Items, t.Elem(), nil)
		s.Nullable = false
		if list, ok := defaults.([]any); ok && len(list) > 0 {
			s.Default = list
		}
	case s.Type == huma.TypeObject && t.Kind() == reflect.Struct:
		values, _ := defaults.(map[string]any)
		properties := map[string]*huma.Schema{}
		order := []string{}
		s.Required = nil
		for _, x := range fields(t) {
			p := s.Properties[x.name]
			if p == nil {
				continue
			}
			p = finish(r, p, x.f.Type, values[x.name])
			ext := map[string]any{}
			if x.f.Tag.Get("secret") == "true" {
				ext[extSecret] = true
				p.Default = nil
			}
			if g := x.f.Tag.Get("group"); g != "" {
				ext[extGroup] = g
			}
			if len(ext) > 0 {
				for k, v := range p.Extensions {
					ext[k] = v
				}
				p.Extensions = ext
			}
			// What may not be empty, and has nothing to begin with, has to be given.
			must := p.Default == nil && (p.MinLength != nil && *p.MinLength > 0 || p.MinItems != nil && *p.MinItems > 0)
			if x.f.Tag.Get("required") == "true" || must {
				s.Required = append(s.Required, x.name)
			}
			properties[x.name] = p
			order = append(order, x.name)
		}
		s.Properties = properties
		s.Extensions = map[string]any{extOrder: order}
		s.AdditionalProperties = false
	case defaults != nil && defaults != "" && s.Type != huma.TypeObject:
		s.Default = defaults
	}
	return s
}

// secret tells whether a schema is that of a secret.
func secret(s *huma.Schema) bool {
	yes, _ := s.Extensions[extSecret].(bool)
	return yes
}

// Kinds lists the kinds that an asker may have.
func (s *Service) Kinds(a Asker) []Kind {
	out := []Kind{}
	for _, name := range s.order {
		k := s.kinds[name]
		if k.way == wayFetch || a.Within.Everything() {
			out = append(out, Kind{Kind: name, Way: k.way, Trial: k.factory.Try != nil, Schema: k.schema})
		}
	}
	return out
}

// config makes the configuration of a collector from settings with their
// secrets in them, and fills what is the same for all kinds.
func (k *kind) config(id, tenant, zone string, doc map[string]any) (any, error) {
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("inputs: %w", err)
	}
	cfg := k.factory.DefaultConfig()
	if err := json.Unmarshal(text, cfg); err != nil {
		return nil, invalid("settings", "they cannot be read: %s", err)
	}
	v := reflect.ValueOf(cfg).Elem()
	for name, value := range map[string]string{"ID": id, "Tenant": tenant, "Zone": zone} {
		if f := v.FieldByName(name); f.IsValid() && f.Kind() == reflect.String && f.CanSet() {
			f.SetString(value)
		}
	}
	return cfg, nil
}
