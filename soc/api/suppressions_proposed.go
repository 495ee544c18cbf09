package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"icewatch/detections/suppression"
	"icewatch/soc/reach"
	"icewatch/soc/rulebook"
	"icewatch/ticketing"
	"icewatch/ticketing/suppressing"
)

// proposedSuppressions lets proposals change suppressions. Who approves one reaches
// the whole city, and the suppressions are kept in his name.
type proposedSuppressions struct{ svc *ticketing.Service }

var _ rulebook.Keeper = proposedSuppressions{}

func (p proposedSuppressions) Split(file string, data []byte) (out []rulebook.Piece, wrong []rulebook.Wrong) {
	list, faults := suppression.Parse(file, data)
	for _, f := range faults {
		wrong = append(wrong, rulebook.Wrong{Line: f.Line, Reason: f.Reason})
	}
	for i := range list {
		if err := list[i].Check(time.Now()); err != nil {
			wrong = append(wrong, rulebook.Wrong{Reason: fmt.Sprintf("suppression %.100s: %s", list[i].ID, err)})
			continue
		}
		text, err := suppression.Format(list[i : i+1])
		if err != nil {
			wrong = append(wrong, rulebook.Wrong{Reason: err.Error()})
			continue
		}
		out = append(out, rulebook.Piece{ID: list[i].ID, Title: list[i].Name, Text: string(text)})
	}
	return out, wrong
}

func (p proposedSuppressions) Get(ctx context.Context, id string) (string, error) {
	k, err := p.svc.Suppression(ctx, reach.All(), id)
	if errors.Is(err, suppressing.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	text, err := suppression.Format([]suppression.Suppression{k.Suppression})
	return string(text), err
}

func (p proposedSuppressions) Put(ctx context.Context, by, text string) error {
	list, faults := suppression.Parse("", []byte(text))
	if len(faults) > 0 {
		return fmt.Errorf("%w: %s", rulebook.ErrInvalid, faults[0])
	}
	_, err := p.svc.SetSuppressions(ctx, ticketing.Actor{Name: by, Reach: reach.All()}, list)
	if errors.Is(err, suppressing.ErrInvalid) { // such as an end that has passed while it waited
		err = fmt.Errorf("%w: %s", rulebook.ErrInvalid, plain(err, suppressing.ErrInvalid, ""))
	}
	return err
}

func (p proposedSuppressions) Delete(ctx context.Context, by, id string) error {
	err := p.svc.DeleteSuppression(ctx, ticketing.Actor{Name: by, Reach: reach.All()}, id)
	if errors.Is(err, suppressing.ErrNotFound) {
		return nil
	}
	return err
}

// suppressDirectly refuses a change of suppressions where a second person is needed.
func (s *Server) suppressDirectly() error {
	if s.deps.Rulebook != nil && s.deps.Rulebook.SuppressionsRequired() {
		return Problem(http.StatusConflict, "changes of suppressions need a second person here: file a proposal (POST /rule-proposals with a file suppressions/NAME.yml, icectl rules push)")
	}
	return nil
}
