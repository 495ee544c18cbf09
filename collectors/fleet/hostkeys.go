package fleet

import (
	"context"
	"time"

	"icewatch/collectors/fleet/roster"
)

// HostKey is the key that a host is known by.
type HostKey struct {
	ID          string    `json:"id"`
	Tenant      string    `json:"tenant"`
	Address     string    `json:"address"`
	Type        string    `json:"type"`
	Fingerprint string    `json:"fingerprint"`
	Line        string    `json:"line" doc:"In the form of authorized_keys"`
	By          string    `json:"by" doc:"Who looked at it and trusted it"`
	At          time.Time `json:"at"`
}

func hostKeyID(tenant, address string) string { return tenant + "/" + address }

// TrustedKey names a host's key that a person looked at.
type TrustedKey struct {
	Address     string `json:"address" maxLength:"270"`
	Fingerprint string `json:"fingerprint" maxLength:"64" doc:"As it was shown"`
}

// TrustKeys has hosts known from now on by the keys that they showed, and goes on with them.
func (s *Service) TrustKeys(ctx context.Context, a Asker, id string, keys []TrustedKey) (DeploymentView, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	now := s.now().UTC()
	var docs []roster.Document
	var fresh []*HostKey
	s.mu.Lock()
	d, err := s.deployment(a, id)
	if err == nil {
		for _, k := range keys {
			h := d.host(k.Address)
			if h == nil || h.State != DeployKey || h.Key == nil || h.Key.Fingerprint != k.Fingerprint {
				err = conflict("the host %s does not wait with the key %s: look at it again", clip(k.Address, 270), clip(k.Fingerprint, 64))
				break
			}
			x := &HostKey{ID: hostKeyID(d.Tenant, h.Address), Tenant: d.Tenant, Address: h.Address, Type: h.Key.Type, Fingerprint: h.Key.Fingerprint, Line: h.Key.Line, By: a.Name, At: now}
			fresh = append(fresh, x)
			docs = append(docs, roster.Document{Kind: roster.KindHostKey, ID: x.ID, Tenant: x.Tenant, Data: x})
		}
		if len(s.hostKeys)+len(fresh) > maxHostKeys {
			err = conflict("%d hosts are known already: forget old ones", len(s.hostKeys))
		}
	}
	s.mu.Unlock()
	if err != nil {
		return DeploymentView{}, err
	}
	if err := s.store.Write(ctx, docs...); err != nil {
		return DeploymentView{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range fresh {
		s.hostKeys[k.ID] = k
		s.note(roster.Operation{Tenant: k.Tenant, Object: "host-key:" + k.ID, Kind: "host-key-trusted", Actor: a.Name, OK: true, Text: k.Address + " " + k.Type + " " + k.Fingerprint})
		if h := d.host(k.Address); h.State == DeployKey {
			h.State, h.Key, h.Text, h.At = DeployWaiting, nil, "", now
		}
	}
	d.dirty = true
	return d.view(), nil
}

// HostKeys lists the keys that hosts are known by.
func (s *Service) HostKeys(a Asker) []HostKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []HostKey{}
	for _, k := range sorted(s.hostKeys) {
		if a.may(k.Tenant) {
			out = append(out, *k)
		}
	}
	return out
}

// ForgetHostKey has a host be unknown again, such as one that was set up anew.
func (s *Service) ForgetHostKey(ctx context.Context, a Asker, tenant, address string) (HostKey, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.Lock()
	k := s.hostKeys[hostKeyID(tenant, address)]
	s.mu.Unlock()
	if k == nil || !a.may(k.Tenant) {
		return HostKey{}, ErrNotFound
	}
	if err := s.store.Write(ctx, roster.Document{Kind: roster.KindHostKey, ID: k.ID}); err != nil {
		return HostKey{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.hostKeys, k.ID)
	s.note(roster.Operation{Tenant: k.Tenant, Object: "host-key:" + k.ID, Kind: "host-key-forgotten", Actor: a.Name, OK: true, Text: k.Address + " " + k.Fingerprint})
	return *k, nil
}
