package cmdb

import (
	"context"
	"embed"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/enrich"
	"icewatch/soc/reach"
	"icewatch/soc/state"
	"icewatch/soc/tenancy"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Service is the CMDB. It is safe for concurrent use.
type Service struct {
	db      *state.DB
	tenants *tenancy.Registry
	classes *classSet
	changed chan struct{}
	now     func() time.Time // whole milliseconds, as the tables keep them
	// importing holds one token: imports of large files take turns, which
	// bounds their memory.
	importing chan struct{}
}

// Open migrates the tables and brings in, or up to date, the business system
// of each tenant.
func Open(ctx context.Context, db *state.DB, tenants *tenancy.Registry) (*Service, error) {
	if err := db.Migrate(ctx, "cmdb", migrations); err != nil {
		return nil, fmt.Errorf("cmdb: %w", err)
	}
	classes, err := loadClasses(classesYAML)
	if err != nil {
		return nil, err
	}
	s := &Service{
		db: db, tenants: tenants, classes: classes,
		changed:   make(chan struct{}, 1),
		importing: make(chan struct{}, 1),
		now:       func() time.Time { return time.Now().UTC().Truncate(time.Millisecond) },
	}
	if err := s.settleAll(ctx); err != nil {
		return nil, err
	}
	if err := s.syncTenants(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Classes lists the classes, as the class table orders them.
func (s *Service) Classes() []Class { return slices.Clone(s.classes.list) }

// Changed delivers after changes, one value for any number of them, so that
// the centre can publish a new snapshot. It is one channel, for one listener;
// a change while nobody listens is not lost.
func (s *Service) Changed() <-chan struct{} { return s.changed }

func (s *Service) notify() {
	select {
	case s.changed <- struct{}{}:
	default: // one is waiting already
	}
}

// Snapshot returns what enrichment needs of all tenants, as of one moment. Its
// version grows with every change.
func (s *Service) Snapshot(ctx context.Context) (enrich.Snapshot, error) {
	snap := enrich.Snapshot{Networks: []enrich.Network{}, Items: []enrich.Item{}}
	err := s.db.Read.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if err := tx.QueryRowContext(ctx, "SELECT version FROM cmdb_version WHERE id = 1").Scan(&snap.Version); err != nil {
			return fmt.Errorf("cmdb: read the version: %w", err)
		}
		systems := map[string]Item{}
		all := reach.All()
		err := each(ctx, tx, all, &Filter{Classes: []string{BusinessSystem}}, func(it *Item, _ reach.Kept) error {
			systems[it.ID] = *it
			return nil
		})
		if err != nil {
			return err
		}
		var classes []string
		for _, c := range s.classes.list {
			if c.Addresses != noAddresses || c.Hostnames || c.Name == BusinessSystem {
				classes = append(classes, c.Name)
			}
		}
		return each(ctx, tx, all, &Filter{Classes: classes}, func(it *Item, facts reach.Kept) error {
			c := s.classes.byName[it.Class]
			if c.Addresses == cidrAddresses {
				for _, a := range it.Addresses {
					snap.Networks = append(snap.Networks, enrich.Network{Zone: it.Zone, CIDR: a, Name: it.Name, Tenant: it.Tenant})
				}
				return nil
			}
			x := enrich.Item{
				ID: it.ID, Class: it.Class, Name: it.Name, Tenant: it.Tenant, Zone: it.Zone,
				Addresses: it.Addresses, Hostnames: it.Hostnames, Criticality: it.Criticality,
				Owner: it.Owner, Labels: it.Labels,
				Unit: facts.Unit, Region: facts.Region, Industry: facts.Industry, ReachLabels: facts.Labels,
			}
			if sys, ok := systems[it.System]; ok {
				x.SystemID, x.SystemName = sys.ID, sys.Name
				if x.Owner == "" {
					x.Owner = sys.Owner
				}
			}
			if it.Class == BusinessSystem {
				x.SystemID, x.SystemName = it.ID, it.Name
			}
			if c.Hostnames {
				// The name of a host is a host name, where it can be one.
				if h, err := checkHostname(it.Name); err == nil && !slices.Contains(x.Hostnames, h) {
					x.Hostnames = append(slices.Clip(x.Hostnames), h)
				}
			}
			snap.Items = append(snap.Items, x)
			return nil
		})
	})
	if err != nil {
		return enrich.Snapshot{}, fmt.Errorf("cmdb: make a snapshot: %w", err)
	}
	return snap, nil
}
