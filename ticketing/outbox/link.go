package outbox

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/ticketing/linktoken"
)

// A notification of an incident that nobody has acknowledged carries a link that
// does it: once, within a day. That of a group of several acknowledges all of
// them that whoever uses it may acknowledge, and holds until none is left. The link is the notification's delivery id and its
// end, signed, so that making one writes nothing and a made-up one costs no look
// into the database. Opening it changes nothing: mail filters and chat programs
// open links on their own.

// How a contact point's links acknowledge.
const (
	AcknowledgeNone     = "none"      // it gets no links
	AcknowledgeSignedIn = "signed_in" // whoever opens one has to sign in, and acknowledges in his own name
	AcknowledgeAnyone   = "anyone"    // whoever holds one acknowledges, in the contact point's name
)

const (
	linkLives = 24 * time.Hour
	keyID     = "1"
	// LinkPath is where links lead; the token comes behind it: 64 letters and
	// digits of base32.
	LinkPath = "/api/v1/acknowledge/"
)

// Errors of links.
var (
	ErrLink     = errors.New("outbox: this is no link that the suite made")
	ErrLinkOver = errors.New("outbox: the link does not hold any more")
	ErrLinkUsed = errors.New("outbox: the link was used")
)

type keyRow struct {
	bun.BaseModel `bun:"table:outbox_keys,alias:k"`
	ID            string `bun:"id,pk"`
	Secret        string `bun:"secret"`
}

// openKey reads the key of links, or makes it. One that cannot be read any more
// is replaced: what it signed ends within a day anyway.
func (b *Box) openKey(ctx context.Context) error {
	place := kindKey + ":" + keyID
	return b.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		var rows []keyRow
		if err := tx.NewSelect().Model(&rows).Where("id = ?", keyID).Scan(ctx); err != nil {
			return fmt.Errorf("outbox: read the key of links: %w", err)
		}
		if len(rows) == 1 {
			plain, err := b.seal.OpenString(rows[0].Secret, place)
			if err == nil {
				b.key = linktoken.Key(plain)
				return nil
			}
			b.log.Warn("outbox: the key of links that acknowledge cannot be read: those that were sent do not hold any more", "error", err)
		}
		key := linktoken.NewKey()
		secret, err := b.seal.SealString(string(key), place)
		if err != nil {
			return fmt.Errorf("outbox: seal the key of links: %w", err)
		}
		if _, err := tx.NewInsert().Model(&keyRow{ID: keyID, Secret: secret}).On("CONFLICT (id) DO UPDATE").Set("secret = EXCLUDED.secret").Returning("NULL").Exec(ctx); err != nil {
			return fmt.Errorf("outbox: write the key of links: %w", err)
		}
		b.key = key
		return nil
	})
}

// linkTo makes the link of a notification; "" where the suite does not know at
// which address people reach it.
func (b *Box) linkTo(delivery string, at time.Time) string {
	var id [linktoken.IDBytes]byte
	if n, err := hex.Decode(id[:], []byte(delivery)); err != nil || n != len(id) || b.deps.ExternalURL == "" {
		return ""
	}
	return strings.TrimRight(b.deps.ExternalURL, "/") + LinkPath + b.key.Sign(id, at.Add(linkLives))
}

// Link is what a link stands for.
type Link struct {
	Delivery  string   // id of the notification that carries it
	Receiver  string   // contact point that got it
	Incidents []string // ids, one or several
	Made      time.Time
	Expires   time.Time
	Anyone    bool // it needs no sign-in
	UsedBy    string
}

// Link finds out what a token stands for, and changes nothing. ErrLinkUsed
// comes with the link; ErrLinkOver where it is too old, or where its contact
// point is gone or gets no links any more.
func (b *Box) Link(ctx context.Context, token string) (Link, error) {
	id, expires, err := b.key.Read(token)
	if err != nil {
		return Link{}, ErrLink
	}
	if !b.clock().Before(expires) {
		return Link{}, ErrLinkOver
	}
	var rows []message
	if err := b.db.NewSelect().Model(&rows).Column("delivery", "receiver", "incident_id", "created_at", "link_used_at", "link_used_by", "link_incidents").
		Where("delivery = ?", hex.EncodeToString(id[:])).Scan(ctx); err != nil {
		return Link{}, fmt.Errorf("outbox: read a link: %w", err)
	}
	if len(rows) == 0 {
		return Link{}, ErrLinkOver
	}
	m := rows[0]
	to, err := b.receiver(ctx, m.Receiver)
	if err != nil {
		return Link{}, err
	}
	if to == nil || to.Disabled || to.Acknowledge == AcknowledgeNone {
		return Link{}, ErrLinkOver
	}
	l := Link{Delivery: m.Delivery, Receiver: m.Receiver, Incidents: []string{m.IncidentID}, Made: time.UnixMilli(m.CreatedAt).UTC(), Expires: expires,
		Anyone: to.Acknowledge == AcknowledgeAnyone, UsedBy: m.LinkUsedBy}
	if m.LinkIncidents != "" {
		l.Incidents = strings.Split(m.LinkIncidents, ",")
	}
	if m.LinkUsedAt > 0 {
		return l, ErrLinkUsed
	}
	return l, nil
}

// UseLink marks a link as used, within the transaction of what it did, unless it
// has more to do. ErrLinkUsed says that somebody was faster.
func (b *Box) UseLink(ctx context.Context, tx bun.Tx, l Link, by string, more bool) error {
	if more {
		used, err := tx.NewSelect().Model((*message)(nil)).Where("delivery = ? AND link_used_at > 0", l.Delivery).Exists(ctx)
		if err != nil {
			return fmt.Errorf("outbox: read whether the link of %s was used: %w", l.Delivery, err)
		}
		if used {
			return ErrLinkUsed
		}
		return nil
	}
	res, err := tx.NewUpdate().Model((*message)(nil)).Set("link_used_at = ?", b.clock().UnixMilli()).Set("link_used_by = ?", by).
		Where("delivery = ? AND link_used_at = 0", l.Delivery).Exec(ctx)
	if err != nil {
		return fmt.Errorf("outbox: mark the link of %s as used: %w", l.Delivery, err)
	}
	if n, _ := res.RowsAffected(); n == 0 {
		return ErrLinkUsed
	}
	return nil
}

// checkAcknowledge reads how links acknowledge; "" stands for the default.
func checkAcknowledge(s string) (string, error) {
	switch s {
	case "":
		return AcknowledgeSignedIn, nil
	case AcknowledgeNone, AcknowledgeSignedIn, AcknowledgeAnyone:
		return s, nil
	}
	return "", fmt.Errorf("%w: acknowledge: %q: want %s, %s or %s", ErrInvalid, s, AcknowledgeNone, AcknowledgeSignedIn, AcknowledgeAnyone)
}
