package cmdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"icewatch/soc/reach"
)

// The relations of persons that contacts come from.
const responsibleFor = "responsible_for"

// Contact is somebody to turn to about an item.
type Contact struct {
	Name    string `json:"name"`
	Role    string `json:"role" enum:"owner,responsible,contact,unit" doc:"owner: whom the item or its system names; responsible: a person that looks after it; contact: of its system's list; unit: of its organisation"`
	Duty    string `json:"duty,omitempty" doc:"What the ledger calls it"`
	Of      Ref    `json:"of" doc:"The item that names the person"`
	Unit    string `json:"unit,omitempty" doc:"Name of the organisation"`
	Phone   string `json:"phone,omitempty"`
	Mail    string `json:"mail,omitempty"`
	Account string `json:"account,omitempty" doc:"Username in the suite"`
	Person  string `json:"person,omitempty" doc:"Id of the person's item"`
}

// Contacts lists whom to turn to about an item in reach, the nearest first: its
// owner, persons responsible for it, then those of its system and its unit. Of
// what is not in reach nobody is named beyond what the item's card tells.
func (s *Service) Contacts(ctx context.Context, r reach.Reach, id string) ([]Contact, error) {
	card, err := s.Card(ctx, r, id)
	if err != nil {
		return nil, err
	}
	c := contacts{s: s, ctx: ctx, within: r, seen: map[string]bool{}, list: []Contact{}}
	of := *refOf(&card.Item)
	unit := ""
	if card.Organisation != nil {
		unit = card.Organisation.Name
	}
	if card.Item.Class == "person" {
		return append(c.list, personContact(&card.Item, "responsible", of, unit)), nil
	}
	if card.Owner != "" {
		if card.Item.Owner == "" && card.System != nil {
			of = *card.System
		}
		if err := c.owners(card.Owner, of, unit); err != nil {
			return nil, err
		}
	}
	if err := c.item(&card.Item, unit); err != nil {
		return nil, err
	}
	for _, above := range []*Ref{card.System, card.Organisation} {
		if above == nil || above.ID == id {
			continue
		}
		it, err := s.Get(ctx, r, above.ID)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := c.item(&it, unit); err != nil {
			return nil, err
		}
	}
	return c.list, nil
}

// contacts gathers people, each once.
type contacts struct {
	s      *Service
	ctx    context.Context
	within reach.Reach
	seen   map[string]bool
	list   []Contact
}

func (c *contacts) add(x Contact) {
	x.Name = strings.TrimSpace(x.Name)
	if x.Name == "" || c.seen[x.Name] {
		return
	}
	c.seen[x.Name] = true
	c.list = append(c.list, x)
}

// owners adds those that an owner field names: persons of the ledger with all
// that it knows of them, others by name.
func (c *contacts) owners(owner string, of Ref, unit string) error {
	for _, name := range strings.FieldsFunc(owner, func(r rune) bool { return strings.ContainsRune(";；,，、/", r) }) {
		name = strings.TrimSpace(name)
		if name == "" {
			continue
		}
		page, err := c.s.Items(c.ctx, c.within, Filter{Classes: []string{"person"}, Query: name, Limit: 100})
		if err != nil {
			return err
		}
		x := Contact{Name: name, Role: "owner", Of: of, Unit: unit}
		for i := range page.Items {
			if p := &page.Items[i]; p.Name == name || p.Attributes["account"] == name {
				x = personContact(p, "owner", of, unit)
				break
			}
		}
		c.add(x)
	}
	return nil
}

// item adds the persons responsible for an item, and those that it lists itself.
func (c *contacts) item(it *Item, unit string) error {
	of := *refOf(it)
	page, err := c.s.RelationsOf(c.ctx, c.within, it.ID, RelationFilter{Type: responsibleFor, Direction: "backward", Limit: 50})
	if err != nil {
		return err
	}
	for _, rel := range page.Relations {
		p, err := c.s.Get(c.ctx, c.within, rel.Item.ID)
		if errors.Is(err, ErrNotFound) {
			continue // it went out of reach this very moment
		}
		if err != nil {
			return err
		}
		c.add(personContact(&p, "responsible", of, unit))
	}
	if text := it.Attributes["contacts"]; text != "" {
		var rows []struct{ Name, Role, Phone string }
		if err := json.Unmarshal([]byte(text), &rows); err != nil {
			return fmt.Errorf("cmdb: contacts of %q: %w", it.ID, err)
		}
		for _, row := range rows {
			c.add(Contact{Name: row.Name, Role: "contact", Duty: row.Role, Of: of, Unit: unit, Phone: row.Phone})
		}
	}
	if it.Class == Organisation {
		c.add(Contact{Name: it.Attributes["contact"], Role: "unit", Of: of, Unit: it.Name, Phone: it.Attributes["phone"], Mail: it.Attributes["email"]})
	}
	return nil
}

func personContact(p *Item, role string, of Ref, unit string) Contact {
	a := p.Attributes
	return Contact{Name: p.Name, Role: role, Duty: a["job_title"], Of: of, Unit: unit, Phone: a["phone"], Mail: a["email"], Account: a["account"], Person: p.ID}
}
