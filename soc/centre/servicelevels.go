package centre

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"icewatch/soc/config"
	"icewatch/soc/identity"
	"icewatch/soc/settings"
	"icewatch/ticketing/sla"
	"icewatch/ticketing/workdays"
)

// serviceLevels keeps what is agreed on service levels and the holidays by which
// it counts, ready to be asked.
type serviceLevels struct {
	published workdays.Book
	days      atomic.Pointer[workdays.Holidays]
	agreed    atomic.Pointer[sla.Agreement]

	changing sync.Mutex
	own      workdays.Book
	terms    sla.Terms

	holidays *settings.Setting[workdays.Book]
}

// openServiceLevels declares the two settings. Until somebody changes the terms
// they are those of the configuration file.
func openServiceLevels(ctx context.Context, store *settings.Store, cfg *config.Config) (_ *serviceLevels, err error) {
	targets := sla.Targets{}
	for _, p := range cfg.SLA {
		targets[p.Priority] = sla.Target{Ack: time.Duration(p.Acknowledge), Resolve: time.Duration(p.Resolve)}
	}
	l := &serviceLevels{published: workdays.Published(), terms: sla.DefaultTerms(targets)}
	if err := l.change(func() {}); err != nil {
		return nil, err
	}
	l.holidays, err = settings.Declare(ctx, store, "holidays", identity.ScopeConfigure, workdays.Book{}, workdays.Book.Check, func(b workdays.Book) {
		_ = l.change(func() { l.own = b }) // both were checked
	})
	if err != nil {
		return nil, err
	}
	_, err = settings.Declare(ctx, store, "sla", identity.ScopeConfigure, l.terms, sla.Terms.Check, func(t sla.Terms) {
		_ = l.change(func() { l.terms = t })
	})
	return l, err
}

// change puts in force what f changes.
func (l *serviceLevels) change(f func()) error {
	l.changing.Lock()
	defer l.changing.Unlock()
	f()
	days := l.published.With(l.own).Compile()
	a, err := l.terms.Compile(days)
	if err != nil {
		return err
	}
	l.days.Store(days)
	l.agreed.Store(a)
	return nil
}

// Agreement implements api.ServiceLevels.
func (l *serviceLevels) Agreement() *sla.Agreement { return l.agreed.Load() }

// Holidays implements api.ServiceLevels.
func (l *serviceLevels) Holidays() (published, own workdays.Book) {
	return l.published, l.holidays.Get()
}

// SetHolidays implements api.ServiceLevels.
func (l *serviceLevels) SetHolidays(ctx context.Context, own workdays.Book, by string) error {
	return l.holidays.Set(ctx, own, by)
}
