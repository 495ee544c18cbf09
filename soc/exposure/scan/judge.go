package scan

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"

	"icewatch/collectors/scanner/wire"
)

// Seen is a host as a run saw it.
type Seen struct {
	wire.Host
	Services   []wire.Service
	Attributes []wire.Attribute
}

// finish brings what a run that is over saw into the CMDB, and ends it.
func (s *Service) finish(ctx context.Context, id string) error {
	s.mu.Lock()
	x := s.active[id]
	if x == nil || x.State != Judging {
		s.mu.Unlock()
		return nil
	}
	r := *x
	s.mu.Unlock()
	var found ScanDiscovery
	if s.Seen != nil && r.Kind != wire.KindRetest {
		hosts, err := s.Hosts(ctx, id)
		if err != nil {
			return err
		}
		if found, err = s.Deps.Seen(ctx, r.ScanRun, r.Unknown, hosts); err != nil {
			return err
		}
	}
	if found.Notes == nil {
		found.Notes = []string{}
	}
	_, err := s.alter(ctx, id, func(x *run) error {
		x.Discovery, x.EndedAt, x.State = found, s.now(), Failed
		switch x.EndState {
		case wire.EndDone:
			x.State = Done
		case wire.EndCancelled:
			x.State = Cancelled
		case wire.EndExpired:
			x.State = Expired
		}
		x.EndState = ""
		return nil
	})
	return err
}

// maxHosts bounds the hosts of a run that are held in memory at once.
const maxHosts = 200_000

// Hosts are the hosts that a run saw, with what was seen on them, in the order they
// were found.
func (s *Service) Hosts(ctx context.Context, id string) ([]Seen, error) {
	at := map[string]int{}
	var out []Seen
	host := func(address string) *Seen {
		if a, err := netip.ParseAddr(address); err == nil {
			address = a.Unmap().WithZone("").String()
		}
		i, ok := at[address]
		if !ok {
			i = len(out)
			at[address] = i
			out = append(out, Seen{Host: wire.Host{Address: address}})
		}
		return &out[i]
	}
	after := int64(0)
	for {
		var rows []resultRow
		err := s.Database.NewSelect().Model(&rows).Where("x.run = ? AND x.seq > ? AND x.kind IN (?, ?, ?)", id, after, wire.KindHost, wire.KindService, wire.KindAttribute).Order("x.seq").Limit(2000).Scan(ctx)
		if err != nil {
			return nil, fmt.Errorf("scan: read what %s saw: %w", id, err)
		}
		for i := range rows {
			after = rows[i].Seq
			var x wire.Result
			if err := json.Unmarshal([]byte(rows[i].Doc), &x); err != nil {
				return nil, fmt.Errorf("scan: a result of %s cannot be read: %w", id, err)
			}
			switch {
			case x.Host != nil:
				h := host(x.Host.Address)
				address := h.Address
				h.Host = *x.Host
				h.Address = address
			case x.Service != nil:
				h := host(x.Service.Address)
				h.Services = append(h.Services, *x.Service)
			case x.Attribute != nil:
				h := host(x.Attribute.Address)
				h.Attributes = append(h.Attributes, *x.Attribute)
			}
		}
		if len(rows) == 0 {
			return out, nil
		}
		if len(out) > maxHosts {
			return nil, fmt.Errorf("scan: the run %s saw more than %d hosts: split the task", id, maxHosts)
		}
	}
}
