package scenario

import (
	"context"
	"embed"
	"time"

	"icewatch/soc/editions"
	"icewatch/soc/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Kept is a scenario with what is known of its text.
type Kept = editions.Kept[Content]

// Store keeps the scenarios in SQL with all their versions: those that are shipped
// in their order, then those that people made by name. One that is shipped can be
// changed and switched off, but not be deleted. It is safe for concurrent use.
type Store struct{ *editions.Store[Content] }

// Open brings the table up to date.
func Open(ctx context.Context, db *state.DB, clock func() time.Time) (*Store, error) {
	if err := db.Migrate(ctx, "scenario", migrations); err != nil {
		return nil, err
	}
	return &Store{editions.Open(db, clock, editions.Kind[Content]{Table: "scenario_versions", Noun: "scenario", Most: MaxScenarios, NotFound: ErrNotFound, Invalid: ErrInvalid,
		Check: (*Content).Check, Name: func(c *Content) string { return c.Name.ZH + c.Name.EN },
		Shipped: func() []Kept {
			list := shipped()
			out := make([]Kept, 0, len(list))
			for _, s := range list {
				out = append(out, Kept{ID: s.ID, Content: s.Content})
			}
			return out
		}})}, nil
}

// keeping are scenarios as Put takes them.
func keeping(list []Scenario) []Kept {
	out := make([]Kept, 0, len(list))
	for _, s := range list {
		out = append(out, Kept{ID: s.ID, Content: s.Content})
	}
	return out
}

// Put makes scenarios, all or none: one whose id is there is changed, another is
// made. may is asked about each that is changed as it was before.
func (s *Store) Put(ctx context.Context, actor string, list []Scenario, may func(old *Kept) error) ([]Kept, error) {
	return s.Store.Put(ctx, actor, keeping(list), may)
}
