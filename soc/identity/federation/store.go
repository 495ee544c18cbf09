package federation

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/identity/federation/ldap"
	"icewatch/soc/identity/federation/oidc"
	"icewatch/soc/identity/federation/peer"
	"icewatch/soc/identity/federation/saml"
)

// providerRow is a provider as SQL holds it.
type providerRow struct {
	bun.BaseModel `bun:"table:federation_providers,alias:p"`

	ID        string `bun:"id,pk"`
	Doc       string `bun:"doc"`
	Secrets   string `bun:"secrets"`
	Metadata  string `bun:"metadata"`
	CreatedAt int64  `bun:"created_at"`
	UpdatedAt int64  `bun:"updated_at"`
}

// load reads all providers.
func (s *Service) load(ctx context.Context) error {
	var rows []providerRow
	if err := s.DB.NewSelect().Model(&rows).Scan(ctx); err != nil {
		return fmt.Errorf("federation: read the providers: %w", err)
	}
	for i := range rows {
		e, err := s.entry(&rows[i])
		if err != nil {
			return err
		}
		s.known[e.ID] = e
	}
	return nil
}

func (s *Service) entry(r *providerRow) (*entry, error) {
	e := &entry{metadata: r.Metadata}
	if err := json.Unmarshal([]byte(r.Doc), &e.Provider); err != nil {
		return nil, fmt.Errorf("federation: the stored provider %s: %w", r.ID, err)
	}
	plain, err := s.Seal.OpenString(r.Secrets, "identity-provider:"+r.ID)
	if err != nil {
		return nil, fmt.Errorf("federation: the secrets of the provider %s: %w", r.ID, err)
	}
	if err := json.Unmarshal([]byte(plain), &e.secrets); err != nil {
		return nil, fmt.Errorf("federation: the secrets of the provider %s: %w", r.ID, err)
	}
	e.CreatedAt, e.UpdatedAt = time.UnixMilli(r.CreatedAt).UTC(), time.UnixMilli(r.UpdatedAt).UTC()
	return e, nil
}

// view is the provider as administrators see it: without secrets, with what is
// to be registered at the peer.
func (s *Service) view(ctx context.Context, e *entry) (Provider, error) {
	p, err := e.clone()
	if err != nil {
		return p, err
	}
	switch p.Kind {
	case KindOIDC:
		p.OIDC.ClientSecretSet = e.secrets.ClientSecret != ""
		p.OIDC.RedirectURI, p.OIDC.BackChannelURI, p.OIDC.PostLogoutURI = e.address("callback"), e.address("backchannel"), e.BaseURL+"/login"
	case KindSAML:
		p.SAML.EntityID, p.SAML.ACS = e.address("metadata"), e.address("acs")
		if sp, err := s.samlProvider(e); err == nil {
			p.SAML.PeerEntityID = sp.EntityID()
		}
	case KindLDAP:
		p.LDAP.BindPasswordSet = e.secrets.BindPassword != ""
		runs, err := s.Syncs(ctx, p.ID, 1)
		if err != nil {
			return p, err
		}
		if len(runs) > 0 {
			p.LastSync = &runs[0]
		}
	}
	return p, nil
}

// clone copies a provider so that a change of the copy does not show.
func (e *entry) clone() (Provider, error) {
	var p Provider
	doc, err := json.Marshal(e.Provider)
	if err == nil {
		err = json.Unmarshal(doc, &p)
	}
	if err != nil {
		return p, fmt.Errorf("federation: copy the provider %s: %w", e.ID, err)
	}
	return p, nil
}

// Providers lists the providers by id.
func (s *Service) Providers(ctx context.Context) ([]Provider, error) {
	s.mu.RLock()
	list := make([]*entry, 0, len(s.known))
	for _, e := range s.known {
		list = append(list, e)
	}
	s.mu.RUnlock()
	slices.SortFunc(list, func(a, b *entry) int { return strings.Compare(a.ID, b.ID) })
	out := make([]Provider, 0, len(list))
	for _, e := range list {
		p, err := s.view(ctx, e)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// Provider returns one provider.
func (s *Service) Provider(ctx context.Context, id string) (Provider, error) {
	e, err := s.get(id)
	if err != nil {
		return Provider{}, err
	}
	return s.view(ctx, e)
}

// Create keeps a new provider.
func (s *Service) Create(ctx context.Context, p Provider) (Provider, error) {
	if _, err := s.get(p.ID); err == nil {
		return Provider{}, fmt.Errorf("%w: %q", ErrExists, p.ID)
	}
	e := &entry{Provider: p}
	e.CreatedAt = s.now().UTC()
	return s.put(ctx, e, true)
}

// Update lays a JSON document over a provider.
func (s *Service) Update(ctx context.Context, id string, patch []byte) (Provider, error) {
	old, err := s.get(id)
	if err != nil {
		return Provider{}, err
	}
	p, err := old.clone()
	if err != nil {
		return Provider{}, err
	}
	if err := p.merge(patch); err != nil {
		return Provider{}, err
	}
	if p.SAML != nil && old.SAML != nil {
		p.SAML.Certificate = old.SAML.Certificate
	}
	e := &entry{Provider: p, secrets: old.secrets, metadata: old.metadata}
	// A secret goes where it was meant to go: whoever points the provider at
	// another server must know it.
	if p.LDAP != nil && p.LDAP.BindPassword == "" && (p.LDAP.URL != old.LDAP.URL || p.LDAP.BindDN != old.LDAP.BindDN) && old.secrets.BindPassword != "" {
		return Provider{}, invalid("ldap.bind_password", "give it again: url or bind_dn change, and the password kept is for the old ones")
	}
	if p.OIDC != nil && p.OIDC.ClientSecret == "" && p.OIDC.Issuer != old.OIDC.Issuer && old.secrets.ClientSecret != "" {
		return Provider{}, invalid("oidc.client_secret", "give it again: the issuer changes, and the secret kept is for the old one")
	}
	e.CreatedAt = old.CreatedAt
	return s.put(ctx, e, false)
}

// put checks a provider, makes it durable and puts it in force.
func (s *Service) put(ctx context.Context, e *entry, fresh bool) (Provider, error) {
	p := &e.Provider
	if err := p.complete(s.ExternalURL); err != nil {
		return Provider{}, err
	}
	p.takeSecrets(&e.secrets)
	if err := s.checkMapping(ctx, p); err != nil {
		return Provider{}, err
	}
	switch p.Kind {
	case KindOIDC:
		if err := s.Egress.Check(ctx, p.OIDC.Issuer); err != nil {
			return Provider{}, invalid("oidc.issuer", "%v", err)
		}
		if _, err := roots("oidc.ca", p.OIDC.CA); err != nil {
			return Provider{}, err
		}
	case KindSAML:
		if err := s.prepareSAML(ctx, e); err != nil {
			return Provider{}, err
		}
	case KindLDAP:
		if _, err := s.directory(e); err != nil {
			return Provider{}, err
		}
	}
	e.UpdatedAt = s.now().UTC()
	p.LastSync = nil
	doc, err := json.Marshal(p)
	if err != nil {
		return Provider{}, fmt.Errorf("federation: %w", err)
	}
	plain, err := json.Marshal(e.secrets)
	if err != nil {
		return Provider{}, fmt.Errorf("federation: %w", err)
	}
	sealed, err := s.Seal.SealString(string(plain), "identity-provider:"+p.ID)
	if err != nil {
		return Provider{}, err
	}
	row := &providerRow{ID: p.ID, Doc: string(doc), Secrets: sealed, Metadata: e.metadata, CreatedAt: p.CreatedAt.UnixMilli(), UpdatedAt: p.UpdatedAt.UnixMilli()}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.known[p.ID]; there == fresh {
		if fresh {
			return Provider{}, fmt.Errorf("%w: %q", ErrExists, p.ID)
		}
		return Provider{}, fmt.Errorf("%w: %q", ErrNotFound, p.ID)
	}
	if fresh {
		_, err = s.DB.NewInsert().Model(row).Exec(ctx)
	} else {
		_, err = s.DB.NewUpdate().Model(row).WherePK().Exec(ctx)
	}
	if err != nil {
		return Provider{}, fmt.Errorf("federation: keep the provider %s: %w", p.ID, err)
	}
	s.known[p.ID] = e
	out, err := e.clone()
	if err != nil {
		return Provider{}, err
	}
	out.UpdatedAt = e.UpdatedAt
	return out, nil
}

// checkMapping refuses roles and tenants that nobody could be given.
func (s *Service) checkMapping(ctx context.Context, p *Provider) error {
	grant := func(field string, roles, tenants []string, unit string) error {
		if err := s.checkGrant(ctx, roles, tenants); err != nil {
			return invalid(field, "%v", err)
		}
		if unit != "" {
			if _, ok := s.Units.Tree().Get(unit); !ok {
				return invalid(field, "there is no unit %q", unit)
			}
		}
		return nil
	}
	if err := grant("mapping.default_roles", p.Mapping.DefaultRoles, p.Mapping.DefaultTenants, p.Mapping.DefaultUnit); err != nil {
		return err
	}
	for i, r := range p.Mapping.Rules {
		if err := grant(fmt.Sprintf("mapping.rules[%d]", i), r.Roles, r.Tenants, r.Unit); err != nil {
			return err
		}
	}
	if p.Sync.RootUnit != "" {
		return grant("sync.root_unit", nil, nil, p.Sync.RootUnit)
	}
	return nil
}

// checkGrant asks for the roles only where there are some: a rule may give a
// unit alone.
func (s *Service) checkGrant(ctx context.Context, roles, tenants []string) error {
	if len(roles) == 0 {
		return nil
	}
	return s.Accounts.CheckGrant(ctx, roles, tenants)
}

// prepareSAML makes our key, reads the metadata and checks both.
func (s *Service) prepareSAML(ctx context.Context, e *entry) error {
	if e.secrets.Key == "" {
		key, cert, err := saml.NewKey("icewatch "+e.ID, s.now())
		if err != nil {
			return fmt.Errorf("federation: %w", err)
		}
		e.secrets.Key, e.SAML.Certificate = string(key), string(cert)
	}
	if e.SAML.MetadataURL != "" {
		data, err := s.fetchMetadata(ctx, e.SAML)
		if err != nil {
			return invalid("saml.metadata_url", "%v", err)
		}
		e.metadata = string(data)
	} else {
		e.metadata = ""
	}
	_, err := s.samlProvider(e)
	return err
}

// fetchMetadata reads a provider's metadata from its address.
func (s *Service) fetchMetadata(ctx context.Context, c *SAML) ([]byte, error) {
	pool, err := roots("saml.ca", c.CA)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.MetadataURL, nil)
	if err != nil {
		return nil, err
	}
	resp, err := s.Egress.ClientTrusting(dialTime, pool).Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", c.MetadataURL, resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, saml.MaxMetadata+1))
	if err != nil {
		return nil, err
	}
	if _, err := saml.ParseMetadata(data); err != nil {
		return nil, err
	}
	return data, nil
}

// refreshMetadata reads the metadata of providers anew that have an address for
// it, so that a change of their keys is noticed. What cannot be read leaves the
// old in force.
func (s *Service) refreshMetadata(ctx context.Context) {
	s.mu.RLock()
	var due []*entry
	for _, e := range s.known {
		if e.Kind == KindSAML && e.Enabled && e.SAML.MetadataURL != "" {
			due = append(due, e)
		}
	}
	s.mu.RUnlock()
	for _, e := range due {
		e.mu.Lock()
		late := s.now().Sub(latest(e.at, e.UpdatedAt)) >= metadataEvery
		if late {
			e.at = s.now()
		}
		e.mu.Unlock()
		if !late {
			continue
		}
		data, err := s.fetchMetadata(ctx, e.SAML)
		if err == nil {
			_, err = s.DB.ExecContext(ctx, "UPDATE federation_providers SET metadata = ? WHERE id = ?", string(data), e.ID)
		}
		if err != nil {
			s.Log.Warn("federation: the provider's metadata could not be read anew: the old is still used", "provider", e.ID, "url", e.SAML.MetadataURL, "error", err)
			continue
		}
		e.mu.Lock()
		e.metadata, e.saml = string(data), nil
		e.mu.Unlock()
	}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Delete removes a provider. Its accounts stay, since what they did refers to
// them, and are disabled: nobody can sign in to them any more.
func (s *Service) Delete(ctx context.Context, id string) (disabled int, err error) {
	if _, err := s.get(id); err != nil {
		return 0, err
	}
	accounts, err := s.Accounts.ExternalAccounts(ctx, id)
	if err != nil {
		return 0, err
	}
	subjects := make([]string, 0, len(accounts))
	for _, a := range accounts {
		if !a.Disabled {
			subjects = append(subjects, a.Subject)
		}
	}
	if err := s.Accounts.DisableExternal(ctx, id, subjects); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if stop := s.running[id]; stop != nil {
		stop()
	}
	err = s.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		for _, q := range []string{"DELETE FROM federation_providers WHERE id = ?", "DELETE FROM federation_syncs WHERE provider = ?", "DELETE FROM federation_sessions WHERE provider = ?"} {
			if _, err := tx.ExecContext(ctx, q, id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("federation: remove the provider %s: %w", id, err)
	}
	delete(s.known, id)
	return len(subjects), nil
}

// Test connects to a provider and says what is wrong.
func (s *Service) Test(ctx context.Context, id string) ([]peer.Check, error) {
	e, err := s.get(id)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	switch e.Kind {
	case KindOIDC:
		cfg, err := s.oidcConfig(e)
		if err != nil {
			return nil, err
		}
		return oidc.Test(ctx, cfg), nil
	case KindSAML:
		cfg, err := s.samlConfig(e)
		if err != nil {
			return nil, err
		}
		if e.SAML.MetadataURL != "" {
			data, err := s.fetchMetadata(ctx, e.SAML)
			if err != nil {
				return []peer.Check{peer.Failed("connect", err)}, nil
			}
			cfg.Metadata = data
		}
		return saml.Test(cfg), nil
	}
	var d *ldap.Directory
	if d, err = s.directory(e); err != nil {
		return nil, err
	}
	return d.Test(ctx), nil
}

// used remembers the assertions of one provider in SQL, so that none is taken
// twice, not even across a restart.
type used struct {
	s        *Service
	provider string
}

// Consume implements saml's AssertionReplayCache.
func (u used) Consume(id string, expires time.Time) error {
	fresh, err := u.s.once(context.Background(), u.provider, id, expires)
	if err == nil && !fresh {
		return saml.ErrReplayed
	}
	return err
}

// once notes that a message was used and tells whether that was the first time.
func (s *Service) once(ctx context.Context, provider, id string, expires time.Time) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	res, err := s.DB.ExecContext(ctx, "INSERT INTO federation_used (id, expires_at) VALUES (?, ?) ON CONFLICT (id) DO NOTHING",
		digest(provider, id), expires.UnixMilli())
	if err != nil {
		return false, fmt.Errorf("federation: note that a message was used: %w", err)
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

// session is what signing out at the provider needs to know.
type session struct {
	bun.BaseModel `bun:"table:federation_sessions,alias:s"`

	SessionID   string `bun:"session_id,pk"`
	Provider    string `bun:"provider"`
	Subject     string `bun:"subject"`
	PeerSession string `bun:"peer_session"`
	Hint        string `bun:"hint"`
	CreatedAt   int64  `bun:"created_at"`
}

// takeSession reads and forgets what is known of a session; nil where it did
// not come from a provider.
func (s *Service) takeSession(ctx context.Context, id string) (*session, error) {
	row := new(session)
	err := s.DB.NewSelect().Model(row).Where("s.session_id = ?", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err == nil {
		_, err = s.DB.ExecContext(ctx, "DELETE FROM federation_sessions WHERE session_id = ?", id)
	}
	if err != nil {
		return nil, fmt.Errorf("federation: read where the session %s came from: %w", id, err)
	}
	return row, nil
}
