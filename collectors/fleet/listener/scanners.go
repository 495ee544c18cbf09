package listener

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"icewatch/collectors/fleet"
	"icewatch/collectors/fleet/wire"
	scanwire "icewatch/collectors/scanner/wire"
)

// collecting serves an enrolled agent, and no scanner: a scanner sends no logs.
func (l *Listener) collecting(serve func(http.ResponseWriter, *http.Request, fleet.Agent)) http.HandlerFunc {
	return l.known(func(w http.ResponseWriter, r *http.Request, a fleet.Agent) {
		if a.Scans() {
			l.counters.Rejected(1)
			answer(w, http.StatusForbidden, wire.CodeIdentity, "this is for agents; the certificate is a scanner's")
			return
		}
		serve(w, r, a)
	})
}

// scanning registers the scanners' paths, which agents are refused.
func (l *Listener) scanning(mux *http.ServeMux) {
	if l.opts.Scans == nil {
		return
	}
	only := func(serve func(http.ResponseWriter, *http.Request, fleet.Agent)) http.HandlerFunc {
		return l.known(func(w http.ResponseWriter, r *http.Request, a fleet.Agent) {
			if !a.Scans() {
				l.counters.Rejected(1)
				answer(w, http.StatusForbidden, wire.CodeIdentity, "this is for scanners; the certificate is an agent's: enrol with a token for scanners")
				return
			}
			serve(w, r, a)
		})
	}
	mux.HandleFunc("POST "+scanwire.PathCheckin, only(l.scanCheckin))
	mux.HandleFunc("POST "+scanwire.PathResults, only(l.batch("scan", l.scanned)))
	mux.HandleFunc("GET "+scanwire.PathTemplates+"{sum}", only(l.templates))
}

func (l *Listener) scanCheckin(w http.ResponseWriter, r *http.Request, a fleet.Agent) {
	data, ok := body(w, r, scanwire.MaxCheckin)
	if !ok {
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(l.polls, cancel)()
	a.Address = from(r)
	out, err := l.opts.Scans.Checkin(ctx, a, data)
	if err != nil {
		l.refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(out)
}

func (l *Listener) scanned(ctx context.Context, a fleet.Agent, data []byte) error {
	if err := l.opts.Scans.TakeResults(ctx, a, data); err != nil {
		return err
	}
	l.counters.Received(1, len(data))
	return nil
}

func (l *Listener) templates(w http.ResponseWriter, r *http.Request, _ fleet.Agent) {
	f, err := l.opts.Scans.Templates(strings.ToLower(r.PathValue("sum")))
	if errors.Is(err, fs.ErrNotExist) {
		answer(w, http.StatusNotFound, wire.CodeAbsent, "there are no such templates")
		return
	}
	if err != nil {
		l.refuse(w, err)
		return
	}
	defer f.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, f)
}
