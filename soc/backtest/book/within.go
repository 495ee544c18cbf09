package book

import "icewatch/soc/reach"

// Asker is who asks for backtests.
type Asker struct {
	Owner string // user id, or a token's own
	// Sees tells whether all that was judged within is visible to him now; nil is
	// yes. What he does not see is not there for him: his reach may have become
	// less since, and a token of his may reach less than he.
	Sees func(Within) bool
}

// sees is Sees.
func (a *Asker) sees(w *Within) bool {
	return a.Sees == nil || w != nil && a.Sees(*w)
}

// Compile gives the reach that terms mean now, as reach.Compiler does.
type Compile func(tenants []string, expressions ...string) (reach.Reach, error)

// Within is what the asker could see when a backtest was begun.
type Within struct {
	Terms reach.Terms `json:"terms"`
	Key   string      `json:"key"`            // of the reach that the terms meant then
	Logs  string      `json:"logs,omitempty"` // LogsQL by which events were left out besides
}

// WithinOf writes a reach down; nil is one that cannot be, so that nobody sees
// what came of it.
func WithinOf(r reach.Reach, compile Compile) *Within {
	terms, ok := r.Terms()
	if !ok {
		return nil
	}
	then, err := compile(terms.Tenants, terms.Expressions...)
	if err != nil || then.Nothing() {
		return nil
	}
	return &Within{Terms: terms, Key: then.Key(), Logs: r.LogsFilter()}
}

// In tells whether all that was visible then is visible in the reach of now: what
// cannot be told is not.
func (w *Within) In(now reach.Reach, compile Compile) bool {
	if now.Veil() != nil || now.LogsFilter() != "" && now.LogsFilter() != w.Logs {
		return false
	}
	then, err := compile(w.Terms.Tenants, w.Terms.Expressions...)
	if err != nil || then.Nothing() || len(w.Terms.Expressions) > 0 && then.Key() != w.Key && !now.Everything() {
		return false // its conditions mean other tenants by now
	}
	return now.Covers(then)
}
