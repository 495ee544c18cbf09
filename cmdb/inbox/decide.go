package inbox

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"icewatch/cmdb"
	"icewatch/soc/reach"
)

// Port is a port with the service that usually listens there.
type Port struct {
	Port    int    `json:"port"`
	Service string `json:"service,omitempty" doc:"By the port alone"`
}

// services are what usually listens at a port (IANA's registry, and what is
// usual beside it).
var services = map[int]string{
	21: "ftp", 22: "ssh", 23: "telnet", 25: "smtp", 53: "dns", 67: "dhcp", 69: "tftp", 80: "http", 88: "kerberos", 102: "s7", 110: "pop3", 111: "rpcbind",
	123: "ntp", 135: "msrpc", 139: "netbios", 143: "imap", 161: "snmp", 389: "ldap", 443: "https", 445: "smb", 465: "smtps", 502: "modbus", 514: "syslog",
	587: "submission", 636: "ldaps", 993: "imaps", 995: "pop3s", 1433: "mssql", 1521: "oracle", 2049: "nfs", 2181: "zookeeper", 2375: "docker", 2379: "etcd",
	3128: "proxy", 3306: "mysql", 3389: "rdp", 5060: "sip", 5236: "dameng", 5432: "postgresql", 5672: "amqp", 5900: "vnc", 5985: "winrm", 6379: "redis",
	6443: "kubernetes", 8080: "http", 8443: "https", 9000: "http", 9092: "kafka", 9200: "elasticsearch", 10050: "zabbix", 11211: "memcached", 27017: "mongodb",
	54321: "kingbase",
}

func (r *row) told(now time.Time) Candidate {
	c := Candidate{
		ID: r.ID, Tenant: r.Tenant, Zone: r.Zone, Kind: r.Kind, Value: r.Value, Other: r.Other, State: r.state(now), Events: r.Events,
		FirstSeen: time.UnixMilli(r.FirstSeen).UTC(), LastSeen: time.UnixMilli(r.LastSeen).UTC(),
		DecidedBy: r.DecidedBy, Note: r.Note, ItemID: r.ItemID, Sources: []string{}, Ports: []Port{},
	}
	_ = json.Unmarshal([]byte(r.Sources), &c.Sources) // a list that is none is empty
	var ports []string
	_ = json.Unmarshal([]byte(r.Ports), &ports)
	for _, p := range ports {
		if n, err := strconv.Atoi(p); err == nil && n > 0 && n < 65536 {
			c.Ports = append(c.Ports, Port{n, services[n]})
		}
	}
	slices.SortFunc(c.Ports, func(a, b Port) int { return a.Port - b.Port })
	if r.DecidedAt > 0 {
		at := time.UnixMilli(r.DecidedAt).UTC()
		c.DecidedAt = &at
	}
	if r.IgnoredUntil > 0 && c.State == Ignored {
		at := time.UnixMilli(r.IgnoredUntil).UTC()
		c.IgnoredUntil = &at
	}
	return c
}

// state is that of a candidate now: one that was ignored for a time waits again.
func (r *row) state(now time.Time) string {
	if r.State == Ignored && r.IgnoredUntil > 0 && r.IgnoredUntil <= now.UnixMilli() {
		return Waiting
	}
	return r.State
}

// Filter narrows a list of candidates. Empty fields do not narrow.
type Filter struct {
	State  string
	Text   string // part of the value or of what was seen with it
	Before int64  // ID of the last one of the page before
	Limit  int
}

// List lists candidates in reach, the latest first, and counts those of all
// pages.
func (b *Inbox) List(ctx context.Context, r reach.Reach, f Filter) ([]Candidate, int, error) {
	now := b.deps.Now()
	narrow := func(q *bun.SelectQuery) *bun.SelectQuery {
		q = inState(r.Within(q, "c"), f.State, now)
		if f.Text != "" {
			like := "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(strings.ToLower(f.Text)) + "%"
			q = q.Where(`(c.value LIKE ? ESCAPE '\' OR lower(c.other) LIKE ? ESCAPE '\')`, like, like)
		}
		return q
	}
	total, err := narrow(b.db.NewSelect().Model((*row)(nil))).Count(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("inbox: count candidates: %w", err)
	}
	var rows []row
	q := narrow(b.db.NewSelect().Model(&rows))
	if f.Before > 0 {
		q = q.Where("c.id < ?", f.Before)
	}
	if err := q.Order("c.id DESC").Limit(int64(f.Limit)).Scan(ctx); err != nil {
		return nil, 0, fmt.Errorf("inbox: list candidates: %w", err)
	}
	out := make([]Candidate, len(rows))
	for i := range rows {
		out[i] = rows[i].told(now)
	}
	return out, int(total), nil
}

func inState(q *bun.SelectQuery, state string, now time.Time) *bun.SelectQuery {
	at := now.UnixMilli()
	switch state {
	case "":
		return q
	case Waiting:
		return q.Where("(c.state = ? OR c.state = ? AND c.ignored_until > 0 AND c.ignored_until <= ?)", Waiting, Ignored, at)
	case Ignored:
		return q.Where("c.state = ? AND (c.ignored_until = 0 OR c.ignored_until > ?)", Ignored, at)
	}
	return q.Where("c.state = ?", state)
}

// Making says what items are made of candidates.
type Making struct {
	Class  string   `json:"class" minLength:"1" maxLength:"64"`
	Tenant *string  `json:"tenant,omitempty" maxLength:"63" doc:"Of the items; that of the events where it is left out"`
	Labels []string `json:"labels,omitempty" maxItems:"50"`
	System string   `json:"system,omitempty" maxLength:"256" doc:"Id or name of a business system"`
	Owner  string   `json:"owner,omitempty" maxLength:"256"`
}

// fields are the item that is made of a candidate.
func (m *Making) fields(c *Candidate) cmdb.Fields {
	name, tenant, class := c.Value, c.Tenant, m.Class
	if m.Tenant != nil {
		tenant = *m.Tenant
	}
	f := cmdb.Fields{Class: &class, Tenant: &tenant, Revision: cmdb.MustBeNew}
	switch c.Kind {
	case Address:
		zone, addresses := c.Zone, []string{c.Value}
		f.Zone, f.Addresses = &zone, &addresses
		// The name it was seen with says more than the address.
		if c.Other != "" {
			name = c.Other
		}
	case Hostname:
		hostnames := []string{c.Value}
		f.Hostnames = &hostnames
	}
	f.Name = &name
	if len(m.Labels) > 0 {
		labels := slices.Clone(m.Labels)
		f.Labels = &labels
	}
	if m.System != "" {
		f.System = &m.System
	}
	if m.Owner != "" {
		f.Owner = &m.Owner
	}
	return f
}

// chosen reads the candidates of a decision, which must all be in reach and in
// one of some states.
func (b *Inbox) chosen(ctx context.Context, r reach.Reach, ids []int64, states ...string) ([]row, error) {
	if len(ids) == 0 || len(ids) > maxChosen {
		return nil, fmt.Errorf("%w: %d candidates: want 1 to %d", ErrInvalid, len(ids), maxChosen)
	}
	var rows []row
	if err := r.Within(b.db.NewSelect().Model(&rows), "c").Where("c.id IN (?)", bun.In(ids)).Order("c.id").Scan(ctx); err != nil {
		return nil, fmt.Errorf("inbox: read candidates: %w", err)
	}
	if n := len(slices.Compact(slices.Sorted(slices.Values(ids)))); len(rows) != n {
		return nil, fmt.Errorf("%w: %d of %d candidates are not there, or not within your reach", ErrInvalid, n-len(rows), n)
	}
	now := b.deps.Now()
	for i := range rows {
		if s := rows[i].state(now); !slices.Contains(states, s) {
			return nil, fmt.Errorf("%w: %s is %s: want %s", ErrInvalid, rows[i].Value, s, strings.Join(states, " or "))
		}
	}
	return rows, nil
}

// Approve makes items of candidates, all or none. What is wrong with them is in
// the report.
func (b *Inbox) Approve(ctx context.Context, r reach.Reach, actor string, ids []int64, m Making) (cmdb.Report, error) {
	rows, err := b.chosen(ctx, r, ids, Waiting, Ignored)
	if err != nil {
		return cmdb.Report{}, err
	}
	return b.approve(ctx, r, actor, rows, m)
}

func (b *Inbox) approve(ctx context.Context, r reach.Reach, actor string, rows []row, m Making) (cmdb.Report, error) {
	now := b.deps.Now()
	list := make([]cmdb.Fields, len(rows))
	for i := range rows {
		c := rows[i].told(now)
		list[i] = m.fields(&c)
	}
	report, err := b.deps.Items.UpsertAll(ctx, list, cmdb.ImportOptions{Within: r, Actor: actor, Source: fmt.Sprintf("inbox: %d candidates", len(rows))})
	if err != nil || len(report.Errors) > 0 {
		return report, err
	}
	for i := range rows {
		rows[i].State, rows[i].DecidedBy, rows[i].DecidedAt, rows[i].IgnoredUntil, rows[i].ItemID = Approved, actor, now.UnixMilli(), 0, report.IDs[i]
	}
	return report, b.save(ctx, rows)
}

func (b *Inbox) save(ctx context.Context, rows []row) error {
	err := b.db.Change(ctx, func(ctx context.Context, tx bun.Tx) error {
		for i := range rows {
			_, err := tx.NewUpdate().Model(&rows[i]).Column("state", "decided_by", "decided_at", "ignored_until", "item_id", "note").WherePK().Exec(ctx)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("inbox: keep what was decided: %w", err)
	}
	return nil
}

// Ignore sets candidates aside for some days, or for ever where days is 0.
func (b *Inbox) Ignore(ctx context.Context, r reach.Reach, actor string, ids []int64, days int, note string) error {
	if days < 0 || days > 3650 || utf8.RuneCountInString(note) > 500 {
		return fmt.Errorf("%w: want 0 to 3650 days, and a note of at most 500 characters", ErrInvalid)
	}
	rows, err := b.chosen(ctx, r, ids, Waiting, Ignored)
	if err != nil {
		return err
	}
	now := b.deps.Now()
	for i := range rows {
		rows[i].State, rows[i].DecidedBy, rows[i].DecidedAt, rows[i].Note, rows[i].IgnoredUntil = Ignored, actor, now.UnixMilli(), note, 0
		if days > 0 {
			rows[i].IgnoredUntil = now.AddDate(0, 0, days).UnixMilli()
		}
	}
	return b.save(ctx, rows)
}

// Reopen lets candidates wait again that were ignored.
func (b *Inbox) Reopen(ctx context.Context, r reach.Reach, actor string, ids []int64) error {
	rows, err := b.chosen(ctx, r, ids, Ignored)
	if err != nil {
		return err
	}
	for i := range rows {
		rows[i].State, rows[i].DecidedBy, rows[i].DecidedAt, rows[i].Note, rows[i].IgnoredUntil = Waiting, actor, b.deps.Now().UnixMilli(), "", 0
	}
	return b.save(ctx, rows)
}

// Preview lists the waiting candidates in reach that a rule would approve, at
// most so many, and counts all.
func (b *Inbox) Preview(ctx context.Context, r reach.Reach, rule Rule, limit int) ([]Candidate, int, error) {
	if err := rule.check(); err != nil {
		return nil, 0, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	out, total := []Candidate{}, 0
	err := b.eachWaiting(ctx, r, func(part []row) error {
		for i := range part {
			if c := part[i].told(b.deps.Now()); rule.Match(&c) {
				if total++; len(out) < limit {
					out = append(out, c)
				}
			}
		}
		return nil
	})
	return out, total, err
}

func (b *Inbox) eachWaiting(ctx context.Context, r reach.Reach, fn func([]row) error) error {
	var after int64
	for {
		var rows []row
		err := inState(r.Within(b.db.NewSelect().Model(&rows), "c"), Waiting, b.deps.Now()).Where("c.id > ?", after).Order("c.id").Limit(maxChosen).Scan(ctx)
		if err != nil {
			return fmt.Errorf("inbox: read what waits: %w", err)
		}
		if len(rows) == 0 {
			return nil
		}
		after = rows[len(rows)-1].ID
		if err := fn(rows); err != nil {
			return err
		}
	}
}

// approveByRules makes items of what the rules take, rule by rule. What the
// CMDB refuses, such as a name that is taken, goes on waiting for somebody.
func (b *Inbox) approveByRules(ctx context.Context, policy Policy) error {
	if len(policy.Rules) == 0 {
		return nil
	}
	return b.eachWaiting(ctx, reach.All(), func(part []row) error {
		for i := range part {
			c := part[i].told(b.deps.Now())
			at := slices.IndexFunc(policy.Rules, func(rule Rule) bool { return rule.Match(&c) })
			if at < 0 {
				continue
			}
			rule := &policy.Rules[at]
			report, err := b.approve(ctx, reach.All(), "inbox rule "+rule.Name, part[i:i+1], rule.Making)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				b.deps.Log.Warn("a rule of the inbox could not make an item; the candidate waits", "rule", rule.Name, "candidate", c.Value, "error", err)
			} else if len(report.Errors) > 0 {
				b.deps.Log.Warn("a rule of the inbox could not make an item; the candidate waits", "rule", rule.Name, "candidate", c.Value, "error", report.Errors[0])
			}
		}
		return nil
	})
}
