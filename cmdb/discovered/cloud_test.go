package discovered

import (
	"testing"

	"icewatch/cmdb"
	"icewatch/cmdb/cmdbtest"
	"icewatch/collectors/fleet"
	"icewatch/collectors/fleet/wire"
	"icewatch/soc/reach"
)

// TestInstancesOfAnAccount makes one item of the account of two virtual machines; what a person chose stays.
func TestInstancesOfAnAccount(t *testing.T) {
	t.Parallel()
	cmdbtest.OnBoth(t, func(t *testing.T, items *cmdb.Service) {
		ctx := t.Context()
		f := New(items, "default")
		ids := []string{}
		take := func(n, address string) cmdb.Item {
			t.Helper()
			facts := wire.Facts{Hostname: n, OS: "linux", Addresses: []string{address}, Virtual: "kvm"}
			id, err := f.Take(ctx, fleet.Agent{ID: n, Tenant: "a", Name: n, Facts: facts}, &wire.Inventory{Facts: facts, Cloud: &wire.CloudInstance{Provider: "huawei", Instance: "i-" + n, Region: "cn-south-1", Account: "0a1b"}})
			if err != nil {
				t.Fatal(err)
			}
			it, err := items.Get(ctx, reach.All(), id)
			if err != nil || it.Attributes["instance_id"] != "i-"+n {
				t.Fatalf("%+v %v", it, err)
			}
			ids = append(ids, it.Attributes["cloud_account"])
			return it
		}
		first := take("web", "10.1.2.3")
		take("db", "10.1.2.4")
		again := take("web", "10.1.2.3")
		if ids[0] == "" || ids[0] != ids[1] || again.Revision != first.Revision {
			t.Errorf("%q %+v", ids, again)
		}
		account, err := items.Get(ctx, reach.All(), ids[0])
		if err != nil || account.Attributes["provider"] != "huawei" || account.Attributes["account_id"] != "0a1b" || account.Attributes["cloud_region"] != "cn-south-1" || account.Tenant != "a" {
			t.Errorf("%+v %v", account, err)
		}
	})
}
