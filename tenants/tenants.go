// Package tenants holds one folder for each monitored government application.
// A folder is named by the tenant's slug and starts with tenant.yaml, its
// catalogue entry; parsers, rules, probes, dashboards and code of that one
// tenant join it there. Nothing in it may be needed by another tenant.
package tenants

import "embed"

// FS holds <slug>/tenant.yaml of the tenants this release ships.
//
//go:embed */tenant.yaml
var FS embed.FS
