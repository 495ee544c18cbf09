package notice

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"icewatch/detections"
)

// Board sums up the notices that somebody sees.
type Board struct {
	Total   int            `json:"total"`
	Read    int            `json:"read" doc:"Published ones that the caller has read"`
	Unread  int            `json:"unread"`
	ByKind  map[string]int `json:"by_kind"`
	ByState map[string]int `json:"by_state"`
	ByLevel map[string]int `json:"by_level"`
	ByTag   map[string]int `json:"by_tag"`
	Regions []RegionLine   `json:"regions" nullable:"false" doc:"Circulars by region, the most first"`

	Units      []RankLine `json:"units" nullable:"false" doc:"How units answer circulars, the best first"`
	Industries []RankLine `json:"industries" nullable:"false" doc:"How industries answer circulars, the best first"`
	Latest     []Notice   `json:"latest" nullable:"false" doc:"The ten that were published last, without their texts"`
	Favourites []Notice   `json:"favourites" nullable:"false" doc:"Ten of those that the caller keeps in view, the newest first, without their texts"`
}

// AnswerTally is how circulars are answered.
type AnswerTally struct {
	Circulars int     `json:"circulars"`
	Answers   int     `json:"answers" doc:"Wanted: one of each recipient"`
	Answered  int     `json:"answered"`
	Timely    int     `json:"timely" doc:"Of these, by the due time"`
	Overdue   int     `json:"overdue" doc:"Not answered and past the due time"`
	Share     float64 `json:"answered_percent"`
	OnTime    float64 `json:"timely_percent" doc:"Of those answered"`
}

// RegionLine is how the circulars of a region are answered.
type RegionLine struct {
	Region string `json:"region"`
	AnswerTally
}

// RankedGroup is a unit or an industry.
type RankedGroup struct {
	ID   string          `json:"id" doc:"Empty for tenants of which it is not known"`
	Name detections.Text `json:"name"`
}

// RankLine is how a unit or an industry answers circulars.
type RankLine struct {
	Rank int `json:"rank" doc:"1 for who answers the largest part, then who answers it in time; equals share it"`
	RankedGroup
	AnswerTally
}

// answer takes a recipient's answer into account, or that it lacks.
func (t *AnswerTally) answer(r *Recipient, due, now int64) {
	t.Answers++
	switch {
	case r.RepliedAt > 0:
		t.Answered++
		if due == 0 || r.RepliedAt <= due {
			t.Timely++
		}
	case due > 0 && now > due:
		t.Overdue++
	}
}

// close works the percentages out.
func (t *AnswerTally) close() {
	if t.Answers > 0 {
		t.Share = 100 * float64(t.Answered) / float64(t.Answers)
	}
	if t.Answered > 0 {
		t.OnTime = 100 * float64(t.Timely) / float64(t.Answered)
	}
}

// ranked orders units or industries by how well they answer.
func ranked(tallies map[RankedGroup]*AnswerTally) []RankLine {
	out := make([]RankLine, 0, len(tallies))
	for of, t := range tallies {
		t.close()
		out = append(out, RankLine{RankedGroup: of, AnswerTally: *t})
	}
	better := func(x, y RankLine) int {
		return cmp.Or(cmp.Compare(y.Share, x.Share), cmp.Compare(y.OnTime, x.OnTime), cmp.Compare(x.Overdue, y.Overdue), cmp.Compare(y.Answers, x.Answers))
	}
	slices.SortFunc(out, func(x, y RankLine) int { return cmp.Or(better(x, y), strings.Compare(x.ID, y.ID)) })
	for i := range out {
		if out[i].Rank = i + 1; i > 0 && better(out[i-1], out[i]) == 0 {
			out[i].Rank = out[i-1].Rank
		}
	}
	return out
}

// most is how many notices the board names of each sort.
const most = 10

// Board implements the board of circulars and early warnings.
func (s *Store) Board(ctx context.Context, by Who, f Filter) (Board, error) {
	list, err := s.read(ctx, by, f.narrow)
	if err != nil {
		return Board{}, err
	}
	b := Board{ByKind: map[string]int{}, ByState: map[string]int{}, ByLevel: map[string]int{}, ByTag: map[string]int{}, Regions: []RegionLine{}, Latest: []Notice{}, Favourites: []Notice{}}
	now, units, industries := s.now(), map[RankedGroup]*AnswerTally{}, map[RankedGroup]*AnswerTally{}
	for i := range list {
		n := &list[i]
		by.shown(n)
		n.Body = nil
		if f.leavesOut(n) {
			continue
		}
		b.Total++
		b.ByKind[n.Kind]++
		b.ByState[n.State]++
		b.ByLevel[n.Level]++
		for _, t := range n.Tags {
			b.ByTag[t]++
		}
		if n.State == Published {
			b.Latest = append(b.Latest, *n)
			if n.Read {
				b.Read++
			} else {
				b.Unread++
			}
		}
		if n.Favourite && len(b.Favourites) < most {
			b.Favourites = append(b.Favourites, *n)
		}
		if n.Kind != Circular || n.PublishedAt == 0 {
			continue
		}
		at := slices.IndexFunc(b.Regions, func(l RegionLine) bool { return l.Region == n.Region })
		if at < 0 {
			at, b.Regions = len(b.Regions), append(b.Regions, RegionLine{Region: n.Region})
		}
		b.Regions[at].Circulars++
		had := map[*AnswerTally]bool{}
		for _, r := range n.Recipients {
			b.Regions[at].answer(&r, n.Due, now)
			unit, industry := s.deps.Belongs(r.Tenant)
			for _, of := range []*AnswerTally{tallyOf(units, unit), tallyOf(industries, industry)} {
				of.answer(&r, n.Due, now)
				if !had[of] {
					had[of] = true
					of.Circulars++
				}
			}
		}
	}
	for i := range b.Regions {
		b.Regions[i].close()
	}
	slices.SortStableFunc(b.Regions, func(x, y RegionLine) int {
		return cmp.Or(cmp.Compare(y.Circulars, x.Circulars), strings.Compare(x.Region, y.Region))
	})
	b.Units, b.Industries = ranked(units), ranked(industries)
	slices.SortStableFunc(b.Latest, func(x, y Notice) int { return cmp.Compare(y.PublishedAt, x.PublishedAt) })
	b.Latest = b.Latest[:min(most, len(b.Latest))]
	return b, nil
}

func tallyOf(tallies map[RankedGroup]*AnswerTally, of RankedGroup) *AnswerTally {
	if tallies[of] == nil {
		tallies[of] = &AnswerTally{}
	}
	return tallies[of]
}
