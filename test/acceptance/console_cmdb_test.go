package acceptance

import "testing"

// ledger is a business system on hosts, of one business line.
const ledger = `
- {id: yb-org, class: organisation, name: 医保局}
- {id: yb-sys, class: business_system, name: 医保结算系统, organisation: yb-org, criticality: 5, attributes: {business_line: 医保}}
- {id: yb-app, class: application, name: 医保结算应用, system: yb-sys}
- {id: yb-app-1, class: host, name: yb-app-1, zone: gov, addresses: [10.9.0.1], criticality: 4, owner: 王芳, labels: [核心], attributes: {business_line: 医保, os: Kylin V10}}
- {id: yb-app-2, class: host, name: yb-app-2, zone: gov, addresses: [10.9.0.2], criticality: 4, owner: 王芳, attributes: {business_line: 医保}}
- {id: yb-db-1, class: host, name: yb-db-1, zone: gov, addresses: [10.9.0.9], criticality: 5, owner: 李强, attributes: {business_line: 医保}}
- {id: yb-db, class: database, name: 医保库, system: yb-sys, attributes: {host: yb-db-1, port: "5432"}}
- {id: yb-net, class: network, name: 医保网段, zone: gov, addresses: [10.9.0.0/24]}
`

// TestConsoleCMDB drives the CMDB in real Chromium: lists and filters, forms and
// conflicts, pictures, topologies and the model.
func TestConsoleCMDB(t *testing.T) {
	t.Parallel()
	s, run := console(t, "")
	if err := s.imports(ledger); err != nil {
		t.Fatal(err)
	}
	ordered(t, s, "POST", "/api/v1/cmdb/relations", `{"relations":[
		{"from":"yb-app","type":"runs_on","to":"yb-app-1"},{"from":"yb-app","type":"runs_on","to":"yb-app-2"},{"from":"yb-app","type":"depends_on","to":"yb-db"}]}`)
	run("cmdb.test.mjs", s.url)
}
