package ticketing

import (
	"context"
	"slices"
	"time"

	"icewatch/detections/policy"
)

// judgeEvery is how long a decision may rest on how often, how long and with
// which values an alert has fired. Whatever else changes, the policy is asked
// at once; see live.seat.
const judgeEvery = 15 * time.Second

// recall returns what the policy said of an alert last, where nothing but its
// further firings has come since, and it said so no longer ago than that.
func (c *correlation) recall(a *alert, longest time.Duration) (policy.Decision, bool) {
	item, actor := c.version(a)
	d := &a.decided
	return d.Decision, !d.at.IsZero() && d.item == item && d.actor == actor && c.now.Sub(d.at) < longest
}

// ask asks the policy about an alert that is at hand whole.
func (c *correlation) ask(ctx context.Context, a *alert) (policy.Decision, error) {
	if c.s.merges.attacksOff.Load() {
		return policy.Decision{}, nil
	}
	d, err := c.s.policy.Incident(ctx, policy.IncidentInput{Alert: a.judged(), Related: c.related(a)})
	if err != nil {
		c.failed++
		c.s.log.Error("ticketing: the incident policy failed; it is asked again", "alert", a.ID, "rule", a.RuleID, "error", err)
		return d, err
	}
	item, actor := c.version(a)
	a.decided = decided{Decision: d, item: item, actor: actor, at: c.now}
	delete(c.again, a.ID)
	return d, nil
}

// judgeAll asks the policy about the touched alerts that no incident holds,
// and about those that an incident about another item holds: they may show
// that their own item is hit as well. An alert whose question failed keeps the
// mark to be asked again.
func (c *correlation) judgeAll(ctx context.Context, touched []*alert) map[string]policy.Decision {
	out := make(map[string]policy.Decision, len(touched))
	for _, a := range touched {
		if a.Fault || a.Status == StatusClosed || a.Held && (a.Item == "" || c.incidents[a.IncidentID] != nil && slices.Contains(c.incidents[a.IncidentID].items, a.Item)) {
			a.Judge = false
			delete(c.again, a.ID)
			continue
		}
		d, recalled := c.recall(a, judgeEvery)
		if recalled && !c.anew {
			c.again[a.ID] = true
		} else {
			var err error
			if d, err = c.ask(ctx, a); err != nil {
				a.Judge = true
				continue
			}
		}
		a.Judge, a.Joins = false, d.Join || d.Open
		out[a.ID] = d
	}
	return out
}

// neighbour is an alert that did not fire, and what is thought of it now.
type neighbour struct {
	alert    *alert
	decision policy.Decision
}

// neighbours judges anew the free alerts that have got a new or graver relation
// in this transaction, and returns those that open an incident now. The policy
// looks at each alert from its own side: without this, whether a story makes an
// incident would depend on which of its alerts came last.
func (c *correlation) neighbours(ctx context.Context, touched []*alert) ([]neighbour, error) {
	var ids []string
	var links []link
	seen := map[string]bool{}
	for _, a := range touched {
		if a.Fault || !a.fresh && !a.raised || a.Held || a.Status == StatusClosed {
			continue
		}
		list, known := c.beside[a]
		if !known {
			list = c.relations(a)
		}
		for _, r := range list {
			if !r.Held && c.touched[r.ID] == nil && !seen[r.ID] {
				seen[r.ID] = true
				ids, links = append(ids, r.ID), append(links, sliceOf(r.ofLinks())...)
			}
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	if err := c.load(ctx, c.tx, links...); err != nil {
		return nil, err
	}
	found, err := c.wholes(ctx, c.tx, ids...)
	if err != nil {
		return nil, err
	}
	var out []neighbour
	for _, a := range found {
		if a.Status == StatusClosed || a.Held {
			continue
		}
		if d, err := c.ask(ctx, a); err == nil && d.Open {
			a.Judge, a.Joins = false, true
			c.touch(a)
			out = append(out, neighbour{a, d})
		}
	}
	return out, nil
}

// rejudgeEvery is how long a free alert that did not fire keeps apart from an
// incident where nothing around it has changed: the policy itself may have.
const rejudgeEvery = 5 * time.Minute

// joins tells whether the policy lets a free alert join an incident. What was
// judged in an earlier transaction, before its relations were there, is judged
// again with them.
func (c *correlation) joins(ctx context.Context, r *alert) (bool, error) {
	if r.Joins || c.touched[r.ID] != nil {
		return r.Joins, nil
	}
	if known, ok := c.rejudged[r.ID]; ok {
		return known, nil
	}
	if err := c.load(ctx, c.tx, sliceOf(r.ofLinks())...); err != nil {
		return false, err
	}
	d, recalled := c.recall(r, rejudgeEvery)
	if !recalled {
		if _, err := c.wholes(ctx, c.tx, r.ID); err != nil {
			return false, err
		}
		var err error
		if d, err = c.ask(ctx, r); err != nil {
			d = policy.Decision{} // it stays free, and is judged again when it fires
		}
	}
	c.rejudged[r.ID] = d.Join || d.Open
	return c.rejudged[r.ID], nil
}
