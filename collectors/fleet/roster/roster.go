// Package roster keeps what the fleet knows, on SQLite or PostgreSQL: documents
// (agents, tokens, groups, configurations, tasks, jobs, packages) that are few and
// held in memory by their owner, how far each agent's batches came, the operation log,
// and the last inventory of each host. It knows no rules; those are its owner's.
package roster

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/uptrace/bun"
)

//go:embed migrations/*.sql
var migrations embed.FS

//go:embed postgres/*.sql
var postgresMigrations embed.FS

// Kinds of documents.
const (
	KindAgent         = "agent"
	KindToken         = "token"
	KindGroup         = "group"
	KindConfiguration = "configuration"
	KindVersion       = "version" // of a configuration; the id is CONFIGURATION/NUMBER
	KindTask          = "task"
	KindJob           = "job"
	KindPackage       = "package"
	KindDeployment    = "deployment" // over SSH
	KindHostKey       = "host-key"   // the id is TENANT/ADDRESS
	KindThreshold     = "threshold"
	KindTestReport    = "test-report"
	KindMeasured      = "measured"   // what was written down of an agent
	KindExtension     = "extension"  // plug-in package; the id is NAME/VERSION
	KindProfile       = "profile"    // what hosts are that are added
	KindContainers    = "containers" // of an agent's host
)

// ErrNotFound says that something is not kept.
var ErrNotFound = errors.New("there is no such thing")

// Database is where the tables are: cmdb.Database, which is SQLite or PostgreSQL.
type Database interface {
	View(ctx context.Context, fn func(context.Context, bun.Tx) error) error
	Change(ctx context.Context, fn func(context.Context, bun.Tx) error) error
	Migrate(ctx context.Context, name string, sqlite, postgres fs.FS) error
}

// Store keeps. It is safe for concurrent use.
type Store struct {
	db Database

	positions chan position
	stop      chan struct{}
	stopped   sync.WaitGroup

	mu   sync.Mutex
	seen map[string]map[string]uint64 // agent/kind → epoch → seq
}

type position struct {
	agent, kind, epoch string
	seq                uint64
	done               chan error
}

// Open brings the tables up to date and reads how far batches came.
func Open(ctx context.Context, db Database) (*Store, error) {
	if err := db.Migrate(ctx, "fleet", migrations, postgresMigrations); err != nil {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	s := &Store{db: db, positions: make(chan position, 1024), stop: make(chan struct{}), seen: map[string]map[string]uint64{}}
	var rows []struct {
		Agent, Kind, Epoch string
		Seq                int64
	}
	err := db.View(ctx, func(ctx context.Context, tx bun.Tx) error {
		return tx.NewRaw("SELECT agent, kind, epoch, seq FROM fleet_positions").Scan(ctx, &rows)
	})
	if err != nil {
		return nil, fmt.Errorf("fleet: read positions: %w", err)
	}
	for _, r := range rows {
		s.note(r.Agent, r.Kind, r.Epoch, uint64(r.Seq))
	}
	s.stopped.Go(s.run)
	return s, nil
}

// Close makes durable what waits.
func (s *Store) Close() {
	close(s.stop)
	s.stopped.Wait()
}

// alphabet is Crockford's base 32.
const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// NewID makes a ULID: 48 bits of milliseconds, 80 random ones; sorted by time.
func NewID(at time.Time) string {
	var b [16]byte
	_, _ = rand.Read(b[6:]) // never fails since Go 1.24
	ms := uint64(at.UnixMilli())
	for i := range 6 {
		b[i] = byte(ms >> (40 - 8*i))
	}
	var out [26]byte
	// 130 bits, the first two zero.
	bit := func(n int) byte {
		if n < 2 {
			return 0
		}
		n -= 2
		return b[n/8] >> (7 - n%8) & 1
	}
	for i := range out {
		v := byte(0)
		for k := range 5 {
			v = v<<1 | bit(i*5+k)
		}
		out[i] = alphabet[v]
	}
	return string(out[:])
}

// Document is one to be written; a nil Data deletes it.
type Document struct {
	Kind, ID, Tenant string
	Data             any
}

// Write writes documents in one transaction.
func (s *Store) Write(ctx context.Context, docs ...Document) error {
	if len(docs) == 0 {
		return nil
	}
	err := s.db.Change(ctx, func(ctx context.Context, tx bun.Tx) error {
		for _, d := range docs {
			if d.Data == nil {
				if _, err := tx.NewRaw("DELETE FROM fleet_documents WHERE kind = ? AND id = ?", d.Kind, d.ID).Exec(ctx); err != nil {
					return err
				}
				continue
			}
			data, err := json.Marshal(d.Data)
			if err != nil {
				return err
			}
			_, err = tx.NewRaw("INSERT INTO fleet_documents (kind, id, tenant, data) VALUES (?, ?, ?, ?) ON CONFLICT (kind, id) DO UPDATE SET tenant = excluded.tenant, data = excluded.data",
				d.Kind, d.ID, d.Tenant, string(data)).Exec(ctx)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("fleet: write %s %s: %w", docs[0].Kind, docs[0].ID, err)
	}
	return nil
}

// Load reads all documents of a kind, by id.
func Load[T any](ctx context.Context, s *Store, kind string) (map[string]*T, error) {
	var rows []struct{ ID, Data string }
	err := s.db.View(ctx, func(ctx context.Context, tx bun.Tx) error {
		return tx.NewRaw("SELECT id, data FROM fleet_documents WHERE kind = ?", kind).Scan(ctx, &rows)
	})
	if err != nil {
		return nil, fmt.Errorf("fleet: read documents of kind %s: %w", kind, err)
	}
	out := make(map[string]*T, len(rows))
	for _, r := range rows {
		v := new(T)
		if err := json.Unmarshal([]byte(r.Data), v); err != nil {
			return nil, fmt.Errorf("fleet: the stored %s %s: %w", kind, r.ID, err)
		}
		out[r.ID] = v
	}
	return out, nil
}

// maxEpochs is how many runs of an agent are remembered, for each kind of batch.
const maxEpochs = 8

func (s *Store) note(agent, kind, epoch string, seq uint64) {
	key := agent + "/" + kind
	m := s.seen[key]
	if m == nil {
		m = map[string]uint64{}
		s.seen[key] = m
	}
	m[epoch] = max(m[epoch], seq)
}

// Taken tells whether a batch was taken before.
func (s *Store) Taken(agent, kind, epoch string, seq uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return seq <= s.seen[agent+"/"+kind][epoch]
}

// Took remembers durably that a batch was taken. Many calls are written at once.
func (s *Store) Took(ctx context.Context, agent, kind, epoch string, seq uint64) error {
	p := position{agent, kind, epoch, seq, make(chan error, 1)}
	select {
	case s.positions <- p:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.stop:
		return errors.New("fleet: the suite is stopping")
	}
	select {
	case err := <-p.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run writes positions, as many at a time as wait.
func (s *Store) run() {
	for {
		var list []position
		select {
		case p := <-s.positions:
			list = append(list, p)
		case <-s.stop:
			for {
				select {
				case p := <-s.positions:
					p.done <- errors.New("fleet: the suite is stopping")
				default:
					return
				}
			}
		}
		for more := true; more && len(list) < 500; {
			select {
			case p := <-s.positions:
				list = append(list, p)
			default:
				more = false
			}
		}
		err := s.write(list)
		for _, p := range list {
			p.done <- err
		}
	}
}

func (s *Store) write(list []position) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	now := time.Now().UnixMilli()
	err := s.db.Change(ctx, func(ctx context.Context, tx bun.Tx) error {
		for _, p := range list {
			_, err := tx.NewRaw("INSERT INTO fleet_positions (agent, kind, epoch, seq, at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (agent, kind, epoch) DO UPDATE SET seq = excluded.seq, at = excluded.at WHERE fleet_positions.seq < excluded.seq",
				p.agent, p.kind, p.epoch, int64(p.seq), now).Exec(ctx)
			if err != nil {
				return err
			}
			if s.crowded(p) {
				_, err := tx.NewRaw("DELETE FROM fleet_positions WHERE agent = ? AND kind = ? AND epoch NOT IN (SELECT epoch FROM fleet_positions WHERE agent = ? AND kind = ? ORDER BY at DESC, epoch DESC LIMIT ?)", p.agent, p.kind, p.agent, p.kind, maxEpochs).Exec(ctx)
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("fleet: write how far batches came: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range list {
		s.note(p.agent, p.kind, p.epoch, p.seq)
		if m := s.seen[p.agent+"/"+p.kind]; len(m) > maxEpochs {
			// Epochs sort by time: the least is the oldest.
			oldest := ""
			for e := range m {
				if e != p.epoch && (oldest == "" || e < oldest) {
					oldest = e
				}
			}
			delete(m, oldest)
		}
	}
	return nil
}

func (s *Store) crowded(p position) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.seen[p.agent+"/"+p.kind]
	_, known := m[p.epoch]
	return !known && len(m) >= maxEpochs
}

// Operation is one entry of the operation log.
type Operation struct {
	ID     string    `json:"id"`
	Time   time.Time `json:"time"`
	Tenant string    `json:"tenant"`
	Agent  string    `json:"agent,omitempty"`
	Host   string    `json:"host,omitempty" doc:"Name of the host then"`
	Object string    `json:"object,omitempty" doc:"Of what else it is, such as task:ID or configuration:ID"`
	Kind   string    `json:"kind" doc:"What was done, such as enrolled, config-refused, lease-moved"`
	Actor  string    `json:"actor" doc:"Who: a user, agent, or system"`
	OK     bool      `json:"ok"`
	Text   string    `json:"text,omitempty" doc:"More, in words"`
}

// maxOperations is how many entries are kept; older ones go.
const maxOperations = 200_000

// Log appends to the operation log. The entries get ids.
func (s *Store) Log(ctx context.Context, list ...Operation) error {
	if len(list) == 0 {
		return nil
	}
	err := s.db.Change(ctx, func(ctx context.Context, tx bun.Tx) error {
		for i := range list {
			o := &list[i]
			if o.Time.IsZero() {
				o.Time = time.Now().UTC()
			}
			o.ID = NewID(o.Time)
			data, err := json.Marshal(o)
			if err != nil {
				return err
			}
			if _, err := tx.NewRaw("INSERT INTO fleet_operations (id, tenant, agent, object, kind, data) VALUES (?, ?, ?, ?, ?, ?)", o.ID, o.Tenant, o.Agent, o.Object, o.Kind, string(data)).Exec(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("fleet: write the operation log: %w", err)
	}
	return nil
}

// Trim takes the oldest entries of the operation log away where there are too many.
func (s *Store) Trim(ctx context.Context) error {
	return s.db.Change(ctx, func(ctx context.Context, tx bun.Tx) error {
		var id string
		err := tx.NewRaw("SELECT id FROM fleet_operations ORDER BY id DESC LIMIT 1 OFFSET ?", maxOperations).Scan(ctx, &id)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		_, err = tx.NewRaw("DELETE FROM fleet_operations WHERE id <= ?", id).Exec(ctx)
		return err
	})
}

// OperationQuery asks for entries, newest first.
type OperationQuery struct {
	Tenants []string // nil is all
	Agent   string
	Object  string
	Kind    string
	Before  string // id
	Limit   int
}

// Operations lists entries of the log.
func (s *Store) Operations(ctx context.Context, q OperationQuery) ([]Operation, error) {
	where, args := []string{"1 = 1"}, []any{}
	if q.Tenants != nil {
		if len(q.Tenants) == 0 {
			return nil, nil
		}
		where, args = append(where, "tenant IN (?)"), append(args, bun.In(q.Tenants))
	}
	for _, x := range []struct{ column, value string }{{"agent = ?", q.Agent}, {"object = ?", q.Object}, {"kind = ?", q.Kind}, {"id < ?", q.Before}} {
		if x.value != "" {
			where, args = append(where, x.column), append(args, x.value)
		}
	}
	var rows []struct{ Data string }
	err := s.db.View(ctx, func(ctx context.Context, tx bun.Tx) error {
		return tx.NewRaw("SELECT data FROM fleet_operations WHERE "+strings.Join(where, " AND ")+" ORDER BY id DESC LIMIT ?", append(slices.Clone(args), q.Limit)...).Scan(ctx, &rows)
	})
	if err != nil {
		return nil, fmt.Errorf("fleet: read the operation log: %w", err)
	}
	out := make([]Operation, len(rows))
	for i, r := range rows {
		if err := json.Unmarshal([]byte(r.Data), &out[i]); err != nil {
			return nil, fmt.Errorf("fleet: a stored entry of the operation log: %w", err)
		}
	}
	return out, nil
}

// PutInventory replaces the inventory of a host; data is JSON.
func (s *Store) PutInventory(ctx context.Context, agent string, taken int64, data []byte) error {
	err := s.db.Change(ctx, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewRaw("INSERT INTO fleet_inventories (agent, taken, data) VALUES (?, ?, ?) ON CONFLICT (agent) DO UPDATE SET taken = excluded.taken, data = excluded.data", agent, taken, string(data)).Exec(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("fleet: write the inventory of %s: %w", agent, err)
	}
	return nil
}

// Inventory reads the last inventory of a host, JSON; ErrNotFound where there is none.
func (s *Store) Inventory(ctx context.Context, agent string) ([]byte, error) {
	var data string
	err := s.db.View(ctx, func(ctx context.Context, tx bun.Tx) error {
		return tx.NewRaw("SELECT data FROM fleet_inventories WHERE agent = ?", agent).Scan(ctx, &data)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("fleet: read the inventory of %s: %w", agent, err)
	}
	return []byte(data), nil
}

// Forget takes away all that is kept of an agent but the operation log.
func (s *Store) Forget(ctx context.Context, agents ...string) error {
	err := s.db.Change(ctx, func(ctx context.Context, tx bun.Tx) error {
		for _, a := range agents {
			for _, q := range []string{"DELETE FROM fleet_documents WHERE kind IN ('agent', 'measured', 'containers') AND id = ?", "DELETE FROM fleet_positions WHERE agent = ?", "DELETE FROM fleet_inventories WHERE agent = ?"} {
				if _, err := tx.NewRaw(q, a).Exec(ctx); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("fleet: take agents away: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range agents {
		for _, k := range []string{"logs", "metrics", "inventory"} {
			delete(s.seen, a+"/"+k)
		}
	}
	return nil
}
