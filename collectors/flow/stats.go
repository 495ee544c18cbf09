package flow

import (
	"cmp"
	"slices"
	"time"
)

// ExporterStats are what is known of one exporter's domain since the start.
type ExporterStats struct {
	Exporter     string    `json:"exporter"`      // its address; of sFlow the agent's
	Kind         string    `json:"kind"`          // netflow5, netflow9, ipfix or sflow
	Domain       uint32    `json:"domain"`        // source id, observation domain, engine or sub-agent
	Datagrams    uint64    `json:"datagrams"`     //
	Flows        uint64    `json:"flows"`         // records decoded
	Gaps         uint64    `json:"sequence_gaps"` // places where the sequence numbers jumped ahead
	Lost         uint64    `json:"lost"`          // by them: datagrams of v9 and sFlow, records of v5 and IPFIX
	Restarts     uint64    `json:"restarts"`      // places where they began anew
	Templates    int       `json:"templates"`     // known
	BadTemplates uint64    `json:"bad_templates"` // refused: too many, too long, or of no length
	Early        uint64    `json:"early"`         // sets that came before their template
	Waiting      int       `json:"waiting"`       // of these, those that still wait
	Undecoded    uint64    `json:"undecoded"`     // of these, those given up
	Malformed    uint64    `json:"malformed"`     // sets and samples that end within a record
	Skipped      uint64    `json:"skipped"`       // samples of sFlow that are no flow: counters, other protocols
	Sampling     uint32    `json:"sampling"`      // packets to one that was looked at, as last announced; 0 where it is not
	LastSeen     time.Time `json:"last_seen"`
}

// exporters lists what is known of the exporters, the busiest first.
func (d *decoder) exporters() []ExporterStats {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := make([]ExporterStats, 0, len(d.sessions))
	for _, s := range d.sessions {
		d.expire(s)
		if s.stats.Datagrams == 0 {
			continue // It is known from the disk alone.
		}
		one := s.stats
		one.Templates, one.Waiting, one.LastSeen = len(s.templates), len(s.waiting), s.seen.UTC()
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b ExporterStats) int {
		return cmp.Or(cmp.Compare(b.Flows, a.Flows), cmp.Compare(a.Exporter, b.Exporter), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Domain, b.Domain))
	})
	return list
}
