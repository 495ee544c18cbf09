package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/ticketing/channel"
	"icewatch/ticketing/webhook"
)

// A receiver is whom notifications go to. One of the configuration, or made as
// a webhook, is told of every incident of its tenants. A contact point may be
// any channel, and is told of what routes send it unless it asks for all.

type receiver struct {
	bun.BaseModel `bun:"table:outbox_receivers,alias:r"`
	Name          string `bun:"name,pk"`
	URL           string `bun:"url"` // sealed in SQL, as the secret is; see plain
	SendResolved  bool   `bun:"send_resolved"`
	Secret        string `bun:"secret"`
	Tenants       string `bun:"tenants"`
	CreatedAt     int64  `bun:"created_at"`
	CreatedBy     string `bun:"created_by"`
	Kind          string `bun:"kind"`
	Note          string `bun:"note"`
	Language      string `bun:"language"`
	Wording       string `bun:"wording"`
	Every         bool   `bun:"every"`
	Disabled      bool   `bun:"disabled"`
	UpdatedAt     int64  `bun:"updated_at"`
	UpdatedBy     string `bun:"updated_by"`
	Acknowledge   string `bun:"acknowledge"`
	Settings      string `bun:"settings,scanonly"` // sealed; "" for a webhook of before
}

type settingsRow struct {
	bun.BaseModel `bun:"table:outbox_settings,alias:s"`
	Receiver      string `bun:"receiver,pk"`
	Settings      string `bun:"settings"`
}

// all returns every receiver, ordered by name; those of SQL are still sealed.
// One of the configuration hides one of SQL with the same name.
func (b *Box) all(ctx context.Context, db bun.IDB) ([]receiver, error) {
	var rows []receiver
	err := db.NewSelect().Model(&rows).ColumnExpr("r.*").ColumnExpr("coalesce(s.settings, '') AS settings").
		Join("LEFT JOIN outbox_settings AS s ON s.receiver = r.name").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("outbox: read the receivers: %w", err)
	}
	rows = slices.DeleteFunc(rows, func(r receiver) bool { _, hidden := b.fixed[r.Name]; return hidden })
	for _, r := range b.fixed {
		rows = append(rows, r)
	}
	slices.SortFunc(rows, func(a, c receiver) int { return strings.Compare(a.Name, c.Name) })
	return rows, nil
}

// plain opens what is sealed of a receiver.
func (b *Box) plain(r receiver) (_ receiver, err error) {
	if _, fixed := b.fixed[r.Name]; fixed {
		return r, nil
	}
	for _, p := range []struct {
		value *string
		kind  string
		what  string
	}{{&r.URL, kindURL, "url"}, {&r.Secret, kindSecret, "secret"}, {&r.Settings, kindSettings, "settings"}} {
		if *p.value, err = b.seal.OpenString(*p.value, p.kind+":"+r.Name); err != nil {
			return r, fmt.Errorf("outbox: the %s of receiver %s: %w", p.what, r.Name, err)
		}
	}
	return r, nil
}

// sealed is the opposite of plain.
func (b *Box) sealed(r receiver) (_ receiver, err error) {
	for _, p := range []struct {
		value *string
		kind  string
		what  string
	}{{&r.URL, kindURL, "url"}, {&r.Secret, kindSecret, "secret"}, {&r.Settings, kindSettings, "settings"}} {
		if *p.value, err = b.seal.SealString(*p.value, p.kind+":"+r.Name); err != nil {
			return r, fmt.Errorf("outbox: the %s of receiver %s: %w", p.what, r.Name, err)
		}
	}
	return r, nil
}

// ReceiverInfo is what may be shown of a receiver.
type ReceiverInfo struct {
	Name         string
	URL          string // without password and query values; "" for a channel without one
	SendResolved bool
	Signed       bool
	Tenants      []string // empty for all
	FromConfig   bool
	CreatedAt    time.Time // zero for one of the configuration
	CreatedBy    string
	Kind         string
	Settings     json.RawMessage // without secrets
	Note         string
	Language     string
	Wording      string
	Every        bool // told of every incident, without a route
	Disabled     bool
	UpdatedAt    time.Time
	UpdatedBy    string
	Acknowledge  string // how links in its notifications acknowledge
}

func (b *Box) info(r receiver) (ReceiverInfo, error) {
	i := ReceiverInfo{Name: r.Name, URL: webhook.Redact(r.URL), SendResolved: r.SendResolved, Signed: r.Secret != "", CreatedBy: r.CreatedBy,
		Kind: r.Kind, Note: r.Note, Language: r.Language, Wording: r.Wording, Every: r.Every, Disabled: r.Disabled, UpdatedBy: r.UpdatedBy, Acknowledge: r.Acknowledge}
	if r.Tenants != "" {
		i.Tenants = strings.Split(r.Tenants, ",")
	}
	if _, fixed := b.fixed[r.Name]; fixed {
		i.FromConfig = true
	} else {
		i.CreatedAt = time.UnixMilli(r.CreatedAt).UTC()
	}
	if r.UpdatedAt > 0 {
		i.UpdatedAt = time.UnixMilli(r.UpdatedAt).UTC()
	}
	settings, err := r.settings()
	if err == nil {
		i.Settings, err = channel.Shown(r.Kind, settings)
	}
	return i, err
}

// settings are those of the channel; a webhook of before has them in columns.
func (r receiver) settings() ([]byte, error) {
	if r.Settings != "" {
		return []byte(r.Settings), nil
	}
	return json.Marshal(channel.Webhook{URL: r.URL, Secret: r.Secret})
}

// Receivers lists every receiver by name.
func (b *Box) Receivers(ctx context.Context) ([]ReceiverInfo, error) {
	all, err := b.all(ctx, b.db)
	if err != nil {
		return nil, err
	}
	out := make([]ReceiverInfo, 0, len(all))
	for _, r := range all {
		if r, err = b.plain(r); err != nil {
			return nil, err
		}
		i, err := b.info(r)
		if err != nil {
			return nil, fmt.Errorf("outbox: receiver %s: %w", r.Name, err)
		}
		out = append(out, i)
	}
	return out, nil
}

// Receiver finds one receiver by its name; where there is none it is
// ErrNotFound.
func (b *Box) Receiver(ctx context.Context, name string) (ReceiverInfo, error) {
	list, err := b.Receivers(ctx)
	if err != nil {
		return ReceiverInfo{}, err
	}
	i := slices.IndexFunc(list, func(r ReceiverInfo) bool { return r.Name == name })
	if i < 0 {
		return ReceiverInfo{}, fmt.Errorf("receiver %s: %w", name, ErrNotFound)
	}
	return list[i], nil
}

// AddReceiver makes a webhook that is told of every incident from now on. A URL
// that the guard refuses is ErrInvalid.
func (b *Box) AddReceiver(ctx context.Context, actor string, r Receiver) (ReceiverInfo, error) {
	if err := r.check(); err != nil {
		return ReceiverInfo{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if err := b.egress.Check(ctx, r.URL); err != nil {
		return ReceiverInfo{}, fmt.Errorf("%w: url: %w", ErrInvalid, err)
	}
	return b.insert(ctx, receiver{
		Name: r.Name, URL: r.URL, Secret: r.Secret, SendResolved: r.SendResolved == nil || *r.SendResolved, Tenants: strings.Join(r.Tenants, ","),
		CreatedBy: actor, Kind: "webhook", Language: "zh", Every: true, Acknowledge: AcknowledgeSignedIn,
	}, r.Tenants)
}

// Contact is a contact point as it is written.
type Contact struct {
	Name         string
	Kind         string          // see channel.Kinds
	Settings     json.RawMessage // of the channel; secrets that stay may be masked
	Note         string
	SendResolved bool
	Tenants      []string // whose alerts it may be told of; empty for all
	Every        bool     // told of every incident, without a route
	Language     string   // zh (default) or en
	Wording      string   // name of a wording; "" for the default
	Disabled     bool     // told of nothing; what waits for it is given up
	Acknowledge  string   // how links in its notifications acknowledge; default AcknowledgeSignedIn
}

// channel reads and checks a contact point's settings.
func (b *Box) channel(ctx context.Context, c *Contact) (channel.Channel, error) {
	ch, err := channel.Read(c.Kind, c.Settings)
	if err == nil {
		err = ch.Check()
	}
	if err == nil {
		if name := channel.Masked(ch); name != "" {
			err = fmt.Errorf("%s: it holds the mask alone: enter it anew", name)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	for _, raw := range ch.URLs() {
		u, err := url.Parse(raw)
		if err == nil && u.Scheme == "tcp" {
			// The guard judges hosts and ports; the scheme is there for its form.
			raw = "http://" + u.Host
		}
		if err := b.egress.Check(ctx, raw); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	return ch, nil
}

func (b *Box) rowOf(ctx context.Context, c *Contact) (receiver, error) {
	if !receiverName.MatchString(c.Name) {
		return receiver{}, fmt.Errorf("%w: name: %q: want letters, digits, '.', '_' or '-', at most 64", ErrInvalid, c.Name)
	}
	switch c.Language {
	case "":
		c.Language = "zh"
	case "zh", "en":
	default:
		return receiver{}, fmt.Errorf("%w: language: %q: want zh or en", ErrInvalid, c.Language)
	}
	acknowledge, err := checkAcknowledge(c.Acknowledge)
	if err != nil {
		return receiver{}, err
	}
	ch, err := b.channel(ctx, c)
	if err != nil {
		return receiver{}, err
	}
	settings, err := json.Marshal(ch)
	if err != nil {
		return receiver{}, fmt.Errorf("outbox: write the settings of %s: %w", c.Name, err)
	}
	return receiver{Name: c.Name, Kind: c.Kind, Settings: string(settings), Note: c.Note, SendResolved: c.SendResolved, Tenants: strings.Join(c.Tenants, ","),
		Every: c.Every, Language: c.Language, Wording: c.Wording, Disabled: c.Disabled, Acknowledge: acknowledge}, nil
}

// AddContact makes a contact point.
func (b *Box) AddContact(ctx context.Context, actor string, c Contact) (ReceiverInfo, error) {
	row, err := b.rowOf(ctx, &c)
	if err != nil {
		return ReceiverInfo{}, err
	}
	row.CreatedBy = actor
	return b.insert(ctx, row, c.Tenants)
}

func checkTenants(tenants []string) error {
	for _, t := range tenants {
		if t == "" || strings.Contains(t, ",") {
			return fmt.Errorf("%w: tenants: %q is no slug", ErrInvalid, t)
		}
	}
	return nil
}

func (b *Box) insert(ctx context.Context, row receiver, tenants []string) (ReceiverInfo, error) {
	if err := checkTenants(tenants); err != nil {
		return ReceiverInfo{}, err
	}
	if _, ok := b.fixed[row.Name]; ok {
		return ReceiverInfo{}, fmt.Errorf("receiver %s: %w", row.Name, ErrExists)
	}
	row.CreatedAt = b.clock().UnixMilli()
	kept, err := b.sealed(row)
	if err != nil {
		return ReceiverInfo{}, err
	}
	err = b.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		res, err := tx.NewInsert().Model(&kept).On("CONFLICT (name) DO NOTHING").Returning("NULL").Exec(ctx)
		if err != nil {
			return fmt.Errorf("outbox: add receiver %s: %w", row.Name, err)
		}
		if n, _ := res.RowsAffected(); n == 0 {
			return fmt.Errorf("receiver %s: %w", row.Name, ErrExists)
		}
		return keepSettings(ctx, tx, kept)
	})
	if err != nil {
		return ReceiverInfo{}, err
	}
	return b.info(row)
}

func keepSettings(ctx context.Context, tx bun.Tx, kept receiver) error {
	if kept.Settings == "" {
		return nil
	}
	row := settingsRow{Receiver: kept.Name, Settings: kept.Settings}
	if _, err := tx.NewInsert().Model(&row).On("CONFLICT (receiver) DO UPDATE").Set("settings = EXCLUDED.settings").Returning("NULL").Exec(ctx); err != nil {
		return fmt.Errorf("outbox: write the settings of %s: %w", kept.Name, err)
	}
	return nil
}

// ChangeContact puts a contact point in the place of the one of its name. A
// secret that is masked stays as it is; the kind of channel does not change.
func (b *Box) ChangeContact(ctx context.Context, actor string, c Contact) (ReceiverInfo, error) {
	old, err := b.byName(ctx, c.Name)
	if err != nil {
		return ReceiverInfo{}, err
	}
	if _, ok := b.fixed[c.Name]; ok {
		return ReceiverInfo{}, fmt.Errorf("receiver %s: %w", c.Name, ErrFromConfig)
	}
	if c.Kind != old.Kind {
		return ReceiverInfo{}, fmt.Errorf("%w: kind: %s is a contact point of kind %s: make another for %q", ErrInvalid, c.Name, old.Kind, c.Kind)
	}
	if err := b.unmask(&c, old); err != nil {
		return ReceiverInfo{}, err
	}
	row, err := b.rowOf(ctx, &c)
	if err != nil {
		return ReceiverInfo{}, err
	}
	if err := checkTenants(c.Tenants); err != nil {
		return ReceiverInfo{}, err
	}
	row.CreatedAt, row.CreatedBy, row.UpdatedAt, row.UpdatedBy = old.CreatedAt, old.CreatedBy, b.clock().UnixMilli(), actor
	kept, err := b.sealed(row)
	if err != nil {
		return ReceiverInfo{}, err
	}
	err = b.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		res, err := tx.NewUpdate().Model(&kept).WherePK().Exec(ctx)
		if err != nil {
			return fmt.Errorf("outbox: change receiver %s: %w", c.Name, err)
		}
		if n, _ := res.RowsAffected(); n == 0 {
			return fmt.Errorf("receiver %s: %w", c.Name, ErrNotFound)
		}
		return keepSettings(ctx, tx, kept)
	})
	if err != nil {
		return ReceiverInfo{}, err
	}
	b.Wake()
	return b.info(row)
}

// unmask puts the secrets of what is there in the place of masks.
func (b *Box) unmask(c *Contact, old receiver) error {
	had, err := old.settings()
	if err != nil {
		return err
	}
	before, err := channel.Read(old.Kind, had)
	if err != nil {
		return fmt.Errorf("outbox: the settings of %s: %w", old.Name, err)
	}
	fresh, err := channel.Read(c.Kind, c.Settings)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	masked := channel.Masked(fresh)
	if c.Settings, err = channel.Keep(c.Kind, c.Settings, had); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	after, err := channel.Read(c.Kind, c.Settings)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	// Else whoever may change a contact point could have its password sent to
	// a server of his own.
	if masked != "" && !slices.Equal(hosts(before), hosts(after)) {
		return fmt.Errorf("%w: %s: it goes to another address than before: enter it anew", ErrInvalid, masked)
	}
	return nil
}

func hosts(c channel.Channel) []string {
	var out []string
	for _, raw := range c.URLs() {
		out = append(out, webhook.Host(raw))
	}
	return out
}

// byName finds a receiver, with its secrets.
func (b *Box) byName(ctx context.Context, name string) (receiver, error) {
	all, err := b.all(ctx, b.db)
	if err != nil {
		return receiver{}, err
	}
	for _, r := range all {
		if r.Name == name {
			return b.plain(r)
		}
	}
	return receiver{}, fmt.Errorf("receiver %s: %w", name, ErrNotFound)
}

// RemoveReceiver removes a receiver of SQL. What still waits for it is given
// up, which the delivery log says.
func (b *Box) RemoveReceiver(ctx context.Context, name string) error {
	if _, ok := b.fixed[name]; ok {
		return fmt.Errorf("receiver %s: %w", name, ErrFromConfig)
	}
	err := b.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		res, err := tx.NewDelete().Model((*receiver)(nil)).Where("name = ?", name).Exec(ctx)
		if err != nil {
			return fmt.Errorf("outbox: remove receiver %s: %w", name, err)
		}
		if n, _ := res.RowsAffected(); n == 0 {
			return fmt.Errorf("receiver %s: %w", name, ErrNotFound)
		}
		if _, err := tx.NewDelete().Model((*settingsRow)(nil)).Where("receiver = ?", name).Exec(ctx); err != nil {
			return fmt.Errorf("outbox: remove the settings of %s: %w", name, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	b.Wake()
	return nil
}

// Try sends a contact point a sample at once and says what became of it,
// without a trace in the log. One with the name of a receiver that is there
// takes its masked secrets from it.
func (b *Box) Try(ctx context.Context, c Contact, n channel.Notice) (channel.Result, error) {
	if old, err := b.byName(ctx, c.Name); err == nil && old.Kind == c.Kind {
		if err := b.unmask(&c, old); err != nil {
			return channel.Result{}, err
		}
	} else if err != nil && !errors.Is(err, ErrNotFound) {
		return channel.Result{}, err
	}
	ch, err := b.channel(ctx, &c)
	if err != nil {
		return channel.Result{}, err
	}
	n.People = b.people(ctx, namesOf(n.People))
	if n, err = b.worded(ctx, n, c.Wording, c.Language, c.Kind); err != nil {
		return channel.Result{}, err
	}
	return ch.Send(ctx, b.via, &n), nil
}

// CheckContact tells what is wrong with a contact point that is to be.
func (b *Box) CheckContact(ctx context.Context, c Contact) error {
	_, err := b.rowOf(ctx, &c)
	return err
}
