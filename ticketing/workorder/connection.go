package workorder

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/uptrace/bun"
)

// Content is a connection as people write it.
type Content struct {
	Name        string   `json:"name" minLength:"1" maxLength:"80"`
	Description string   `json:"description,omitempty" maxLength:"2000"`
	Enabled     bool     `json:"enabled"`
	URL         string   `json:"url,omitempty" maxLength:"2000" doc:"Where orders are, of a system that speaks our own format: POST makes one, PUT URL/ID changes it, GET URL/ID reads it. Requests of other systems are templates"`
	Create      Request  `json:"create,omitempty" doc:"Makes an order"`
	Update      Request  `json:"update,omitempty" doc:"Tells of a change; {{.External}} is their id"`
	Query       Request  `json:"query,omitempty" doc:"Reads an order"`
	Answer      Answer   `json:"answer,omitempty" doc:"Where their answers hold what counts"`
	States      []State  `json:"states,omitempty" maxItems:"100" nullable:"false" doc:"What their states mean; common words are known"`
	Poll        int      `json:"poll_seconds,omitempty" minimum:"0" maximum:"86400" doc:"How often orders that are not done are asked for; 0 for never, 10 at least"`
	Close       bool     `json:"close,omitempty" doc:"An order that is done closes its alert or incident"`
	Resolution  string   `json:"resolution,omitempty" enum:"true_positive,false_positive,benign,test,duplicate" doc:"Of closing; true_positive by default"`
	Tenants     []string `json:"tenants,omitempty" maxItems:"500" nullable:"false" doc:"Whose alerts and incidents may go there; empty for all"`
}

// State says what a state of the other system means.
type State struct {
	Theirs string `json:"theirs" minLength:"1" maxLength:"100"`
	Ours   string `json:"ours" enum:"open,working,done,rejected"`
}

// Secrets of a connection. What is left out stays as it is, an empty one is
// removed.
type Secrets struct {
	Token *string           `json:"token,omitempty" maxLength:"4000" doc:"Goes out as Authorization: Bearer, unless a header says otherwise; templates know it as {{.Token}}"`
	Key   *string           `json:"key,omitempty" maxLength:"4000" doc:"Signs bodies: X-Icewatch-Signature is sha256= and the HMAC in hexadecimal"`
	Vars  map[string]string `json:"vars,omitempty" doc:"Further ones: {{.Vars.NAME}}"`
}

type secrets struct {
	Token string            `json:"token,omitempty"`
	Key   string            `json:"key,omitempty"`
	Vars  map[string]string `json:"vars,omitempty"`
}

// Connection is a connection as it is kept.
type Connection struct {
	ID       string `json:"id"`
	Revision int64  `json:"revision"`
	Content
	SecretsSet []string `json:"secrets_set" nullable:"false" doc:"Which secrets there are"`
	UpdatedAt  int64    `json:"updated_at" doc:"Unix milliseconds"`
	UpdatedBy  string   `json:"updated_by"`
	DeletedAt  int64    `json:"deleted_at,omitempty" doc:"Unix milliseconds"`
	DeletedBy  string   `json:"deleted_by,omitempty"`
	Waiting    int      `json:"waiting" doc:"Messages that wait to be sent"`
	Failed     int      `json:"failed" doc:"Messages that were given up and can be sent again"`
	Error      string   `json:"error,omitempty" doc:"Of the last attempt of what waits"`
}

type connectionRow struct {
	bun.BaseModel `bun:"table:workorder_connections,alias:c"`
	ID            string `bun:"id,pk"`
	Name          string `bun:"name"`
	Doc           string `bun:"doc"`
	Secrets       string `bun:"secrets"`
	Hook          string `bun:"hook"`
	Revision      int64  `bun:"revision"`
	UpdatedAt     int64  `bun:"updated_at"`
	UpdatedBy     string `bun:"updated_by"`
	DeletedAt     int64  `bun:"deleted_at"`
	DeletedBy     string `bun:"deleted_by"`
}

// maxConnections bounds what there is of them.
const maxConnections = 100

var ours = []string{StateOpen, StateWorking, StateDone, StateRejected}

func (c *Content) check() error {
	c.Name = strings.TrimSpace(c.Name)
	if n := utf8.RuneCountInString(c.Name); n == 0 || n > 80 {
		return fmt.Errorf("%w: name: %d characters, want 1 to 80", ErrInvalid, n)
	}
	if c.Poll != 0 && (c.Poll < 10 || c.Poll > 86400) {
		return fmt.Errorf("%w: poll_seconds: %d, want 0 for never, or 10 to 86400", ErrInvalid, c.Poll)
	}
	for i, st := range c.States {
		if strings.TrimSpace(st.Theirs) == "" || !slices.Contains(ours, st.Ours) {
			return fmt.Errorf("%w: states[%d]: %q means %q: want a state of theirs and one of %s", ErrInvalid, i, st.Theirs, st.Ours, strings.Join(ours, ", "))
		}
	}
	if err := c.Answer.check(); err != nil {
		return fmt.Errorf("%w: answer.%w", ErrInvalid, err)
	}
	if c.URL == "" && c.Create.URL == "" {
		return fmt.Errorf("%w: url: it is empty: give the address of orders, or create.url", ErrInvalid)
	}
	for _, r := range c.requests() {
		if err := r.check(); err != nil {
			return fmt.Errorf("%w: %s.%w", ErrInvalid, r.name, err)
		}
	}
	if c.Poll > 0 && c.query().URL == "" {
		return fmt.Errorf("%w: query.url: it is empty, yet poll_seconds asks for orders", ErrInvalid)
	}
	return nil
}

// secretsOf opens what is sealed of a connection.
func (s *Service) secretsOf(r *connectionRow) (out secrets, err error) {
	if r.Secrets == "" {
		return out, nil
	}
	plain, err := s.deps.Seal.OpenString(r.Secrets, kindSecrets+":"+r.ID)
	if err == nil {
		err = json.Unmarshal([]byte(plain), &out)
	}
	if err != nil {
		return out, fmt.Errorf("workorder: the secrets of %s: %w", r.Name, err)
	}
	return out, nil
}

// with is what secrets become by a change.
func (x secrets) with(ch Secrets) secrets {
	if ch.Token != nil {
		x.Token = *ch.Token
	}
	if ch.Key != nil {
		x.Key = *ch.Key
	}
	if len(ch.Vars) > 0 {
		vars := maps.Clone(x.Vars)
		if vars == nil {
			vars = map[string]string{}
		}
		for name, v := range ch.Vars {
			if vars[name] = v; v == "" {
				delete(vars, name)
			}
		}
		x.Vars = vars
	}
	return x
}

func (s *Service) seal(id string, x secrets) (string, error) {
	data, err := json.Marshal(x)
	if err != nil {
		return "", fmt.Errorf("workorder: pack secrets: %w", err)
	}
	sealed, err := s.deps.Seal.SealString(string(data), kindSecrets+":"+id)
	if err != nil {
		return "", fmt.Errorf("workorder: seal secrets: %w", err)
	}
	return sealed, nil
}

func (s *Service) view(r *connectionRow) (c Connection, err error) {
	c = Connection{ID: r.ID, Revision: r.Revision, SecretsSet: []string{}, UpdatedAt: r.UpdatedAt, UpdatedBy: r.UpdatedBy, DeletedAt: r.DeletedAt, DeletedBy: r.DeletedBy}
	if err := json.Unmarshal([]byte(r.Doc), &c.Content); err != nil {
		return c, fmt.Errorf("workorder: read connection %s: %w", r.ID, err)
	}
	x, err := s.secretsOf(r)
	if err != nil {
		return c, err
	}
	if x.Token != "" {
		c.SecretsSet = append(c.SecretsSet, "token")
	}
	if x.Key != "" {
		c.SecretsSet = append(c.SecretsSet, "key")
	}
	for _, name := range slices.Sorted(maps.Keys(x.Vars)) {
		c.SecretsSet = append(c.SecretsSet, "vars."+name)
	}
	return c, nil
}

// Connections lists connections by name; with deleted, those too that were.
func (s *Service) Connections(ctx context.Context, deleted bool) ([]Connection, error) {
	var rows []connectionRow
	q := s.db.NewSelect().Model(&rows).OrderExpr("name, id")
	if !deleted {
		q = q.Where("deleted_at = 0")
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("workorder: list connections: %w", err)
	}
	var counts []struct {
		Connection string `bun:"connection"`
		State      string `bun:"state"`
		N          int    `bun:"n"`
		Error      string `bun:"error"`
	}
	if err := s.db.NewSelect().TableExpr("workorder_messages AS m").Join("JOIN workorder_orders AS o ON o.id = m.work_order").
		ColumnExpr("o.connection, m.state, count(*) AS n, max(m.error) AS error").Where("m.state <> ?", delivered).GroupExpr("o.connection, m.state").Scan(ctx, &counts); err != nil {
		return nil, fmt.Errorf("workorder: count messages: %w", err)
	}
	out := make([]Connection, 0, len(rows))
	for i := range rows {
		c, err := s.view(&rows[i])
		if err != nil {
			return nil, err
		}
		for _, n := range counts {
			switch {
			case n.Connection != c.ID:
			case n.State == pending:
				c.Waiting, c.Error = n.N, n.Error
			default:
				c.Failed = n.N
			}
		}
		out = append(out, c)
	}
	return out, nil
}

func (s *Service) row(ctx context.Context, db bun.IDB, id string) (*connectionRow, error) {
	r := &connectionRow{}
	err := db.NewSelect().Model(r).Where("id = ?", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("%w: there is no connection %q", ErrNotFound, id)
	}
	if err != nil {
		return nil, fmt.Errorf("workorder: read connection %q: %w", id, err)
	}
	return r, nil
}

// Connection returns one connection, a deleted one too.
func (s *Service) Connection(ctx context.Context, id string) (Connection, error) {
	r, err := s.row(ctx, s.db, id)
	if err != nil {
		return Connection{}, err
	}
	return s.view(r)
}

// reachable refuses addresses that the guard refuses.
func (s *Service) reachable(ctx context.Context, c *Content, x secrets) error {
	for _, r := range c.requests() {
		m, err := r.make(sampleData(x))
		if err != nil {
			return fmt.Errorf("%w: %s.%w", ErrInvalid, r.name, err)
		}
		if err := s.deps.Egress.Check(ctx, m.url); err != nil {
			return fmt.Errorf("%w: %s.url: %w", ErrInvalid, r.name, err)
		}
	}
	return nil
}

// Add makes a connection, and the token that results come back with, which is
// told this once.
func (s *Service) Add(ctx context.Context, by string, c Content, x Secrets) (Connection, string, error) {
	if err := c.check(); err != nil {
		return Connection{}, "", err
	}
	plain := secrets{}.with(x)
	if err := s.reachable(ctx, &c, plain); err != nil {
		return Connection{}, "", err
	}
	token := newID("wh")
	r := &connectionRow{ID: newID("wc"), Revision: 1, Name: c.Name, Hook: hookHash(token), UpdatedAt: s.now().UnixMilli(), UpdatedBy: by}
	var err error
	if r.Secrets, err = s.seal(r.ID, plain); err != nil {
		return Connection{}, "", err
	}
	if r.Doc, err = pack(c); err != nil {
		return Connection{}, "", err
	}
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		n, err := tx.NewSelect().Model((*connectionRow)(nil)).Where("deleted_at = 0").Count(ctx)
		if err != nil {
			return err
		}
		if n >= maxConnections {
			return fmt.Errorf("%w: there are %d connections, at most %d", ErrConflict, n, maxConnections)
		}
		if err := free(ctx, tx, r.Name, r.ID); err != nil {
			return err
		}
		_, err = tx.NewInsert().Model(r).Returning("NULL").Exec(ctx)
		return err
	})
	if err != nil {
		return Connection{}, "", fmt.Errorf("workorder: add connection %q: %w", c.Name, err)
	}
	v, err := s.view(r)
	return v, token, err
}

func pack(c Content) (string, error) {
	doc, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("workorder: pack connection: %w", err)
	}
	return string(doc), nil
}

// free refuses a name that another connection has.
func free(ctx context.Context, tx bun.Tx, name, id string) error {
	taken, err := tx.NewSelect().Model((*connectionRow)(nil)).Where("name = ? AND id <> ? AND deleted_at = 0", name, id).Exists(ctx)
	if err == nil && taken {
		err = fmt.Errorf("%w: there is a connection %q already", ErrConflict, name)
	}
	return err
}

func (s *Service) change(ctx context.Context, id string, f func(tx bun.Tx, r *connectionRow) error) (Connection, error) {
	var r *connectionRow
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) (err error) {
		if r, err = s.row(ctx, tx, id); err != nil {
			return err
		}
		if err := f(tx, r); err != nil {
			return err
		}
		r.Revision++
		_, err = tx.NewUpdate().Model(r).WherePK().Exec(ctx)
		return err
	})
	if err != nil {
		return Connection{}, fmt.Errorf("workorder: change connection %q: %w", id, err)
	}
	s.nudge()
	return s.view(r)
}

// Change replaces what people write of a connection. revision is that of what
// was read, 0 for whatever is there.
func (s *Service) Change(ctx context.Context, by, id string, revision int64, c Content, x Secrets) (Connection, error) {
	if err := c.check(); err != nil {
		return Connection{}, err
	}
	before, err := s.row(ctx, s.db, id)
	if err != nil {
		return Connection{}, err
	}
	old, err := s.secretsOf(before)
	if err != nil {
		return Connection{}, err
	}
	plain := old.with(x)
	if err := s.reachable(ctx, &c, plain); err != nil {
		return Connection{}, err
	}
	return s.change(ctx, id, func(tx bun.Tx, r *connectionRow) (err error) {
		switch {
		case r.DeletedAt != 0:
			return fmt.Errorf("%w: the connection was deleted by %s: restore it first", ErrConflict, r.DeletedBy)
		case revision != 0 && revision != r.Revision || r.Revision != before.Revision:
			return fmt.Errorf("%w: %s has changed the connection since (revision %d): read it again", ErrConflict, r.UpdatedBy, r.Revision)
		}
		if err := free(ctx, tx, c.Name, id); err != nil {
			return err
		}
		if r.Secrets, err = s.seal(id, plain); err != nil {
			return err
		}
		r.Name, r.UpdatedAt, r.UpdatedBy = c.Name, s.now().UnixMilli(), by
		r.Doc, err = pack(c)
		return err
	})
}

// Delete takes a connection away; its orders stay, and it can be restored.
func (s *Service) Delete(ctx context.Context, by, id string) (Connection, error) {
	return s.change(ctx, id, func(_ bun.Tx, r *connectionRow) error {
		if r.DeletedAt != 0 {
			return fmt.Errorf("%w: %s has deleted the connection already", ErrConflict, r.DeletedBy)
		}
		r.DeletedAt, r.DeletedBy = s.now().UnixMilli(), by
		return nil
	})
}

// Restore brings a deleted connection back.
func (s *Service) Restore(ctx context.Context, by, id string) (Connection, error) {
	return s.change(ctx, id, func(tx bun.Tx, r *connectionRow) error {
		if r.DeletedAt == 0 {
			return fmt.Errorf("%w: the connection is not deleted", ErrConflict)
		}
		r.DeletedAt, r.DeletedBy, r.UpdatedAt, r.UpdatedBy = 0, "", s.now().UnixMilli(), by
		return free(ctx, tx, r.Name, id)
	})
}

// NewToken makes a new token for results and ends the one before.
func (s *Service) NewToken(ctx context.Context, by, id string) (Connection, string, error) {
	token := newID("wh")
	c, err := s.change(ctx, id, func(_ bun.Tx, r *connectionRow) error {
		r.Hook, r.UpdatedAt, r.UpdatedBy = hookHash(token), s.now().UnixMilli(), by
		return nil
	})
	return c, token, err
}

func hookHash(token string) string {
	sum := sha256.Sum256([]byte("workorder\x00" + token))
	return hex.EncodeToString(sum[:])
}

// Known finds the connection that a sender of results speaks for: by the token
// alone, or by the connection's id with the token beside it.
func (s *Service) Known(ctx context.Context, key, token string) (id string, ok bool) {
	var rows []connectionRow
	if err := s.db.NewSelect().Model(&rows).Where("deleted_at = 0").Scan(ctx); err != nil {
		s.deps.Log.Error("work orders: connections cannot be read", "error", err)
		return "", false
	}
	for i := range rows {
		given := key
		if rows[i].ID == key {
			given = token
		}
		if subtle.ConstantTimeCompare([]byte(hookHash(given)), []byte(rows[i].Hook)) == 1 {
			id, ok = rows[i].ID, true
		}
	}
	return id, ok
}

// covers tells whether a connection may be told of a tenant.
func (c *Content) covers(tenant string) bool {
	return len(c.Tenants) == 0 || slices.Contains(c.Tenants, tenant)
}

func sampleData(x secrets) Data {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return Data{Delivery: "sample", Kind: "test", Order: "wo-sample", External: "1", Token: x.Token, Vars: x.Vars, Change: Change{Kind: "test", Actor: "icewatch", Text: "sample", Time: at},
		Subject: Subject{ID: "INC-20260102-0001", Kind: "incident", Tenant: "sample", Title: "样例事件", TitleEN: "Sample incident", Severity: "high", Priority: "P2", Status: "open",
			Description: "样例：验证工单系统连接 (sample to try the connection)", OpenedAt: at, Labels: map[string]string{}}}
}
