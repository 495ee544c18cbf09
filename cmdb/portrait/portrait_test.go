package portrait

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"icewatch/cmdb"
	"icewatch/cmdb/cmdbtest"
	"icewatch/soc/reach"
)

const ledger = `{"id":"sys","class":"business_system","name":"pay \"one\"","tenant":"a"}
{"id":"sup","class":"supplier","name":"Inspur","tenant":"a"}
{"id":"sup-b","class":"supplier","name":"hidden","tenant":"b"}
{"id":"net","class":"network","name":"office net","tenant":"a","zone":"office","addresses":["10.0.0.0/24"]}
{"id":"net-dmz","class":"network","name":"dmz net","tenant":"a","zone":"dmz","addresses":["10.0.0.0/24"]}
{"id":"h1","class":"host","name":"h1","tenant":"a","zone":"office","addresses":["10.0.0.1","10.0.0.2"],"system":"sys","attributes":{"vendor":"Inspur","product":"NF5280","supplier":"sup","warranty_until":"2027-05-01","exposure":"internet"}}
{"id":"h2","class":"host","name":"h2","tenant":"a","zone":"office","addresses":["10.0.0.3"],"system":"sys","attributes":{"vendor":"Inspur","product":"NF5280","warranty_until":"2026-05-01"}}
{"id":"h3","class":"host","name":"h3","tenant":"a","zone":"other","addresses":["10.0.0.1"],"attributes":{"vendor":"Dell","product":"R750"}}
{"id":"app","class":"application","name":"app","tenant":"a","system":"sys"}`

// found counts two findings of each host that it is asked of.
type found struct{ asked *[]string }

func (f found) Of(_ context.Context, _ reach.Reach, items []string) (map[string]int, error) {
	*f.asked = items
	return map[string]int{"high": 2}, nil
}

func TestPortrait(t *testing.T) {
	t.Parallel()
	cmdbtest.OnBoth(t, func(t *testing.T, items *cmdb.Service) {
		cmdbtest.Import(t, items, ledger)
		ctx := t.Context()
		for _, x := range []struct{ id, want string }{
			{"sys", `{"members":4,"more":false,"supply":[{"vendor":"Inspur","product":"NF5280","items":2,"suppliers":[{"id":"sup","class":"supplier","name":"Inspur"}],"contracts":[],"warranty_until":"2026-05-01"}],` +
				`"network":[{"zone":"office","items":2,"addresses":3,"exposed":1,"networks":[{"id":"net","class":"network","name":"office net"}]}]}`},
			{"h3", `{"members":1,"more":false,"supply":[{"vendor":"Dell","product":"R750","items":1,"suppliers":[],"contracts":[]}],"network":[{"zone":"other","items":1,"addresses":1,"exposed":0,"networks":[]}]}`},
			{"app", `{"members":1,"more":false,"supply":[],"network":[]}`},
		} {
			p, err := Of(ctx, items, nil, reach.Tenants("a"), x.id)
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := json.Marshal(p); string(got) != x.want {
				t.Errorf("%s:\n%s, want\n%s", x.id, got, x.want)
			}
		}
		if _, err := Of(ctx, items, nil, reach.Tenants("b"), "sys"); !errors.Is(err, cmdb.ErrNotFound) {
			t.Errorf("another tenant's system: %v", err)
		}
		var asked []string
		p, err := Of(ctx, items, found{&asked}, reach.All(), "sys")
		if err != nil || p.Findings["high"] != 2 || len(asked) != 4 {
			t.Errorf("findings %v of %v, %v", p.Findings, asked, err)
		}
	})
}
