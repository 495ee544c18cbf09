package forwarding

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/export"
	"icewatch/soc/search"
)

// The states of a target.
const (
	StateOK         = "ok"
	StateCatchingUp = "catching_up" // it takes what it gets, and more than a minute's worth waits
	StateRetrying   = "retrying"    // what was sent last failed
	StatePaused     = "paused"      // disabled
	StateBlocked    = "blocked"     // it goes on when its dead letters have become fewer
	StateAway       = "away"        // its owner may not read at the moment
)

// behind is how much may wait before a target is said to catch up.
const behind = time.Minute

// Target is a target with how it fares.
type Target struct {
	ID string `json:"id"`
	Content
	Revision   int64        `json:"revision"`
	Owner      export.Owner `json:"owner" doc:"In whose name it reads: who changed it last"`
	Mine       bool         `json:"mine"`
	SecretsSet []string     `json:"secrets_set" nullable:"false" doc:"Secrets that it has"`
	CreatedAt  time.Time    `json:"created_at"`
	UpdatedAt  time.Time    `json:"updated_at"`
	Status     Status       `json:"status"`
}

// Status is how a target fares.
type Status struct {
	State      string       `json:"state" enum:"ok,catching_up,retrying,paused,blocked,away"`
	Error      string       `json:"error" doc:"What went wrong last, while it has not gone well since"`
	Since      *time.Time   `json:"since" doc:"Since when"`
	Where      string       `json:"where" doc:"Its address"`
	Position   search.Place `json:"position" doc:"The first event that it is still to get"`
	PositionAt *time.Time   `json:"position_at" doc:"When that event came; none where nothing waits"`
	LagEvents  uint64       `json:"lag_events" doc:"Events that came since, about, before its filter; of remote-write batches of samples"`
	LagSeconds float64      `json:"lag_seconds" doc:"For how long the oldest of them waits"`
	Sent       int64        `json:"sent" doc:"Events, or samples, that it took since it was made; those that were sent again count again"`
	SentBytes  int64        `json:"sent_bytes"`
	Rate       float64      `json:"rate" doc:"Events a second over the last minute"`
	Repeated   int64        `json:"repeated" doc:"Events that it said it had already"`
	Dead       int64        `json:"dead_letters" doc:"Events that it did not want"`
	Lost       int64        `json:"lost" doc:"How often the bus began anew before it had everything"`
	LastSentAt *time.Time   `json:"last_sent_at"`
}

type positionRow struct {
	bun.BaseModel `bun:"table:forward_positions,alias:p"`

	Target   string `bun:"target,pk"`
	Epoch    string `bun:"epoch"`
	Sequence uint64 `bun:"sequence"`
	Index    uint32 `bun:"idx"`
	Sent     int64  `bun:"sent"`
	Bytes    int64  `bun:"bytes"`
	Repeated int64  `bun:"repeated"`
	Lost     int64  `bun:"lost"`
	SentAt   int64  `bun:"sent_at"`
}

func (p *positionRow) place(at search.Place) {
	p.Epoch, p.Sequence, p.Index = at.Epoch, at.Sequence, at.Index
}

func (p *positionRow) next() search.Place {
	return search.Place{Epoch: p.Epoch, Sequence: p.Sequence, Index: p.Index}
}

// progress is what is known of a target's work since the start.
type progress struct {
	mu    sync.Mutex
	state string // StateOK, StateRetrying, StateBlocked or StateAway
	fault string
	since time.Time // of the fault
	tries uint64    // that failed
	rate  [rateSlots]struct {
		at int64
		n  int64
	}
	behind time.Duration // how long what it is still to get has waited, when that was last known
}

const (
	rateSlots = 12
	rateSlot  = 5 // seconds
)

// took counts events that the target took.
func (p *progress) took(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now().Unix() / rateSlot
	s := &p.rate[now%rateSlots]
	if s.at != now {
		s.at, s.n = now, 0
	}
	s.n += int64(n)
}

// perSecond is the rate over the last minute.
func (p *progress) perSecond() float64 {
	now, sum := time.Now().Unix()/rateSlot, int64(0)
	for _, s := range p.rate {
		if s.at > now-rateSlots {
			sum += s.n
		}
	}
	return float64(sum) / (rateSlots * rateSlot)
}

// failed notes a fault and tells whether it is new.
func (p *progress) failed(state, fault string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	anew := p.fault == ""
	if anew {
		p.since = time.Now().UTC()
	}
	p.state, p.fault = state, fault
	p.tries++
	return anew
}

// fine notes that all goes well and tells whether it did not before.
func (p *progress) fine() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.fault != ""
	p.state, p.fault = StateOK, ""
	return was
}

// progressOf is the progress of a target, made where there is none.
func (s *Service) progressOf(id string) *progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.progress[id]
	if p == nil {
		p = &progress{state: StateOK}
		s.progress[id] = p
	}
	return p
}

// Query selects targets.
type Query struct {
	Text  string // part of the name or the description
	Kind  string
	State string
}

// List returns the targets that the asker may see, by name.
func (s *Service) List(ctx context.Context, a Asker, q Query) ([]Target, error) {
	var rows []targetRow
	sel := s.db.NewSelect().Model(&rows).Order("name")
	if !a.Manage {
		sel = sel.Where("owner = ?", a.User)
	}
	if err := sel.Scan(ctx); err != nil {
		return nil, fmt.Errorf("forward: list the targets: %w", err)
	}
	out := []Target{}
	for _, r := range rows {
		t, err := s.read(r)
		if err != nil {
			return nil, err
		}
		if q.Kind != "" && t.content.Kind != q.Kind || q.Text != "" && !strings.Contains(strings.ToLower(t.content.Name+"\n"+t.content.Description), strings.ToLower(q.Text)) {
			continue
		}
		shown, err := s.show(ctx, a, t)
		if err != nil {
			return nil, err
		}
		if q.State == "" || q.State == shown.Status.State {
			out = append(out, shown)
		}
	}
	return out, nil
}

// Get returns one target.
func (s *Service) Get(ctx context.Context, a Asker, id string) (Target, error) {
	t, err := s.get(ctx, a, id)
	if err != nil {
		return Target{}, err
	}
	return s.show(ctx, a, t)
}

func (s *Service) show(ctx context.Context, a Asker, t *target) (Target, error) {
	out := Target{ID: t.ID, Content: t.content, Revision: t.Revision, Owner: t.owner, Mine: t.Owner == a.User, SecretsSet: t.secretNames(),
		CreatedAt: time.UnixMilli(t.CreatedAt).UTC(), UpdatedAt: time.UnixMilli(t.UpdatedAt).UTC()}
	at, err := s.position(ctx, t.ID)
	if err != nil {
		return out, err
	}
	dead, err := s.deadOf(ctx, t.ID)
	if err != nil {
		return out, err
	}
	st := &out.Status
	st.Where, st.Position, st.Sent, st.SentBytes, st.Repeated, st.Lost, st.Dead = strings.Join(t.content.servers(), ", "), at.next(), at.Sent, at.Bytes, at.Repeated, at.Lost, int64(dead)
	if at.SentAt > 0 {
		sent := time.UnixMilli(at.SentAt).UTC()
		st.LastSentAt = &sent
	}
	p := s.progressOf(t.ID)
	p.mu.Lock()
	st.State, st.Error, st.Rate = p.state, p.fault, p.perSecond()
	if p.fault != "" {
		since := p.since
		st.Since = &since
	}
	p.mu.Unlock()
	// Where the engine does not answer, how far it lies behind is not known.
	if t.content.Kind == RemoteWrite {
		if b, err := s.deps.Samples.MetricState(ctx); err == nil && b.Epoch == at.Epoch {
			st.LagEvents = b.Last + 1 - min(at.Sequence, b.Last+1)
		}
		if p.mu.Lock(); st.LagEvents > 0 {
			st.LagSeconds = p.behind.Seconds()
		}
		p.mu.Unlock()
	} else if b, err := s.deps.Arrivals.Backlog(ctx, st.Position); err == nil && at.Epoch != "" {
		st.LagEvents = b.Behind
		if !b.Came.IsZero() {
			came := b.Came
			st.PositionAt, st.LagSeconds = &came, max(0, time.Since(came).Seconds())
		}
	}
	switch {
	case !t.content.Enabled:
		st.State, st.Error, st.Since = StatePaused, "", nil
	case st.State == StateOK && st.LagSeconds > behind.Seconds():
		st.State = StateCatchingUp
	}
	return out, nil
}

// position reads where a target is.
func (s *Service) position(ctx context.Context, id string) (positionRow, error) {
	at := positionRow{Target: id}
	if err := s.db.NewSelect().Model(&at).WherePK().Scan(ctx); err != nil {
		return at, fmt.Errorf("forward: read the place of %s: %w", id, err)
	}
	return at, nil
}

// Figures are the figures of a target for /metrics.
type Figures struct {
	Name                        string
	Sent, Bytes, Repeated, Dead int64
	Failures                    uint64
	LagEvents                   uint64
	LagSeconds                  float64
	Up                          bool // it takes what it gets
}

// Figures returns the figures of all targets that are not paused, by name.
func (s *Service) Figures(ctx context.Context) ([]Figures, error) {
	list, err := s.List(ctx, Asker{Manage: true}, Query{})
	if err != nil {
		return nil, err
	}
	var out []Figures
	for _, t := range slices.DeleteFunc(list, func(t Target) bool { return !t.Enabled }) {
		p := s.progressOf(t.ID)
		p.mu.Lock()
		tries := p.tries
		p.mu.Unlock()
		st := t.Status
		out = append(out, Figures{t.Name, st.Sent, st.SentBytes, st.Repeated, st.Dead, tries, st.LagEvents, st.LagSeconds, st.State == StateOK || st.State == StateCatchingUp})
	}
	return out, nil
}
