package duty

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/reach"
	"icewatch/ticketing"
	"icewatch/ticketing/linktoken"
)

// A link acknowledges one incident, in one person's name, once, for a time. It
// is signed, so that a made-up one costs no look into the database, and its
// record says whether it was used. Opening it shows what it would do and
// changes nothing: mail filters and chat programs open links on their own.

const (
	kindKey   = "duty-link"
	keyID     = "1"
	linkLives = 24 * time.Hour
	// LinkPath is where links lead; the token comes behind it, in base32:
	// paths that need no sign-in take 64 letters, digits and hyphens at most,
	// and it has as many.
	LinkPath = "/api/v1/duty/acknowledge/"
)

// Errors of links.
var (
	ErrLink     = errors.New("duty: this is no link that the suite made")
	ErrExpired  = errors.New("duty: the link is too old")
	ErrLinkUsed = errors.New("duty: the link was used")
	ErrLinkOver = errors.New("duty: the incident was opened anew since: a newer link counts")
)

type linkRow struct {
	bun.BaseModel `bun:"table:duty_links,alias:l"`
	ID            string `bun:"id,pk"`
	Incident      string `bun:"incident"`
	Episode       int64  `bun:"episode"`
	Person        string `bun:"person"`
	ExpiresAt     int64  `bun:"expires_at"`
	UsedAt        int64  `bun:"used_at"`
}

// openKey reads the key of links, or makes it.
func (s *Store) openKey(ctx context.Context) error {
	place := kindKey + ":" + keyID
	return s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		var sealed []string
		if err := tx.NewRaw("SELECT secret FROM duty_keys WHERE id = ?", keyID).Scan(ctx, &sealed); err != nil {
			return fmt.Errorf("duty: read the key of links: %w", err)
		}
		if len(sealed) == 1 {
			plain, err := s.deps.Seal.OpenString(sealed[0], place)
			if err != nil {
				return fmt.Errorf("duty: open the key of links: %w", err)
			}
			s.key = linktoken.Key(plain)
			return nil
		}
		key := linktoken.NewKey()
		secret, err := s.deps.Seal.SealString(string(key), place)
		if err != nil {
			return fmt.Errorf("duty: seal the key of links: %w", err)
		}
		if _, err := tx.NewRaw("INSERT INTO duty_keys (id, secret) VALUES (?, ?)", keyID, secret).Exec(ctx); err != nil {
			return fmt.Errorf("duty: write the key of links: %w", err)
		}
		s.key = key
		return nil
	})
}

// link makes a link for a person, within the transaction that tells him.
func (s *Store) link(ctx context.Context, tx bun.Tx, w ticketing.Waiting, person string, now time.Time) (string, error) {
	var id [linktoken.IDBytes]byte
	_, _ = rand.Read(id[:]) // it never fails
	expires := now.Add(linkLives)
	row := linkRow{ID: hex.EncodeToString(id[:]), Incident: w.ID, Episode: w.Episode, Person: person, ExpiresAt: expires.UnixMilli()}
	if _, err := tx.NewInsert().Model(&row).Returning("NULL").Exec(ctx); err != nil {
		return "", fmt.Errorf("duty: write a link: %w", err)
	}
	return strings.TrimRight(s.deps.URL, "/") + LinkPath + s.key.Sign(id, expires), nil
}

// read checks a token and finds its record.
func (s *Store) read(ctx context.Context, token string) (linkRow, error) {
	id, expires, err := s.key.Read(token)
	if err != nil {
		return linkRow{}, ErrLink
	}
	if !s.now().Before(expires) {
		return linkRow{}, ErrExpired
	}
	var rows []linkRow
	if err := s.db.NewSelect().Model(&rows).Where("id = ?", hex.EncodeToString(id[:])).Scan(ctx); err != nil {
		return linkRow{}, fmt.Errorf("duty: read a link: %w", err)
	}
	if len(rows) == 0 {
		return linkRow{}, ErrExpired
	}
	return rows[0], nil
}

// Preview is what a link would do.
type Preview struct {
	Person    string
	Incident  ticketing.Incident
	ExpiresAt time.Time
}

// Link says what a link would do, and changes nothing. The error says why it
// would do nothing; the preview is filled in as far as it is the person's to
// know. reachOf says what the person may see now.
func (s *Store) Link(ctx context.Context, token string, reachOf func(ctx context.Context, person string) (reach.Reach, error)) (Preview, error) {
	_, p, err := s.usable(ctx, token, reachOf)
	return p, err
}

func (s *Store) usable(ctx context.Context, token string, reachOf func(ctx context.Context, person string) (reach.Reach, error)) (linkRow, Preview, error) {
	row, err := s.read(ctx, token)
	if err != nil {
		return row, Preview{}, err
	}
	within, err := reachOf(ctx, row.Person)
	if err != nil {
		return row, Preview{}, err
	}
	p := Preview{Person: row.Person, ExpiresAt: time.UnixMilli(row.ExpiresAt).UTC()}
	i, err := s.deps.Incidents.Incident(ctx, within, row.Incident)
	if err != nil {
		return row, p, err
	}
	p.Incident = i.Incident
	if row.UsedAt > 0 {
		return row, p, ErrLinkUsed
	}
	if i.Status == ticketing.StatusOpen {
		w, waits, err := s.deps.Incidents.StillWaiting(ctx, s.db, row.Incident)
		if err != nil {
			return row, p, err
		}
		if waits && w.Episode != row.Episode {
			return row, p, ErrLinkOver
		}
	}
	return row, p, nil
}

// UseLink acknowledges the incident of a link in the person's name. That
// happens once: an incident that is acknowledged already is ticketing.Conflict,
// which says by whom.
func (s *Store) UseLink(ctx context.Context, token string, reachOf func(ctx context.Context, person string) (reach.Reach, error)) (Preview, error) {
	row, p, err := s.usable(ctx, token, reachOf)
	if err != nil {
		return p, err
	}
	within, err := reachOf(ctx, row.Person)
	if err != nil {
		return p, err
	}
	done, err := s.deps.Incidents.AcknowledgeIncident(ctx, ticketing.Actor{Name: row.Person, Reach: within}, row.Incident, "")
	if err != nil {
		return p, err
	}
	p.Incident = done
	// Whoever is called again after this would find the incident acknowledged
	// anyway; the mark is for the page, and for one that was opened anew.
	if _, err := s.db.NewUpdate().Model((*linkRow)(nil)).Set("used_at = ?", s.now().UnixMilli()).Where("id = ?", row.ID).Exec(ctx); err != nil {
		s.deps.Log.Error("duty: a link that was used is not marked", "incident", row.Incident, "error", err)
	}
	s.nudge()
	return p, nil
}
