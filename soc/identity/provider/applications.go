package provider

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // the two formats of icons
	_ "image/png"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/identity"
)

const (
	maxApplications = 2000
	// MaxIcon bounds an icon in bytes.
	MaxIcon      = 256 << 10
	maxIconSide  = 1024
	secretPrefix = "iwk_" // of a client's secret
)

// loadApplications reads all applications: they are few and asked for often.
func (s *Service) loadApplications(ctx context.Context) error {
	rows, err := s.DB.QueryContext(ctx, "SELECT id, doc, secret_hash FROM provider_applications")
	if err != nil {
		return fmt.Errorf("oidc: read the applications: %w", err)
	}
	defer rows.Close()
	apps := map[string]*registered{}
	for rows.Next() {
		var id, doc string
		a := new(registered)
		if err := rows.Scan(&id, &doc, &a.secretHash); err != nil {
			return fmt.Errorf("oidc: read the applications: %w", err)
		}
		if err := json.Unmarshal([]byte(doc), &a.Application); err != nil {
			return fmt.Errorf("oidc: the stored application %s: %w", id, err)
		}
		a.tidy()
		apps[id] = a
	}
	s.apps.Store(&apps)
	return rows.Err()
}

// application returns the one of the id, which must not be changed.
func (s *Service) application(id string) (*registered, bool) {
	a, ok := (*s.apps.Load())[id]
	return a, ok
}

// Get returns an application.
func (s *Service) Get(id string) (Application, error) {
	a, ok := s.application(id)
	if !ok {
		return Application{}, notFound(id)
	}
	return a.Application, nil
}

// Filter selects applications. What is empty selects all.
type Filter struct {
	Text     string // part of the name, description, category, version or address
	Category string
	Open     *bool
}

func (f Filter) selects(a *Application) bool {
	if f.Category != "" && f.Category != a.Category || f.Open != nil && *f.Open != a.Open {
		return false
	}
	text := strings.ToLower(strings.TrimSpace(f.Text))
	return text == "" || slices.ContainsFunc([]string{a.ID, a.Name.ZH, a.Name.EN, a.Description.ZH, a.Description.EN, a.Category, a.Tenant, a.URL, a.Version},
		func(s string) bool { return strings.Contains(strings.ToLower(s), text) })
}

// List returns the applications that the filter selects, as the portal orders
// them: by position, then by name.
func (s *Service) List(f Filter) []Application {
	out := []Application{}
	for _, a := range *s.apps.Load() {
		if f.selects(&a.Application) {
			out = append(out, a.Application)
		}
	}
	slices.SortFunc(out, func(a, b Application) int {
		if a.Position != b.Position {
			return a.Position - b.Position
		}
		return strings.Compare(a.Name.ZH+a.Name.EN+a.ID, b.Name.ZH+b.Name.EN+b.ID)
	})
	return out
}

// Usable returns the open applications that the person may use.
func (s *Service) Usable(p Person, f Filter) []Application {
	yes := true
	f.Open = &yes
	return slices.DeleteFunc(s.List(f), func(a Application) bool { return !a.Admits(p) })
}

// Create adds an application. Nobody may use it yet, unless its audience says
// so, and it takes no part in single sign-on before SetClient.
func (s *Service) Create(ctx context.Context, a Application, by string) (Application, error) {
	now := s.Now().UTC().Truncate(time.Millisecond)
	a.ID, a.CreatedAt, a.UpdatedAt, a.CreatedBy = newID("app_"), now, now, by
	a.IconURL, a.Client, a.Keys = "", Client{}, nil
	a.tidy()
	if err := errors.Join(a.check(), s.checkVersionURL(ctx, a.VersionURL)); err != nil {
		return Application{}, err
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	apps := maps.Clone(*s.apps.Load())
	if len(apps) >= maxApplications {
		return Application{}, invalid("there are %d applications, which is as many as there may be", len(apps))
	}
	doc, err := json.Marshal(a)
	if err == nil {
		_, err = s.DB.ExecContext(ctx, "INSERT INTO provider_applications (id, doc) VALUES (?, ?)", a.ID, string(doc))
	}
	if err != nil {
		return Application{}, fmt.Errorf("oidc: create an application: %w", err)
	}
	apps[a.ID] = &registered{Application: a}
	s.apps.Store(&apps)
	return a, nil
}

// change edits an application and makes the change durable before anybody
// sees it. Tokens of its own are asked about anew with the next request.
func (s *Service) change(ctx context.Context, id string, edit func(a *registered) error) (Application, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	apps := maps.Clone(*s.apps.Load())
	old, ok := apps[id]
	if !ok {
		return Application{}, notFound(id)
	}
	a := *old
	a.Keys = slices.Clone(old.Keys)
	if err := edit(&a); err != nil {
		return Application{}, err
	}
	a.tidy()
	if err := a.check(); err != nil {
		return Application{}, err
	}
	a.UpdatedAt = s.Now().UTC().Truncate(time.Millisecond)
	doc, err := json.Marshal(a.Application)
	if err == nil {
		_, err = s.DB.ExecContext(ctx, "UPDATE provider_applications SET doc = ?, secret_hash = ? WHERE id = ?", string(doc), a.secretHash, id)
	}
	if err != nil {
		return Application{}, fmt.Errorf("oidc: change the application %s: %w", id, err)
	}
	apps[id] = &a
	s.apps.Store(&apps)
	s.Identity.ForgetApplication(id)
	return a.Application, nil
}

// Change changes what is not nil.
type Change struct {
	Name, Description        *Text
	Category, Tenant         *string
	URL, Version, VersionURL *string
	Position                 *int
	Open                     *bool
	Audience                 *Audience
	Client                   *Client
	Permissions              *Permissions
	Menus                    *[]Menu
	Interfaces               *[]Interface
}

// Make is an application of the fields given.
func (ch Change) Make() Application {
	var a Application
	ch.apply(&a)
	return a
}

func (ch Change) apply(a *Application) {
	set(&a.Name, ch.Name)
	set(&a.Description, ch.Description)
	set(&a.Category, ch.Category)
	set(&a.Tenant, ch.Tenant)
	set(&a.URL, ch.URL)
	set(&a.Version, ch.Version)
	set(&a.VersionURL, ch.VersionURL)
	set(&a.Position, ch.Position)
	set(&a.Open, ch.Open)
	set(&a.Audience, ch.Audience)
	set(&a.Permissions, ch.Permissions)
	set(&a.Menus, ch.Menus)
	set(&a.Interfaces, ch.Interfaces)
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// Update changes an application. Closing it, and changing its client, ends
// every token it holds; a person whom a new audience leaves out loses them at
// the next use.
func (s *Service) Update(ctx context.Context, id string, ch Change) (Application, error) {
	if ch.VersionURL != nil {
		if err := s.checkVersionURL(ctx, *ch.VersionURL); err != nil {
			return Application{}, err
		}
	}
	a, err := s.change(ctx, id, func(a *registered) error {
		ch.apply(&a.Application)
		if ch.Client != nil {
			since := a.Client.SecretCreatedAt
			a.Client = *ch.Client
			a.Client.SecretCreatedAt = since
			if !a.Client.hasSecret() {
				a.Client.SecretCreatedAt, a.secretHash = nil, ""
			}
		}
		return nil
	})
	if err != nil {
		return Application{}, err
	}
	if ch.Client != nil || ch.Open != nil && !*ch.Open {
		if err := s.endTokens(ctx, id); err != nil {
			return Application{}, err
		}
	}
	return a, nil
}

// Delete removes applications with all that hangs on them, and tells which ids
// there were none of.
func (s *Service) Delete(ctx context.Context, ids []string) (deleted, missing []string, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	apps := maps.Clone(*s.apps.Load())
	deleted, missing = []string{}, []string{}
	for _, id := range ids {
		if _, ok := apps[id]; ok {
			deleted = append(deleted, id)
			delete(apps, id)
		} else if !slices.Contains(deleted, id) {
			missing = append(missing, id)
		}
	}
	if len(deleted) == 0 {
		return deleted, missing, nil
	}
	if _, err := s.DB.NewDelete().Table("provider_applications").Where("id IN (?)", bun.In(deleted)).Exec(ctx); err != nil {
		return nil, nil, fmt.Errorf("oidc: delete %d applications: %w", len(deleted), err)
	}
	s.apps.Store(&apps)
	for _, id := range deleted {
		s.Identity.ForgetApplication(id)
	}
	return deleted, missing, nil
}

// NewSecret gives a client a new secret, which replaces the one before at
// once. It is kept nowhere: show it now.
func (s *Service) NewSecret(ctx context.Context, id string) (string, error) {
	secret := random(secretPrefix)
	_, err := s.change(ctx, id, func(a *registered) error {
		if !a.Client.hasSecret() {
			return invalid("only a confidential client with the auth_method %s or %s has a secret: set that first", AuthBasic, AuthPost)
		}
		now := s.Now().UTC().Truncate(time.Millisecond)
		a.Client.SecretCreatedAt, a.secretHash = &now, identity.HashSecret(secret)
		return nil
	})
	if err != nil {
		return "", err
	}
	return secret, nil
}

// SetIcon gives an application an icon, PNG or JPEG of at most 1024 × 1024
// points; nil takes it away.
func (s *Service) SetIcon(ctx context.Context, id string, data []byte) error {
	kind := ""
	if data != nil {
		cfg, format, err := image.DecodeConfig(bytes.NewReader(data))
		switch {
		case len(data) > MaxIcon:
			return invalid("the icon has %d bytes; at most %d are allowed", len(data), MaxIcon)
		case err != nil:
			return invalid("the icon is neither PNG nor JPEG")
		case cfg.Width > maxIconSide || cfg.Height > maxIconSide:
			return invalid("the icon is %d × %d points; at most %d × %d are allowed", cfg.Width, cfg.Height, maxIconSide, maxIconSide)
		}
		kind = "image/" + format
	}
	if _, ok := s.application(id); !ok {
		return notFound(id)
	}
	if _, err := s.DB.ExecContext(ctx, "UPDATE provider_applications SET icon = ?, icon_type = ? WHERE id = ?", data, kind, id); err != nil {
		return fmt.Errorf("oidc: keep the icon of %s: %w", id, err)
	}
	_, err := s.change(ctx, id, func(a *registered) error {
		a.IconURL = ""
		if kind != "" {
			a.IconURL = "/api/v1/applications/" + id + "/icon"
		}
		return nil
	})
	return err
}

// Icon returns an application's icon and its media type.
func (s *Service) Icon(ctx context.Context, id string) (data []byte, kind string, err error) {
	err = s.DB.Read.QueryRowContext(ctx, "SELECT icon, icon_type FROM provider_applications WHERE id = ? AND icon_type <> ''", id).Scan(&data, &kind)
	if err != nil {
		return nil, "", notFound(id)
	}
	return data, kind, nil
}

// random makes a secret of 256 random bits.
func random(prefix string) string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails since Go 1.24
	return prefix + base64.RawURLEncoding.EncodeToString(b)
}

func newID(prefix string) string {
	b := make([]byte, 10)
	_, _ = rand.Read(b)
	return prefix + hex.EncodeToString(b)
}
