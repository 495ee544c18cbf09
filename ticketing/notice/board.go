package notice

import (
	"context"
	"slices"
	"strings"
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
}

// RegionLine is how the circulars of a region are answered.
type RegionLine struct {
	Region    string  `json:"region"`
	Circulars int     `json:"circulars"`
	Answers   int     `json:"answers" doc:"Wanted: one of each recipient"`
	Answered  int     `json:"answered"`
	Timely    int     `json:"timely" doc:"Of these, by the due time"`
	Overdue   int     `json:"overdue" doc:"Not answered and past the due time"`
	Share     float64 `json:"answered_percent"`
	OnTime    float64 `json:"timely_percent" doc:"Of those answered"`
}

// Board implements the board of circulars and early warnings.
func (s *Store) Board(ctx context.Context, by Who, f Filter) (Board, error) {
	list, err := s.read(ctx, by, f.narrow)
	if err != nil {
		return Board{}, err
	}
	b := Board{ByKind: map[string]int{}, ByState: map[string]int{}, ByLevel: map[string]int{}, ByTag: map[string]int{}, Regions: []RegionLine{}}
	now := s.now()
	for i := range list {
		n := &list[i]
		by.shown(n)
		b.Total++
		b.ByKind[n.Kind]++
		b.ByState[n.State]++
		b.ByLevel[n.Level]++
		for _, t := range n.Tags {
			b.ByTag[t]++
		}
		if n.State == Published {
			if n.Read {
				b.Read++
			} else {
				b.Unread++
			}
		}
		if n.Kind != Circular || n.PublishedAt == 0 {
			continue
		}
		at := slices.IndexFunc(b.Regions, func(l RegionLine) bool { return l.Region == n.Region })
		if at < 0 {
			at, b.Regions = len(b.Regions), append(b.Regions, RegionLine{Region: n.Region})
		}
		l := &b.Regions[at]
		l.Circulars++
		for _, r := range n.Recipients {
			l.Answers++
			switch {
			case r.RepliedAt > 0:
				l.Answered++
				if n.Due == 0 || r.RepliedAt <= n.Due {
					l.Timely++
				}
			case n.Due > 0 && now > n.Due:
				l.Overdue++
			}
		}
	}
	for i := range b.Regions {
		l := &b.Regions[i]
		if l.Answers > 0 {
			l.Share = 100 * float64(l.Answered) / float64(l.Answers)
		}
		if l.Answered > 0 {
			l.OnTime = 100 * float64(l.Timely) / float64(l.Answered)
		}
	}
	slices.SortStableFunc(b.Regions, func(x, y RegionLine) int {
		if x.Circulars != y.Circulars {
			return y.Circulars - x.Circulars
		}
		return strings.Compare(x.Region, y.Region)
	})
	return b, nil
}
