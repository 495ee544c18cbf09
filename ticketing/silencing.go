package ticketing

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/pkg/labels"

	"icewatch/soc/reach"
	"icewatch/ticketing/silence"
	"icewatch/ticketing/webhook"
)

// Silence is a silence as somebody sees it.
type Silence struct {
	*silence.Silence
	State    silence.State
	Tenants  []string // whose alerts it may mute; nil for all
	Editable bool     // all that it mutes is within his reach
}

// Silences lists the silences in these states that a reach may see, all states
// where none is given. Those are the silences that mute nothing beyond the
// reach, and beside them those that mute an open alert within it now: so nobody
// wonders why his alert is silent, and nobody learns of what concerns others
// alone.
func (s *Service) Silences(ctx context.Context, r reach.Reach, states ...silence.State) ([]Silence, error) {
	list, err := s.muting.List(ctx, states...)
	if err != nil {
		return nil, fmt.Errorf("ticketing: %w", err)
	}
	out, muting := make([]Silence, 0, len(list)), map[string]bool(nil)
	for _, l := range list {
		v := s.silenceView(r, l)
		if !v.Editable {
			if v.State != silence.Active {
				continue
			}
			if muting == nil {
				if muting, err = s.mutingWithin(ctx, r); err != nil {
					return nil, err
				}
			}
			if !muting[l.ID] {
				continue
			}
		}
		out = append(out, v)
	}
	return out, nil
}

// Silence returns a silence that Silences would list.
func (s *Service) Silence(ctx context.Context, r reach.Reach, id string) (Silence, error) {
	l, err := s.muting.Get(ctx, id)
	if err != nil {
		return Silence{}, fmt.Errorf("ticketing: %w", err)
	}
	v := s.silenceView(r, l)
	if v.Editable {
		return v, nil
	}
	if v.State == silence.Active {
		muting, err := s.mutingWithin(ctx, r)
		if err != nil {
			return Silence{}, err
		}
		if muting[l.ID] {
			return v, nil
		}
	}
	return Silence{}, fmt.Errorf("ticketing: silence %.64q: %w", id, silence.ErrNotFound)
}

func (s *Service) silenceView(r reach.Reach, l *silence.Silence) Silence {
	bound := s.muting.Reach(l)
	v := Silence{Silence: l, State: l.State(s.now()), Editable: r.Covers(bound)}
	if slugs, all := bound.TenantSlugs(); !all {
		// Of another's silence only what is his own is his to know.
		v.Tenants = slices.DeleteFunc(slugs, func(t string) bool { return !r.CoversTenant(t) })
	}
	return v
}

// mutingWithin lists the silences that mute an open alert within reach.
func (s *Service) mutingWithin(ctx context.Context, r reach.Reach) (map[string]bool, error) {
	out := map[string]bool{}
	err := s.eachOpen(ctx, r, func(a *alert) bool {
		for _, id := range s.silencesOf(a) {
			out[id] = true
		}
		return true
	})
	return out, err
}

// eachOpen calls f with the open alerts in reach, the last seen first, until it
// answers false.
func (s *Service) eachOpen(ctx context.Context, r reach.Reach, f func(a *alert) bool) error {
	var before *alertRow
	for {
		var rows []alertRow
		q := r.Within(s.db.NewSelect().Model(&rows), "a").Where("status <> 'closed'").OrderExpr("last_seen DESC, id DESC").Limit(idsPerStatement)
		if before != nil {
			q = q.Where("(last_seen, id) < (?, ?)", before.LastSeen, before.ID)
		}
		if err := q.Scan(ctx); err != nil {
			return fmt.Errorf("ticketing: read the open alerts: %w", err)
		}
		for _, r := range rows {
			a := &alert{alertRow: r}
			if err := a.unpack(); err != nil {
				return err
			}
			if !f(a) {
				return nil
			}
		}
		if len(rows) < idsPerStatement {
			return nil
		}
		before = &rows[len(rows)-1]
	}
}

// Match returns the open alerts in reach that the matchers accept, the last
// seen first: limit of them (0 for all), and how many there are.
func (s *Service) Match(ctx context.Context, r reach.Reach, matchers labels.Matchers, limit int) (items []Alert, total int, err error) {
	items = []Alert{}
	err = s.eachOpen(ctx, r, func(a *alert) bool {
		if silence.Matches(matchers, a.matchable()) {
			if total++; limit == 0 || total <= limit {
				v := s.shown(a)
				v.veiled(r.Veil())
				items = append(items, v)
			}
		}
		return true
	})
	return items, total, err
}

// SetSilence makes or changes a silence within the actor's reach; see
// silence.Store.Set. One that he may not see does not exist for him.
func (s *Service) SetSilence(ctx context.Context, by Actor, l silence.Silence) (Silence, error) {
	made, err := s.SetSilences(ctx, by, []silence.Silence{l})
	if err != nil {
		return Silence{}, err
	}
	return made[0], nil
}

// SetSilences is SetSilence for several, all or nothing.
func (s *Service) SetSilences(ctx context.Context, by Actor, list []silence.Silence) ([]Silence, error) {
	for _, l := range list {
		if l.ID == "" {
			continue
		}
		if _, err := s.Silence(ctx, by.Reach, l.ID); err != nil {
			return nil, err
		}
	}
	made, err := s.muting.SetAll(ctx, by.Reach, list)
	if err != nil {
		return nil, fmt.Errorf("ticketing: %w", err)
	}
	out := make([]Silence, 0, len(made))
	for i := range made {
		v := s.silenceView(by.Reach, &made[i])
		out = append(out, v)
		s.note(ctx, Change{Actor: by.Name, Action: "silence.set", Object: v.ID, Detail: v.Matchers.String()})
	}
	return out, nil
}

// ExpireSilence ends a silence now; what it held back is told. One that is over
// stays as it is.
func (s *Service) ExpireSilence(ctx context.Context, by Actor, id string) (Silence, error) {
	if _, err := s.Silence(ctx, by.Reach, id); err != nil {
		return Silence{}, err
	}
	l, err := s.muting.Expire(ctx, by.Reach, id)
	if err != nil {
		return Silence{}, fmt.Errorf("ticketing: %w", err)
	}
	s.note(ctx, Change{Actor: by.Name, Action: "silence.expire", Object: id})
	return s.silenceView(by.Reach, &l), nil
}

// noticeBefore is how long before a silence ends its owner is told.
const noticeBefore = time.Hour

// tellOwners tells whoever owns silences that they end soon, or have ended.
func (s *Service) tellOwners(ctx context.Context) error {
	list, err := s.muting.Notices(ctx, noticeBefore)
	if err != nil {
		return fmt.Errorf("ticketing: %w", err)
	}
	for i := range list {
		n := &list[i]
		unique, status := "soon", webhook.Firing
		zh, en := "静默即将结束", "A silence ends soon"
		if n.Over {
			unique, status, zh, en = "over", webhook.Resolved, "静默已结束", "A silence has ended"
		}
		alert := webhook.Alert{Status: status, StartsAt: n.StartsAt, EndsAt: n.EndsAt, GeneratorURL: strings.TrimRight(s.cfg.ExternalURL, "/") + "/silences?q=" + n.ID,
			Labels: map[string]string{"alertname": "SilenceEnds", "silence": n.ID, "owner": firstOf(n.Owner, n.CreatedBy)},
			Annotations: map[string]string{"summary": zh + "：" + n.Comment, "summary_en": en + ": " + n.Comment, "description": n.Matchers.String(),
				"description_en": n.Matchers.String(), "ends_at": s.local(n.EndsAt)}}
		body, err := json.Marshal(webhook.New(n.Receiver, s.cfg.ExternalURL, map[string]string{"silence": n.ID}, []webhook.Alert{alert}, maxNotified))
		if err != nil {
			return fmt.Errorf("ticketing: encode the notice of silence %s: %w", n.ID, err)
		}
		// A receiver that is gone is no reason to ask for ever.
		if err := s.TellReceiver(ctx, n.Receiver, s.noticeTenant(n), "silence", n.ID+" "+unique, body); err != nil {
			s.log.Warn("ticketing: the owner of a silence is not told of its end", "silence", n.ID, "receiver", n.Receiver, "error", err)
		}
		if err := s.muting.Told(ctx, n); err != nil {
			return fmt.Errorf("ticketing: %w", err)
		}
	}
	return nil
}

// noticeTenant is the tenant of a notice: the silence's, where it has one.
func (s *Service) noticeTenant(n *silence.Notice) string {
	if slugs, all := s.muting.Reach(&n.Silence).TenantSlugs(); !all && len(slugs) == 1 {
		return slugs[0]
	}
	return ""
}

// Lately counts what of the last week the matchers accept: alerts in reach that
// fired, and of these those that a silence would have muted by its times.
func (s *Service) Lately(ctx context.Context, r reach.Reach, l silence.Silence, within time.Duration) (matched, muted int, err error) {
	err = s.eachSince(ctx, r, s.now().Add(-within), func(a *alert) bool {
		if silence.Matches(l.Matchers, a.matchable()) {
			matched++
			if l.MutesAround(when(a.LastSeen)) {
				muted++
			}
		}
		return true
	})
	return matched, muted, err
}
