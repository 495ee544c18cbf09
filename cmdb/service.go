package cmdb

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"icewatch/cmdb/columns"
	"icewatch/cmdb/model"
	"icewatch/soc/tenancy"
)

// Service is the CMDB. It is safe for concurrent use.
type Service struct {
	db      *Database
	tenants *tenancy.Registry
	shipped model.Document
	model   atomic.Pointer[model.Model]
	news    news
	lately  lately
	keys    keys
	// dataLevels are the levels of the data that items hold.
	dataLevels dataLevels
	now        func() time.Time // whole milliseconds, as the tables keep them
	// importing holds one token: imports of large files take turns, which
	// bounds their memory.
	importing chan struct{}
	writing   chan struct{} // holds one token: commits become known in their order
	landing   sync.RWMutex  // held from before a commit until what is in memory has followed it
	running   runs          // the imports that are not done yet
	protected atomic.Pointer[[]string]
	topology  topology
	index     memory[*columns.Table]
	valued    atomic.Pointer[map[string]bool] // fields whose values are kept for rules

	moves      sync.Mutex // one change of the model begins at a time
	moving     atomic.Pointer[move]
	background sync.WaitGroup
	life       context.Context // of what runs in the background
	end        context.CancelFunc
}

// Open migrates the tables and brings in, or up to date, the business system
// of each tenant.
func Open(ctx context.Context, db *Database, tenants *tenancy.Registry) (*Service, error) {
	if err := db.migrate(ctx); err != nil {
		return nil, fmt.Errorf("cmdb: %w", err)
	}
	shipped, err := model.Shipped()
	if err != nil {
		return nil, fmt.Errorf("cmdb: %w", err)
	}
	s := &Service{
		db: db, tenants: tenants, shipped: shipped,
		news:       news{changed: make(chan struct{}, 1), parts: map[int32]bool{}, next: make(chan struct{})},
		lately:     lately{weighed: map[string]weight{}},
		keys:       keys{marked: map[string]bool{}},
		dataLevels: dataLevels{of: map[string]int{}},
		importing:  make(chan struct{}, 1),
		writing:    make(chan struct{}, 1),
		now:        func() time.Time { return time.Now().UTC().Truncate(time.Millisecond) },
	}
	s.topology.memory.read, s.topology.memory.apply = s.readTopology, s.topology.apply
	s.index.read, s.index.apply = s.readIndex, s.applyIndex
	s.life, s.end = context.WithCancel(context.WithoutCancel(ctx))
	if err := s.start(ctx); err != nil {
		s.Close()
		return nil, err
	}
	// Of a million items it takes half a minute, which nobody should wait for
	// when he asks.
	s.background.Go(s.warm)
	return s, nil
}

// warm reads into memory what searches and paths need, side by side.
func (s *Service) warm() {
	told := func(err error) {
		if err != nil && s.life.Err() == nil {
			slog.Warn("cmdb: the items are not in memory yet: the next search reads them", "error", err)
		}
	}
	var both sync.WaitGroup
	both.Go(func() {
		_, err := s.index.get(s.life, s.life)
		told(err)
	})
	both.Go(func() {
		_, err := s.topology.memory.get(s.life, s.life)
		told(err)
	})
	both.Wait()
}

// fresh gives up what is in memory where another process has changed the
// tables since.
func (s *Service) fresh(ctx context.Context) error {
	s.landing.RLock()
	defer s.landing.RUnlock()
	var version int64
	// A raw query would go by SQLite's one connection for writers, who may be
	// waiting for us.
	if err := s.db.NewSelect().Table("cmdb_version").Column("version").Where("id = 1").Scan(ctx, &version); err != nil {
		return fmt.Errorf("cmdb: read the version: %w", err)
	}
	s.index.keep(version)
	s.topology.memory.keep(version)
	return nil
}

// ready waits until the items are in memory as the tables have them. Who holds
// a connection must have called it before: reading needs one as well.
func (s *Service) ready(ctx context.Context) error {
	if err := s.fresh(ctx); err != nil {
		return err
	}
	_, err := s.index.get(ctx, s.life)
	return err
}

// start brings the tables up to what this release wants of them.
func (s *Service) start(ctx context.Context) error {
	if err := s.loadModel(ctx); err != nil {
		return err
	}
	if err := s.settleAll(ctx); err != nil {
		return err
	}
	if err := s.indexAll(ctx); err != nil {
		return err
	}
	if err := s.recallWeights(ctx); err != nil {
		return err
	}
	if err := s.readMarks(ctx); err != nil {
		return err
	}
	if err := s.readDataLevels(ctx); err != nil {
		return err
	}
	return s.syncTenants(ctx)
}

// Database is where the tables are, for rooms beside this one.
func (s *Service) Database() *Database { return s.db }

// Model returns the model in force.
func (s *Service) Model() *model.Model { return s.model.Load() }

// Shipped names the definitions that the suite brings, by their kind as a
// model.Document names it: whatever else the model has, administrators made.
func (s *Service) Shipped() map[string][]string {
	d := &s.shipped
	return map[string][]string{
		"layers":         names(d.Layers, func(x model.Layer) string { return x.Name }),
		"dictionaries":   names(d.Dictionaries, func(x model.Dictionary) string { return x.Name }),
		"templates":      names(d.Templates, func(x model.Template) string { return x.Name }),
		"classes":        names(d.Classes, func(x model.Class) string { return x.Name }),
		"relation_types": names(d.RelationTypes, func(x model.RelationType) string { return x.Name }),
		"rules":          names(d.Rules, func(x model.Rule) string { return x.Name }),
	}
}

func names[T any](list []T, name func(T) string) []string {
	out := make([]string, len(list))
	for i, x := range list {
		out[i] = name(x)
	}
	return out
}

// Classes lists the classes that items can be of, as the model orders them.
func (s *Service) Classes() []Class {
	m := s.Model()
	names := m.Concrete()
	out := make([]Class, len(names))
	for i, n := range names {
		out[i] = *m.Class(n)
	}
	return out
}
