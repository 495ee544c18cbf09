// Package enrich adds who and what to an event: the configuration item it
// happened on, the items behind its addresses, the business system and owner,
// and whose tenant it is. It works on an immutable index built from a
// Snapshot, which the CMDB makes and the centre publishes to the engine.
package enrich

// Network is one address range of one network zone.
type Network struct {
	Zone   string `json:"zone"`
	CIDR   string `json:"cidr"`
	Name   string `json:"name,omitempty"`
	Tenant string `json:"tenant,omitempty"` // slug; "" where the range is shared
}

// Item is what the index knows of one configuration item.
type Item struct {
	ID          string   `json:"id"`
	Class       string   `json:"class"`
	Name        string   `json:"name"`
	Tenant      string   `json:"tenant,omitempty"`
	Zone        string   `json:"zone,omitempty"`
	Addresses   []string `json:"addresses,omitempty"` // an asset is (zone, address)
	Hostnames   []string `json:"hostnames,omitempty"` // lower case
	Criticality int      `json:"criticality,omitempty"`
	Owner       string   `json:"owner,omitempty"`
	Labels      []string `json:"labels,omitempty"` // e.g. "approved-scanner", "backup"
	SystemID    string   `json:"system_id,omitempty"`
	SystemName  string   `json:"system_name,omitempty"`
}

// Snapshot is the whole of what enrichment needs, at one version.
type Snapshot struct {
	Version  int64     `json:"version"`
	Networks []Network `json:"networks"`
	Items    []Item    `json:"items"`
}
