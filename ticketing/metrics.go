package ticketing

import (
	"fmt"
	"io"
)

// WriteMetrics writes what became of firings since the start, and what mutes
// alerts now, in Prometheus' text format.
func (s *Service) WriteMetrics(w io.Writer) error {
	st := s.Stats()
	rules, sources, muted := s.inhibit.sizes()
	for _, m := range []struct {
		name  string
		value uint64
	}{
		{"icewatch_alert_firings_total", st.Occurrences},
		{"icewatch_alert_firings_repeated_total", st.Duplicates},
		{"icewatch_alert_firings_counted_total", st.Counted},
		{"icewatch_alert_firings_suppressed_total", st.Suppressed},
		{"icewatch_alerts_opened_total", st.AlertsOpened},
		{"icewatch_incidents_opened_total", st.Incidents},
		{"icewatch_inhibition_rules", uint64(rules)},
		{"icewatch_inhibition_sources", uint64(sources)},
		{"icewatch_inhibition_muted_total", muted},
		{"icewatch_merge_rules", uint64(s.merges.count())},
	} {
		if _, err := fmt.Fprintf(w, "%s %d\n", m.name, m.value); err != nil {
			return err
		}
	}
	return nil
}
