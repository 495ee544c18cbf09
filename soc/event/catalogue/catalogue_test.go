package catalogue

import (
	"strings"
	"testing"

	"icewatch/soc/event"
)

func TestTheCatalogueDescribesEveryFieldThatCodeNames(t *testing.T) {
	t.Parallel()
	fields, err := Fields()
	if err != nil {
		t.Fatal(err)
	}
	if len(fields) < 200 {
		t.Errorf("only %d fields", len(fields))
	}
	by := map[string]Field{}
	for _, f := range fields {
		by[f.Name] = f
		for _, s := range []string{f.Group, f.Title.ZH, f.Title.EN, f.Description.ZH, f.Description.EN} {
			if strings.TrimSpace(s) == "" || s != strings.TrimSpace(s) {
				t.Errorf("%s: a text is missing or has space around it: %+v", f.Name, f)
			}
		}
	}
	reg := event.NewRegistry(0)
	// The suite's own bookkeeping is of no use to a rule.
	inner := map[string]bool{"icewatch.overflow": true, "icewatch.aside": true, "icewatch.time_original": true, "icewatch.sender_id": true, "icewatch.labels": true, "icewatch.metadata": true,
		"icewatch.ci.tenant": true, "icewatch.reach.labels": true, "icewatch.source.ci.labels": true, "icewatch.destination.ci.labels": true, "icewatch.flow.source.bytes": true,
		"icewatch.flow.destination.bytes": true, "icewatch.flow.domain": true, "icewatch.flow.sequence": true, "observer.ingress.interface.id": true, "observer.egress.interface.id": true,
		"parent.id": true, "span.kind": true, "span.status.message": true, "data_stream.type": true, "service.namespace": true, "service.node.name": true}
	for id := event.FieldID(1); event.IsKnown(id); id++ {
		if name := reg.Name(id); name != "" && by[name].Name == "" && !inner[name] {
			t.Errorf("%s is not described", name)
		}
	}
}
