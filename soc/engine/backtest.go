package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	rules "icewatch/detections/engine"
	"icewatch/detections/ruleset"
	"icewatch/detections/suppression"
	"icewatch/soc/backtest"
	"icewatch/soc/reach"
	"icewatch/soc/search"
)

// A backtest runs where the events are: here. It reads with one worker a search,
// and waits while events that come are not worked at once.

const (
	backtestBehind = 16                     // batches that may wait for detection while a backtest goes on
	backtestPause  = 250 * time.Millisecond // between looks at that
	backtestWaits  = 30 * time.Second       // for that, at most, before a page
)

// ErrMasked says that somebody sees masked values only: a rule that is judged by
// the values behind them would tell what they are.
var ErrMasked = errors.New("values are masked for you, and a backtest judges events as they are: ask somebody who sees them")

// BacktestRequest is what the engine is asked to judge.
type BacktestRequest struct {
	Reach        reach.Reach
	Bundle       *ruleset.Bundle
	Rules        []string // that count
	Suppressions []suppression.Suppression
	From, To     time.Time
}

type backtestQuestion struct {
	question
	Bundle       []byte                    `json:"bundle"`
	Rules        []string                  `json:"rules"`
	Suppressions []suppression.Suppression `json:"suppressions"`
	Begin        time.Time                 `json:"begin"`
	Until        time.Time                 `json:"until"`
}

type backtestLine struct {
	Progress *backtest.Advance  `json:"progress,omitempty"`
	Findings *backtest.Findings `json:"findings,omitempty"`
}

func (e *Engine) backtestHandlers(mux *http.ServeMux) {
	slot := make(chan struct{}, 1)
	mux.HandleFunc("POST /backtest", func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		select {
		case slot <- struct{}{}:
			defer func() { <-slot }()
		case <-ctx.Done():
			return
		}
		var q backtestQuestion
		if err := json.NewDecoder(io.LimitReader(r.Body, maxQuestion)).Decode(&q); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		out := json.NewEncoder(flushing{w})
		out.SetEscapeHTML(false)
		told := time.Time{}
		found, err := e.backtest(ctx, &q, func(p backtest.Advance) {
			if time.Since(told) > time.Second/2 {
				told = time.Now()
				_ = out.Encode(backtestLine{Progress: &p})
				_ = out.Encode(backtestLine{}) // the reader holds one line back
			}
		})
		if err == nil {
			err = out.Encode(backtestLine{Findings: &found})
		}
		_ = out.Encode(judge(err))
	})
}

func (e *Engine) backtest(ctx context.Context, q *backtestQuestion, tell func(backtest.Advance)) (backtest.Findings, error) {
	if q.Veil != nil || q.Group != "" {
		return backtest.Findings{}, ErrMasked
	}
	bundle, err := ruleset.Decode(q.Bundle)
	if err != nil {
		return backtest.Findings{}, err
	}
	j, err := backtest.NewJudge(backtest.Options{Bundle: bundle, Rules: q.Rules, Suppressions: q.Suppressions, From: q.Begin, To: q.Until,
		Engine: rules.Options{Flood: e.opts.Flood, MaxBytes: e.opts.CorrelationMemory, Lateness: e.opts.Lateness, Places: e.place}})
	if err != nil {
		return backtest.Findings{}, err
	}
	r := backtest.Reader{Lake: e.lake, Arrivals: e.arrivals, Epoch: e.epoch, Last: e.showAll(ctx), Accounts: q.Accounts, Everyone: e.pipe.Accounts(), Filter: q.Filter, Low: true,
		Wait: e.yieldToLive}
	return r.Run(ctx, j, tell)
}

// yieldToLive waits while events that come are not worked at once.
func (e *Engine) yieldToLive(ctx context.Context) error {
	for begun := time.Now(); time.Since(begun) < backtestWaits; {
		st, err := e.client.RawState(ctx)
		if err != nil || st.Last <= e.detected.Load()+backtestBehind {
			break
		}
		select {
		case <-time.After(backtestPause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return ctx.Err()
}

// Backtest judges what came in the past. tell is called now and then.
func (c *Client) Backtest(ctx context.Context, r BacktestRequest, tell func(backtest.Advance)) (backtest.Findings, error) {
	if r.Reach.Veil() != nil {
		return backtest.Findings{}, ErrMasked
	}
	data, err := r.Bundle.Encode()
	if err != nil {
		return backtest.Findings{}, fmt.Errorf("engine: %w", err)
	}
	q := backtestQuestion{question: c.within(r.Reach), Bundle: data, Rules: r.Rules, Suppressions: r.Suppressions, Begin: r.From, Until: r.To}
	var found *backtest.Findings
	err = c.ask(ctx, "backtest", q, func(b []byte) error {
		var l backtestLine
		if err := json.Unmarshal(b, &l); err != nil {
			return err
		}
		if l.Progress != nil {
			tell(*l.Progress)
		}
		if l.Findings != nil {
			found = l.Findings
		}
		return nil
	})
	if err == nil && found == nil {
		err = fmt.Errorf("%w: the backtest broke off", search.ErrUnavailable)
	}
	if err != nil {
		return backtest.Findings{}, err
	}
	return *found, nil
}
