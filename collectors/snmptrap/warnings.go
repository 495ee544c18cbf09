package snmptrap

import (
	"log/slog"
	"net/netip"
	"time"
)

// warnings tell of refused messages once a while for each sender, so that a
// device with a wrong passphrase is found and one that floods fills no log. For
// one goroutine.
type warnings struct {
	told map[netip.Addr]time.Time
}

const (
	warnEvery = 10 * time.Minute
	maxWarned = 1000
)

func (w *warnings) tell(log *slog.Logger, collector string, peer netip.Addr, why error, now time.Time) {
	if w.told == nil || len(w.told) >= maxWarned && now.Sub(w.told[netip.Addr{}]) > warnEvery {
		w.told = map[netip.Addr]time.Time{{}: now}
	}
	last, known := w.told[peer]
	if known && now.Sub(last) < warnEvery || !known && len(w.told) >= maxWarned {
		return
	}
	w.told[peer] = now
	log.Warn("an SNMP message was refused; further ones of this sender are counted as rejected", "collector", collector, "peer", peer, "reason", why)
}
