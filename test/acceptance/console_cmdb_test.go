package acceptance

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"icewatch/test/peers"
)

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
// conflicts, pictures, topologies and the model; then imports, the inbox of
// unknown assets, change requests, archives, risk and portraits; last, findings of
// reports and of the scanner's own program.
func TestConsoleCMDB(t *testing.T) {
	t.Parallel()
	s, run := console(t, "agents: {listen: '127.0.0.1:"+peers.FreePort(t)+"'}\n")
	if err := s.imports(ledger); err != nil {
		t.Fatal(err)
	}
	ordered(t, s, "POST", "/api/v1/cmdb/relations", `{"relations":[
		{"from":"yb-app","type":"runs_on","to":"yb-app-1"},{"from":"yb-app","type":"runs_on","to":"yb-app-2"},{"from":"yb-app","type":"depends_on","to":"yb-db"}]}`)
	// An address that only events know, of a tenant with a system.
	admin := s.admin.Options().Token
	s.call(admin, "POST", "/api/v1/cmdb/items", `{"id":"es-sys","class":"business_system","name":"电子签章系统","tenant":"e-seal"}`, 200, nil)
	// The first look at events is at what was two minutes ago, so that the next one begins there.
	s.call(admin, "POST", "/api/v1/cmdb/inbox/look", "", 200, nil)
	s.bulk("e-seal", map[string]any{"message": "a", "event.dataset": "console-fw", "source.ip": "10.67.0.2", "destination.ip": "10.67.0.3"})
	s.expect(`"event.dataset":"console-fw"`, 1, time.Minute)
	s.call(admin, "PUT", "/api/v1/settings/cmdb-inbox", `{"enabled":true,"hostnames":true,"delay_seconds":0}`, 200, nil)
	// A supplier is protected, and somebody asks for another one in charge of it.
	s.call(admin, "POST", "/api/v1/cmdb/items", `{"id":"sup-1","class":"supplier","name":"冰城科技","tenant":"e-seal","owner":"王芳"}`, 200, nil)
	s.call(admin, "PUT", "/api/v1/settings/cmdb-approval", `{"classes":["supplier"],"days":7}`, 200, nil)
	_, zhang := s.signedInUser("console-zhang", "admin", "e-seal")
	s.call(zhang, "POST", "/api/v1/cmdb/change-requests", `{"comment":"换了联系人","items":[{"id":"sup-1","class":"supplier","owner":"李强"}]}`, 201, nil)
	for _, script := range []string{"cmdb.test.mjs", "cmdbdata.test.mjs", "assets.test.mjs"} {
		run(script, s.url)
	}
	scanner := filepath.Join(bin, "icewatch-scanner")
	if _, err := os.Stat(scanner); err != nil {
		missing(t, "icewatch-scanner ("+scanner+"; make scanner)")
	}
	run("findings.test.mjs", s.url, "SCANNER="+scanner, "COLLEAGUE=console-zhang:Own-Word-2026-console-zhang")
}
