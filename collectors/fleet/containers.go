package fleet

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"icewatch/collectors/fleet/roster"
	"icewatch/collectors/fleet/wire"
)

// maxHeld bounds the containers of one host.
const maxHeld = 1000

// held are the containers of a host.
type held struct {
	Taken      int64            `json:"taken"`
	Containers []wire.Container `json:"containers"`
}

// FleetContainer is a container on a host.
type FleetContainer struct {
	wire.Container
	Agent  string    `json:"agent" doc:"Id of the host"`
	Host   string    `json:"host"`
	Tenant string    `json:"tenant"`
	Online bool      `json:"online" doc:"The host's agent is: what it told may be old else"`
	Taken  time.Time `json:"taken" doc:"When it was so"`
}

// ContainerQuery chooses containers. What is empty does not narrow.
type ContainerQuery struct {
	Text    string // words that occur in name, image, pod, namespace, host, service, address, port or id
	State   string
	Service string // that was found in it, or that the image is
	Agent   string
	Tenant  string
	Engine  string
}

// keepContainers keeps the containers of an inventory. One that could not read them changes nothing.
func (s *Service) keepContainers(ctx context.Context, id string, inv *wire.Inventory) error {
	if slices.ContainsFunc(inv.Errors, func(r wire.Reason) bool { return r.Part == "containers" }) && len(inv.Containers) == 0 {
		return nil
	}
	s.mu.Lock()
	m := s.agents[id]
	was := m != nil && m.held != nil
	tenant := ""
	if m != nil {
		tenant = m.Tenant
	}
	s.mu.Unlock()
	if m == nil {
		return ErrRevoked
	}
	if len(inv.Containers) == 0 && !was {
		return nil // Most hosts have none.
	}
	h := &held{Taken: inv.Taken, Containers: slices.Clone(inv.Containers[:min(len(inv.Containers), maxHeld)])}
	if err := s.store.Write(ctx, roster.Document{Kind: roster.KindContainers, ID: id, Tenant: tenant, Data: h}); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.agents[id]; m != nil {
		m.held = h
	}
	return nil
}

func (q *ContainerQuery) match(c *FleetContainer) bool {
	for _, x := range []struct{ want, have string }{{q.State, c.State}, {q.Agent, c.Agent}, {q.Tenant, c.Tenant}, {q.Engine, c.Engine}} {
		if x.want != "" && x.want != x.have {
			return false
		}
	}
	if q.Service != "" && c.Service != q.Service && !slices.ContainsFunc(c.Services, func(x wire.ContainerService) bool { return x.Service == q.Service }) {
		return false
	}
	for _, word := range strings.Fields(strings.ToLower(q.Text)) {
		has := func(texts ...string) bool {
			return slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(strings.ToLower(t), word) })
		}
		if !has(c.Name, c.Image, c.Pod, c.Namespace, c.Host, c.Service) && !has(c.Addresses...) && !strings.HasPrefix(c.ID, word) &&
			!slices.ContainsFunc(c.Services, func(x wire.ContainerService) bool {
				return has(x.Service, x.Process, x.Published) || strconv.Itoa(x.Port) == word
			}) {
			return false
		}
	}
	return true
}

// Containers lists the containers on hosts within reach, by host, pod and name.
func (s *Service) Containers(a Asker, q ContainerQuery) []FleetContainer {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	out := []FleetContainer{}
	for _, m := range s.agents {
		if m.held == nil || !a.may(m.Tenant) || !m.RevokedAt.IsZero() {
			continue
		}
		st := m.standing(now)
		for _, c := range m.held.Containers {
			x := FleetContainer{Container: c, Agent: m.ID, Host: m.Name, Tenant: m.Tenant, Online: st != Offline && st != Never, Taken: time.Unix(m.held.Taken, 0).UTC()}
			if q.match(&x) {
				out = append(out, x)
			}
		}
	}
	slices.SortFunc(out, func(x, y FleetContainer) int {
		return cmp.Or(cmp.Compare(x.Host, y.Host), cmp.Compare(x.Agent, y.Agent), cmp.Compare(x.Namespace, y.Namespace), cmp.Compare(x.Pod, y.Pod), cmp.Compare(x.Name, y.Name), cmp.Compare(x.ID, y.ID))
	})
	return out
}

// ContainerFigures count containers.
type ContainerFigures struct {
	Hosts    int            `json:"hosts" doc:"That have containers"`
	Total    int            `json:"total"`
	States   map[string]int `json:"states"`
	Services map[string]int `json:"services" doc:"Containers that run, by service that was found in them or that their image is"`
	Images   int            `json:"images" doc:"Different images"`
	Unwell   int            `json:"unhealthy" doc:"Whose health check fails"`
}

// ContainerFigures counts the containers within reach.
func (s *Service) ContainerFigures(a Asker) ContainerFigures {
	f := ContainerFigures{States: map[string]int{}, Services: map[string]int{}}
	hosts, images := map[string]bool{}, map[string]bool{}
	for _, c := range s.Containers(a, ContainerQuery{}) {
		f.Total++
		hosts[c.Agent], images[c.Image] = true, true
		f.States[cmp.Or(c.State, "unknown")]++
		if c.Health == "unhealthy" {
			f.Unwell++
		}
		if c.State != "running" {
			continue
		}
		seen := map[string]bool{}
		for _, x := range append([]wire.ContainerService{{Service: c.Service}}, c.Services...) {
			if x.Service != "" && !seen[x.Service] {
				seen[x.Service] = true
				f.Services[x.Service]++
			}
		}
	}
	f.Hosts, f.Images = len(hosts), len(images)
	return f
}
