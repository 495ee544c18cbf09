package identity

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/mileusna/useragent"
	"github.com/uptrace/bun"
)

// deviceRow is a remembered browser as SQL holds it, with its user's name.
type deviceRow struct {
	bun.BaseModel `bun:"table:identity_devices,alias:d"`

	ID         string `bun:"id,pk"`
	SecretHash string `bun:"secret_hash"`
	UserID     string `bun:"user_id"`
	UserAgent  string `bun:"user_agent"`
	Address    string `bun:"address"`
	CreatedAt  int64  `bun:"created_at"`
	LastSeenAt int64  `bun:"last_seen_at"`
	ExpiresAt  int64  `bun:"expires_at"`
	Username   string `bun:"username,scanonly"`
}

// Device is a browser that a user has signed in with.
type Device struct {
	ID         string    `json:"id"`
	Client     string    `json:"client"` // like "Chrome 140, Windows"
	Address    string    `json:"address"`
	CreatedAt  time.Time `json:"created_at"`
	LastSeenAt time.Time `json:"last_seen_at"`
	ExpiresAt  time.Time `json:"expires_at"`
	Current    bool      `json:"current"`
}

// clientName names a browser or program by what it says of itself.
func clientName(userAgent string) string {
	if userAgent == "" {
		return ""
	}
	ua := useragent.Parse(userAgent)
	switch {
	case ua.Name == "":
		return clip(userAgent, 40)
	case ua.OS == "":
		return clip(ua.Name+" "+ua.VersionNoShort(), 60)
	}
	return clip(fmt.Sprintf("%s %d, %s", ua.Name, ua.VersionNo.Major, ua.OS), 60)
}

// knownDevice returns the device behind a device cookie, or nil. What was
// never issued costs no look-up.
func (s *Service) knownDevice(ctx context.Context, secret string) (*deviceRow, error) {
	if kind, ok := secretKind(secret); !ok || kind != devicePrefix {
		return nil, nil
	}
	row := new(deviceRow)
	err := s.db.NewSelect().Model(row).ColumnExpr("d.*, u.username").Join("JOIN identity_users AS u ON u.id = d.user_id").
		Where("d.secret_hash = ? AND d.expires_at > ?", hashSecret(secret), s.now().UnixMilli()).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("identity: read a device: %w", err)
	}
	return row, nil
}

// rememberDevice notes that the user signed in with a browser. It returns the
// secret to keep in it, "" where it keeps one already or none is wanted, and
// the device's id. A secret is replaced once half its life is over.
func (s *Service) rememberDevice(ctx context.Context, tx bun.Tx, userID string, from Entrance, old *deviceRow) (secret, id string, expires time.Time, err error) {
	p := s.policies.signIn()
	if p.DeviceDays == 0 || from.UserAgent == "" {
		return "", "", time.Time{}, nil
	}
	now := s.now()
	life := time.Duration(p.DeviceDays) * 24 * time.Hour
	if old != nil && old.UserID == userID && fromMilli(old.ExpiresAt).Sub(now) > life/2 {
		_, err = tx.ExecContext(ctx, "UPDATE identity_devices SET last_seen_at = ?, address = ?, user_agent = ? WHERE id = ?",
			now.UnixMilli(), clip(from.Address, 64), clip(from.UserAgent, 300), old.ID)
		return "", old.ID, time.Time{}, err
	}
	secret = newSecret(devicePrefix)
	row := &deviceRow{ID: newID("dev_"), SecretHash: hashSecret(secret), UserID: userID, UserAgent: clip(from.UserAgent, 300), Address: clip(from.Address, 64),
		CreatedAt: now.UnixMilli(), LastSeenAt: now.UnixMilli(), ExpiresAt: now.Add(life).UnixMilli()}
	if old != nil && old.UserID == userID {
		if _, err := tx.ExecContext(ctx, "DELETE FROM identity_devices WHERE id = ?", old.ID); err != nil {
			return "", "", time.Time{}, err
		}
		row.CreatedAt = old.CreatedAt
	}
	if _, err := tx.NewInsert().Model(row).Exec(ctx); err != nil {
		return "", "", time.Time{}, err
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM identity_devices WHERE user_id = ? AND id NOT IN
		(SELECT id FROM identity_devices WHERE user_id = ? ORDER BY last_seen_at DESC, created_at DESC, id LIMIT ?)`, userID, userID, p.Devices)
	return secret, row.ID, now.Add(life), err
}

// Devices lists the browsers a user has signed in with, the latest first.
// current is the secret of the device cookie of who asks.
func (s *Service) Devices(ctx context.Context, userID, current string) ([]Device, error) {
	var rows []deviceRow
	err := s.db.NewSelect().Model(&rows).Where("d.user_id = ? AND d.expires_at > ?", userID, s.now().UnixMilli()).Order("d.last_seen_at DESC", "d.id").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("identity: list the devices of %q: %w", userID, err)
	}
	out := make([]Device, len(rows))
	for i, r := range rows {
		out[i] = Device{ID: r.ID, Client: clientName(r.UserAgent), Address: r.Address, CreatedAt: fromMilli(r.CreatedAt),
			LastSeenAt: fromMilli(r.LastSeenAt), ExpiresAt: fromMilli(r.ExpiresAt),
			Current: current != "" && r.SecretHash == hashSecret(current)}
	}
	return out, nil
}

// ForgetDevice makes a browser of the user a stranger's again; with an empty
// id, all of them. It answers how many there were.
func (s *Service) ForgetDevice(ctx context.Context, userID, id string) (int, error) {
	q := s.db.NewDelete().Model((*deviceRow)(nil)).Where("user_id = ?", userID)
	if id != "" {
		q = q.Where("id = ?", id)
	}
	res, err := q.Exec(ctx)
	if err != nil {
		return 0, fmt.Errorf("identity: forget the device %q of %q: %w", id, userID, err)
	}
	n, err := res.RowsAffected()
	if err == nil && n == 0 && id != "" {
		return 0, ErrNotFound
	}
	return int(n), err
}
