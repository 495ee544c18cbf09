package identity

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun"
)

// What can be unusual about an access.
const (
	FindingDevice = "new_device"
	FindingPlace  = "new_network"
	FindingHour   = "unusual_hour"
	FindingTwo    = "two_networks"
)

// The events of access.
const (
	accessSignIn  = "sign-in"
	accessRefused = "refused" // the proof was good, the policy on abnormal access said no
	accessRoaming = "roaming" // a session turned up in another network
)

const (
	// settled is how many sign-ins make a habit of hours.
	settled = 20
	// apart is how long a user takes to get from one network to another.
	apart = time.Minute
	// maxHabits is how many values of one kind are kept for a user.
	maxHabits = 50
	// maxAccesses is how many accesses are kept for a user.
	maxAccesses = 200
)

// AbnormalError says that the proof was good, but that the policy lets nobody
// in who comes so unusually without a second factor.
type AbnormalError struct{ Findings []string }

// Error says what was unusual.
func (e *AbnormalError) Error() string {
	return "identity: this access is unusual (" + strings.Join(e.Findings, ", ") + ") and needs a second factor"
}

// Abnormal is an access of a session that its user does not usually make.
type Abnormal struct {
	Principal *Principal
	Address   string
	Findings  []string
	Action    string // what was done about it: one of the Act constants
}

// OnAbnormal sets who is told of abnormal accesses of sessions that are open
// already; those at a sign-in are in its Session. Set it before serving.
func (s *Service) OnAbnormal(f func(ctx context.Context, a Abnormal)) { s.abnormal = f }

// act is what the policy does about a finding.
func (p AbnormalPolicy) act(finding string) string {
	switch finding {
	case FindingDevice:
		return p.NewDevice
	case FindingPlace:
		return p.NewNetwork
	case FindingHour:
		return p.UnusualHour
	}
	return p.TwoNetworks
}

// strictest is the most that the policy does about any of the findings, and
// those that are to raise an alert.
func (p AbnormalPolicy) strictest(findings []string) (act string, alarming []string) {
	order := []string{ActRecord, ActNotify, ActFactor, ActLock}
	act = ActRecord
	for _, f := range findings {
		a := p.act(f)
		if a != ActRecord {
			alarming = append(alarming, f)
		}
		if slices.Index(order, a) > slices.Index(order, act) {
			act = a
		}
	}
	return act, alarming
}

// habits are the counts of what a user does, by kind and value.
type habits map[string]map[string]int

const (
	habitNetwork = "network"
	habitClient  = "client"
	habitHour    = "hour"
	habitChannel = "channel"
)

func (s *Service) habitsOf(ctx context.Context, userID string) (habits, []Habit, error) {
	var rows []Habit
	err := s.db.NewSelect().Table("identity_habits").Column("kind", "value", "count", "last_at").Where("user_id = ?", userID).Order("count DESC", "value").Scan(ctx, &rows)
	if err != nil {
		return nil, nil, fmt.Errorf("identity: read the habits of %q: %w", userID, err)
	}
	h := habits{}
	for _, r := range rows {
		if h[r.Kind] == nil {
			h[r.Kind] = map[string]int{}
		}
		h[r.Kind][r.Value] = r.Count
	}
	return h, rows, nil
}

// Habit is something a user does when signing in, and how often.
type Habit struct {
	Kind   string `json:"kind" enum:"network,client,hour,channel" bun:"kind"`
	Value  string `json:"value" bun:"value"` // of hour: 0 to 23, in the server's time zone
	Count  int    `json:"count" bun:"count"`
	LastMs int64  `json:"-" bun:"last_at"`
	LastAt string `json:"last_at" bun:"-"`
}

// look tells what is unusual about a sign-in. The first ever has nothing to
// compare with.
func (s *Service) look(ctx context.Context, row *userRow, from Entrance, known bool) ([]string, error) {
	h, _, err := s.habitsOf(ctx, row.ID)
	if err != nil {
		return nil, err
	}
	total := 0
	for _, n := range h[habitHour] {
		total += n
	}
	if total == 0 {
		return nil, nil
	}
	now := s.now()
	var findings []string
	if !known && h[habitClient][clientName(from.UserAgent)] == 0 {
		findings = append(findings, FindingDevice)
	}
	if h[habitNetwork][neighbourhood(from.Address)] == 0 {
		findings = append(findings, FindingPlace)
	}
	if total >= settled {
		near := 0
		for d := 23; d <= 25; d++ {
			near += h[habitHour][strconv.Itoa((now.Local().Hour()+d)%24)]
		}
		if near*100 < total {
			findings = append(findings, FindingHour)
		}
	}
	// SQL is behind the use of sessions by half of this minute at most.
	var addresses []string
	err = s.db.NewSelect().Model((*sessionRow)(nil)).Column("last_address").
		Where("s.user_id = ? AND s.last_seen_at > ?", row.ID, now.Add(-apart).UnixMilli()).Scan(ctx, &addresses)
	if err != nil {
		return nil, fmt.Errorf("identity: read the sessions of %q: %w", row.Username, err)
	}
	if slices.ContainsFunc(addresses, func(a string) bool { return neighbourhood(a) != neighbourhood(from.Address) }) {
		findings = append(findings, FindingTwo)
	}
	return findings, nil
}

// judge looks at a sign-in whose proof was good and does what the policy says.
// It answers *AbnormalError or *LockedError where nobody is let in.
func (s *Service) judge(ctx context.Context, row *userRow, from Entrance, known bool) (findings, alarming []string, err error) {
	if findings, err = s.look(ctx, row, from, known); err != nil || len(findings) == 0 {
		return nil, nil, err
	}
	act, alarming := s.policies.sessions().OnAbnormal.strictest(findings)
	switch {
	case act == ActLock:
		if err := s.shut(ctx, row.ID, row.Username); err != nil {
			return nil, nil, err
		}
		err = &LockedError{Held: true, Findings: findings}
	case act == ActFactor && (from.Channel == ChannelPassword || from.Channel == ChannelLDAP):
		// A second factor would stand behind a plus. Identity providers ask for
		// theirs themselves.
		err = &AbnormalError{Findings: findings}
	default:
		return findings, alarming, nil
	}
	s.log.Warn("an unusual sign-in was refused", "user", row.Username, "address", from.Address, "findings", findings, "action", act)
	noted := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		return s.noteAccess(ctx, tx, row.ID, accessRefused, from.Address, from.UserAgent, from.Channel, findings)
	})
	return nil, nil, errors.Join(err, noted)
}

// shut locks an account until an administrator unlocks it, and ends at once
// what is open of it: sessions, and the use of the user's tokens.
func (s *Service) shut(ctx context.Context, userID, username string) error {
	s.locks.hold(username)
	_, err := s.EndSessions(ctx, userID, "")
	s.forgetWhere(func(_ string, e *entry) bool { return e.userID == userID })
	return errors.Join(err, s.locks.save(ctx, s.db))
}

// noteAccess keeps one access of a user.
func (s *Service) noteAccess(ctx context.Context, tx bun.Tx, userID, event, address, userAgent, channel string, findings []string) error {
	now := s.now().UnixMilli()
	if _, err := tx.ExecContext(ctx, "INSERT INTO identity_accesses (id, user_id, at, event, address, client, channel, findings) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		newID("acc_"), userID, now, event, clip(address, 64), clientName(userAgent), channel, encodeList(findings)); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM identity_accesses WHERE user_id = ? AND at < (SELECT at FROM identity_accesses WHERE user_id = ?
		ORDER BY at DESC LIMIT 1 OFFSET ?)`, userID, userID, maxAccesses-1)
	return err
}

// learn counts a sign-in among the user's habits.
func (s *Service) learn(ctx context.Context, tx bun.Tx, userID string, from Entrance) error {
	now := s.now()
	for _, h := range [][2]string{{habitNetwork, neighbourhood(from.Address)}, {habitClient, clientName(from.UserAgent)},
		{habitHour, strconv.Itoa(now.Local().Hour())}, {habitChannel, from.Channel}} {
		if _, err := tx.ExecContext(ctx, `INSERT INTO identity_habits (user_id, kind, value, count, last_at) VALUES (?, ?, ?, 1, ?)
			ON CONFLICT (user_id, kind, value) DO UPDATE SET count = count + 1, last_at = excluded.last_at`, userID, h[0], clip(h[1], 100), now.UnixMilli()); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM identity_habits WHERE user_id = ? AND kind = ? AND value NOT IN
			(SELECT value FROM identity_habits WHERE user_id = ? AND kind = ? ORDER BY last_at DESC, value LIMIT ?)`, userID, h[0], userID, h[0], maxHabits); err != nil {
			return err
		}
	}
	return nil
}

// moved looks at a session that is used from another address than before. One
// that is used in two networks within a minute is in two hands. It tells
// whether the session may go on.
func (s *Service) moved(ctx context.Context, e *entry, from, to string, since time.Duration) bool {
	if since > apart || neighbourhood(from) == neighbourhood(to) || !e.roamed.CompareAndSwap(false, true) {
		return true
	}
	findings := []string{FindingTwo}
	act, _ := s.policies.sessions().OnAbnormal.strictest(findings)
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		return s.noteAccess(ctx, tx, e.userID, accessRoaming, to, e.client, e.principal.Channel, findings)
	})
	ended := false
	switch act {
	case ActLock:
		err, ended = errors.Join(err, s.shut(ctx, e.userID, e.principal.Username)), true
	case ActFactor: // by signing in again, with it
		err, ended = errors.Join(err, s.EndSession(ctx, e.userID, e.id)), true
	}
	if err != nil {
		s.log.Error("an unusual access could not be noted", "user", e.principal.Username, "address", to, "error", err)
	}
	s.log.Warn("a session is used in two networks at once", "user", e.principal.Username, "session", e.id, "from", from, "to", to, "action", act)
	if s.abnormal != nil {
		s.abnormal(ctx, Abnormal{Principal: e.principal, Address: to, Findings: findings, Action: act})
	}
	return !ended
}

// Access is one access of a user.
type Access struct {
	At       time.Time `json:"at"`
	Event    string    `json:"event" enum:"sign-in,refused,roaming"`
	Address  string    `json:"address"`
	Client   string    `json:"client"`
	Channel  string    `json:"channel"`
	Findings []string  `json:"findings" nullable:"false"`
}

// Accesses are a user's habits and last accesses.
type Accesses struct {
	Habits []Habit  `json:"habits" nullable:"false" doc:"By kind, the most frequent first"`
	Recent []Access `json:"recent" nullable:"false" doc:"The latest first"`
}

// Accesses tells how, when and from where a user signs in.
func (s *Service) Accesses(ctx context.Context, userID string) (Accesses, error) {
	_, list, err := s.habitsOf(ctx, userID)
	if err != nil {
		return Accesses{}, err
	}
	for i := range list {
		list[i].LastAt = fromMilli(list[i].LastMs).Format(time.RFC3339)
	}
	slices.SortStableFunc(list, func(a, b Habit) int { return cmp.Compare(a.Kind, b.Kind) })
	out := Accesses{Habits: list, Recent: []Access{}}
	if out.Habits == nil {
		out.Habits = []Habit{}
	}
	var rows []struct {
		At       int64
		Event    string
		Address  string
		Client   string
		Channel  string
		Findings string
	}
	err = s.db.NewSelect().Table("identity_accesses").Column("at", "event", "address", "client", "channel", "findings").
		Where("user_id = ?", userID).Order("at DESC", "id").Scan(ctx, &rows)
	if err != nil {
		return Accesses{}, fmt.Errorf("identity: read the accesses of %q: %w", userID, err)
	}
	for _, r := range rows {
		findings, err := decodeList(r.Findings)
		if err != nil {
			return Accesses{}, err
		}
		out.Recent = append(out.Recent, Access{fromMilli(r.At), r.Event, r.Address, r.Client, r.Channel, findings})
	}
	return out, nil
}
