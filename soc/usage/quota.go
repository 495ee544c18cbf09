package usage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/uptrace/bun"

	"icewatch/soc/tenancy"
)

// What happens to a tenant's events once its quota is used up.
const (
	Accept = "accept" // an alarm, and no more
	Refuse = "refuse" // nothing more is taken until midnight
)

// Quota is what a tenant may bring in a day. The zero limits are none.
type Quota struct {
	BytesPerDay  int64  `json:"bytes_per_day" minimum:"0" doc:"Raw text as it came; 0 is no limit"`
	EventsPerDay int64  `json:"events_per_day" minimum:"0" doc:"0 is no limit"`
	WarnPercent  int    `json:"warn_percent" minimum:"1" maximum:"100" doc:"From which share on there is a warning"`
	AtLimit      string `json:"at_limit" enum:"accept,refuse" doc:"accept: an alarm and no more; refuse: senders over HTTP get 429 until midnight, files wait, what cannot be told to wait is dropped and counted"`
}

// NoQuota is what counts for tenants unless somebody decides otherwise.
var NoQuota = Quota{WarnPercent: 80, AtLimit: Accept}

// ErrInvalid says that a quota cannot be one; the error that wraps it says why.
var ErrInvalid = errors.New("the quota is not valid")

// Check says what is wrong with a quota.
func (q Quota) Check() error {
	switch {
	case q.BytesPerDay < 0:
		return fmt.Errorf("bytes_per_day: %d is less than 0, which is no limit", q.BytesPerDay)
	case q.EventsPerDay < 0:
		return fmt.Errorf("events_per_day: %d is less than 0, which is no limit", q.EventsPerDay)
	case q.WarnPercent < 1 || q.WarnPercent > 100:
		return fmt.Errorf("warn_percent: %d: 1 to 100 is expected", q.WarnPercent)
	case q.AtLimit != Accept && q.AtLimit != Refuse:
		return fmt.Errorf("at_limit: %q: accept or refuse is expected", q.AtLimit)
	}
	return nil
}

// Limited tells whether there is a limit at all.
func (q Quota) Limited() bool { return q.BytesPerDay > 0 || q.EventsPerDay > 0 }

// Share is which part of the quota is used, 1 where it is used up; 0 where
// there is no limit.
func (q Quota) Share(events, bytes uint64) float64 {
	share := 0.0
	if q.EventsPerDay > 0 {
		share = float64(events) / float64(q.EventsPerDay)
	}
	if q.BytesPerDay > 0 {
		share = max(share, float64(bytes)/float64(q.BytesPerDay))
	}
	return share
}

// reached says which limit is used up, "" where none is.
func (q Quota) reached(events, bytes uint64) string {
	switch {
	case q.EventsPerDay > 0 && events >= uint64(q.EventsPerDay):
		return fmt.Sprintf("%d events a day", q.EventsPerDay)
	case q.BytesPerDay > 0 && bytes >= uint64(q.BytesPerDay):
		return fmt.Sprintf("%d bytes a day", q.BytesPerDay)
	}
	return ""
}

// State is how a tenant stands to its quota.
type State string

// The states.
const (
	OK       State = "ok"
	Warning  State = "warning"
	Reached  State = "reached"
	Refusing State = "refusing" // reached, and nothing more is taken
)

// State tells how a day's figures stand to the quota.
func (q Quota) State(events, bytes uint64) State {
	switch {
	case q.reached(events, bytes) == "":
		if q.Limited() && q.Share(events, bytes)*100 >= float64(q.WarnPercent) {
			return Warning
		}
		return OK
	case q.AtLimit == Refuse:
		return Refusing
	}
	return Reached
}

type quotaRow struct {
	bun.BaseModel `bun:"table:usage_quotas,alias:q"`
	Tenant        string `bun:"tenant,pk"`
	Doc           string `bun:"doc"`
}

// SetQuota gives a tenant a quota of its own, nil takes it away again. Events
// of nobody known are not refused: whose they are shows only later.
func (l *Ledger) SetQuota(ctx context.Context, tenant string, q *Quota) error {
	if q != nil {
		if err := q.Check(); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		if q.AtLimit == Refuse && (tenant == tenancy.Unassigned || tenant == tenancy.City) {
			return fmt.Errorf("%w: at_limit: refuse: the events of %s are of everybody and of the suite itself, and are never refused; accept is expected", ErrInvalid, tenant)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if q == nil {
			_, err := tx.NewDelete().Model((*quotaRow)(nil)).Where("tenant = ?", tenant).Exec(ctx)
			return err
		}
		doc, err := json.Marshal(q)
		if err != nil {
			return err
		}
		_, err = tx.NewInsert().Model(&quotaRow{Tenant: tenant, Doc: string(doc)}).On("CONFLICT (tenant) DO UPDATE").Set("doc = EXCLUDED.doc").Exec(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("usage: keep the quota of %s: %w", tenant, err)
	}
	next := map[string]Quota{}
	for slug, old := range *l.quotas.Load() {
		next[slug] = old
	}
	delete(next, tenant)
	if q != nil {
		next[tenant] = *q
	}
	l.quotas.Store(&next)
	return nil
}

// Quota returns the quota that counts for a tenant, and whether it is its own.
func (l *Ledger) Quota(tenant string) (q Quota, own bool) {
	if q, own = (*l.quotas.Load())[tenant]; own {
		return q, true
	}
	q = l.standard()
	if tenant == tenancy.Unassigned || tenant == tenancy.City {
		q.AtLimit = Accept
	}
	return q, false
}

func (l *Ledger) loadQuotas(ctx context.Context) error {
	var rows []quotaRow
	if err := l.db.NewSelect().Model(&rows).Scan(ctx); err != nil {
		return fmt.Errorf("usage: read the quotas: %w", err)
	}
	quotas := make(map[string]Quota, len(rows))
	for _, r := range rows {
		q := NoQuota
		if err := json.Unmarshal([]byte(r.Doc), &q); err != nil {
			return fmt.Errorf("usage: the stored quota of %s: %w", r.Tenant, err)
		}
		quotas[r.Tenant] = q
	}
	l.quotas.Store(&quotas)
	return nil
}

// strict tells whether any tenant may be refused anything.
func (l *Ledger) strict() bool {
	if q := l.standard(); q.AtLimit == Refuse && q.Limited() {
		return true
	}
	for _, q := range *l.quotas.Load() {
		if q.AtLimit == Refuse && q.Limited() {
			return true
		}
	}
	return false
}
