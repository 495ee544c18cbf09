package config

import (
	"time"

	"icewatch/soc/retention"
)

// Lake configures the store of events.
type Lake struct {
	Retention      Duration `yaml:"retention" doc:"How long the class standard keeps events: of the tenants that name no other class, and the city's own. At least 180d, the legal minimum of security and audit logs (Cybersecurity Law of the PRC, article 21)."`
	Classes        []Class  `yaml:"classes" doc:"Further retention classes; a tenant belongs to one. Each has a store of its own in the lake. A list given here replaces the one below."`
	ColdDir        string   `yaml:"cold_dir" doc:"Folder on a larger, slower disk for old days (docs/storage.md). Empty: all days lie below the data folder."`
	ColdAfter      Duration `yaml:"cold_after" doc:"Age at which days of the class standard go to cold_dir; 0 is never."`
	FlowsClass     string   `yaml:"flows_class" doc:"Class of the flow records (NetFlow, IPFIX, sFlow) of all tenants. Empty: that of their tenant."`
	SecuritySets   []string `yaml:"security_datasets" doc:"Patterns of event.dataset of security and audit logs. These never go into a class shorter than 180d: where their tenant's is, they go to the shortest that is not."`
	SecurityOwners []string `yaml:"security_tenants" doc:"Tenants whose events all are security or audit logs. city and unassigned are in any case."`
	FlushInterval  Duration `yaml:"flush_interval" doc:"How long new events may be held in memory before they are written; what is not written yet is replayed from the bus after a crash."`
	Memory         Size     `yaml:"memory" doc:"Memory for caches and searches; 0 is a quarter of the machine's."`
	ScrubPeriod    Duration `yaml:"scrub_period" doc:"In which every file of the lake is read once and compared with its checksum, so that rot is found; 0 compares only at starts and only small files."`
	ScrubRate      Size     `yaml:"scrub_rate" doc:"Bytes a second that are read for it."`

	Remote LakeRemote `yaml:"remote" doc:"Servers that hold the events in place of this machine (docs/drivers.md)."`
}

// Class is one retention class.
type Class struct {
	Name string   `yaml:"name" doc:"Name, as a tenant's retention names it. A name must not be given to another length later: what it holds stays where it is."`
	Keep Duration `yaml:"keep" doc:"How long its events are kept: whole days."`
	Cold Duration `yaml:"cold_after" doc:"Age at which its days go to lake.cold_dir: whole days; 0 is never."`
}

// Keeping is the policy of retention. The configuration must be valid.
func (l *Lake) Keeping() *retention.Policy {
	p := &retention.Policy{Classes: []retention.Class{{Name: retention.Standard, Keep: time.Duration(l.Retention), Cold: time.Duration(l.ColdAfter)}},
		Flows: l.FlowsClass, Security: l.SecuritySets, Tenants: l.SecurityOwners}
	for _, c := range l.Classes {
		p.Classes = append(p.Classes, retention.Class{Name: c.Name, Keep: time.Duration(c.Keep), Cold: time.Duration(c.Cold)})
	}
	return p
}
