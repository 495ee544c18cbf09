package ticketing

import (
	"time"

	"icewatch/detections"
	"icewatch/detections/policy"
	"icewatch/ticketing/sla"
)

// Time is a moment as the API writes it: RFC 3339 in UTC with exactly three
// digits of milliseconds, so that times sort as text.
type Time struct{ time.Time }

const timeLayout = "2006-01-02T15:04:05.000Z"

// MarshalJSON writes the time with milliseconds.
func (t Time) MarshalJSON() ([]byte, error) {
	return t.UTC().AppendFormat(nil, `"`+timeLayout+`"`), nil
}

// MarshalText writes the time with milliseconds.
func (t Time) MarshalText() ([]byte, error) { return t.UTC().AppendFormat(nil, timeLayout), nil }

// Status is where an alert or incident stands in its workflow.
type Status string

// The statuses of alerts and incidents.
const (
	StatusOpen         Status = "open"
	StatusAcknowledged Status = "acknowledged"
	StatusClosed       Status = "closed"
)

// Resolutions lists what an alert or incident may be closed as.
var Resolutions = []string{"true_positive", "false_positive", "benign", "test", "duplicate"}

// CI is the configuration item an alert or incident is about, as it was when
// the latest event was enriched. ID is empty for a host the CMDB does not
// know; Name is then the host's own.
type CI struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Class       string   `json:"class,omitempty"`
	Criticality int      `json:"criticality,omitempty" doc:"1 (least) to 5"`
	Owner       string   `json:"owner,omitempty"`
	Labels      []string `json:"labels,omitempty"`
}

// System is a business system.
type System struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// OccurrenceRef is one firing merged into an alert.
type OccurrenceRef struct {
	ID       string   `json:"id"`
	Time     Time     `json:"time" format:"date-time"`
	Count    int      `json:"count" doc:"Events behind this firing"`
	EventIDs []string `json:"event_ids" doc:"The last ten at most"`
}

// Alert is what merged occurrences of one rule on one group of values make.
type Alert struct {
	ID             string             `json:"id"`
	Tenant         string             `json:"tenant"`
	Rule           detections.RuleRef `json:"rule"`
	Title          detections.Text    `json:"title" doc:"What happened, as a sentence"`
	Severity       detections.Level   `json:"severity" enum:"critical,high,medium,low,informational"`
	Priority       string             `json:"priority" enum:"P1,P2,P3,P4"`
	Reasons        []detections.Text  `json:"reasons" doc:"Why that priority"`
	Status         Status             `json:"status" enum:"open,acknowledged,closed"`
	FirstSeen      Time               `json:"first_seen" format:"date-time" doc:"Event time of the first event"`
	LastSeen       Time               `json:"last_seen" format:"date-time" doc:"Event time of the last event"`
	Count          int                `json:"count" doc:"Events"`
	Occurrences    int                `json:"occurrences" doc:"Firings merged into this alert"`
	Group          []detections.Pair  `json:"group"`
	SourceIP       string             `json:"source_ip,omitempty"`
	User           string             `json:"user,omitempty"`
	CI             *CI                `json:"ci,omitempty"`
	System         *System            `json:"system,omitempty"`
	Owner          string             `json:"owner,omitempty"`
	Assignee       string             `json:"assignee,omitempty"`
	IncidentID     string             `json:"incident_id,omitempty"`
	Evidence       []detections.Match `json:"evidence"`
	EventIDs       []string           `json:"event_ids" doc:"The last 100 at most, oldest first"`
	Fields         map[string]string  `json:"fields" doc:"Flat fields of the last event"`
	Tactics        []string           `json:"tactics"`
	Techniques     []string           `json:"techniques"`
	CreatedAt      Time               `json:"created_at" format:"date-time"`
	AcknowledgedAt *Time              `json:"acknowledged_at,omitempty" format:"date-time"`
	AcknowledgedBy string             `json:"acknowledged_by,omitempty"`
	ClosedAt       *Time              `json:"closed_at,omitempty" format:"date-time"`
	ClosedBy       string             `json:"closed_by,omitempty"`
	Resolution     string             `json:"resolution,omitempty"`
	Tags           []string           `json:"tags" nullable:"false" doc:"That people gave it"`
	Unread         bool               `json:"unread,omitempty" doc:"In lists: the caller has not looked at it"`
	Labels         map[string]string  `json:"labels" doc:"What the matchers of silences look at"`
	SilencedBy     []string           `json:"silenced_by" doc:"Ids of the silences that mute it now"`
	InhibitedBy    []Inhibited        `json:"inhibited_by" nullable:"false" doc:"Rules of inhibition that mute it now, and by which alert"`
	Maintenance    []policy.Window    `json:"maintenance" doc:"The maintenance windows that its last event fell into"`
	Muted          bool               `json:"muted" doc:"The priority policy says that nobody is told of it, as in a maintenance window"`
	Routing        map[string]string  `json:"routing" doc:"Labels that the priority policy gave it; matchers of silences know them too"`
	Verdict        detections.Verdict `json:"verdict,omitempty" enum:"failed,attempt,success,compromised" doc:"How far the attack got, the worst of its firings; absent where nothing tells"`
	VerdictReason  detections.Text    `json:"verdict_reason,omitzero" doc:"Why that verdict"`
	Phases         []string           `json:"phases" doc:"Phases of the kill chain that it reached, in their order"`
	Attacker       *detections.Party  `json:"attacker,omitempty"`
	Victim         *detections.Party  `json:"victim,omitempty"`
	Direction      string             `json:"direction,omitempty" enum:"inbound,outbound,lateral,internal,external" doc:"Where the attack goes, seen from the networks that are ours"`
	Threat         string             `json:"threat,omitempty" enum:"outbound,lateral,external,tunnel,website"`
	Attack         string             `json:"attack,omitempty" doc:"Type of attack"`
	Risk           detections.Risk    `json:"risk,omitzero" doc:"Class of GB/Z 20986-2007"`
	SuppressedBy   string             `json:"suppressed_by,omitempty" doc:"Id of the suppression that kept it from being worked: it is closed from the start, in no incident, and nobody is told"`
	Flapping       *Flapping          `json:"flapping,omitempty" doc:"It changes between firing and recovered again and again: nobody is told until it is calm"`
	Counted        int                `json:"counted,omitempty" doc:"Of its firings, those beyond the limit of intake, which were counted and not worked"`
	DataLevel      int                `json:"data_level,omitempty" doc:"Security level of the data of its item, else of its business system, 1 (least) to 5, as it was when the alert fired last; absent where none is known"`
	Raised         detections.Level   `json:"raised_from,omitempty" doc:"What its severity was before the level of the data raised it"`
	KeyAsset       bool               `json:"key,omitempty" doc:"Its item or business system is a key asset, as it was when the alert fired last"`
	Focus          string             `json:"focus,omitempty" doc:"Name of the risk of focus that it tells of"`
	FocusFrom      detections.Level   `json:"focus_from,omitempty" doc:"What its severity was before the risk of focus raised it"`
	GatheredUntil  *Time              `json:"gathered_until,omitempty" format:"date-time" doc:"It is gathered with others: nobody is told of it before"`
	KeptOnly       bool               `json:"kept_only,omitempty" doc:"The policy of generation keeps it, and nobody is told"`
	Period         string             `json:"period,omitempty" doc:"Name of the period of the policy of generation that gathers or keeps it"`
	Fault          bool               `json:"fault,omitempty" doc:"It tells of a configuration item that fails: grouped by who depends on whom"`
}

// AlertDetail is an alert with its latest firings and all that was done.
type AlertDetail struct {
	Alert
	OccurrencesTotal int             `json:"occurrences_total" doc:"Firings merged into this alert"`
	Occurrences      []OccurrenceRef `json:"occurrences" doc:"The latest 20, newest first"`
	Timeline         []TimelineEntry `json:"timeline"`
}

// TimelineEntry is one thing that happened to an alert or incident. Kind is
// one of opened, alert, acknowledged, assigned, comment, closed, reopened,
// notified, escalated, priority, sla, paused, resumed, proposed, verdict, evidence, observable,
// task, related, review, report, order, tag, undone, flapping, counted, level.
type TimelineEntry struct {
	Time  Time            `json:"time" format:"date-time"`
	Kind  string          `json:"kind" enum:"opened,alert,acknowledged,assigned,comment,closed,reopened,notified,escalated,priority,sla,paused,resumed,proposed,verdict,evidence,observable,task,related,review,report,order,tag,undone,flapping,counted,level"`
	Actor string          `json:"actor" doc:"Who did it; system where the suite did"`
	Text  detections.Text `json:"text"`
	Data  map[string]any  `json:"data,omitempty"`
}

// SLA is an incident's clock as the API shows it.
type SLA struct {
	AckDue     Time      `json:"ack_due" format:"date-time"`
	ResolveDue Time      `json:"resolve_due" format:"date-time"`
	AckedAt    *Time     `json:"acked_at,omitempty" format:"date-time"`
	ResolvedAt *Time     `json:"resolved_at,omitempty" format:"date-time"`
	State      sla.State `json:"state" enum:"ok,due_soon,paused,breached,met"`

	ResolveWarn   *Time  `json:"resolve_warn,omitempty" format:"date-time" doc:"When it is warned that the solution comes due"`
	Calendar      string `json:"calendar,omitempty" doc:"Key of the calendar by which the solution's time counts; around the clock where it is absent"`
	PausedAt      *Time  `json:"paused_at,omitempty" format:"date-time" doc:"Since when the solution's time does not count"`
	PausedFor     string `json:"paused_for,omitempty" doc:"Key of the reason"`
	PausedSeconds int64  `json:"paused_seconds,omitempty" doc:"Of the pauses that are over"`
	Fault         string `json:"fault,omitempty" enum:"online,offline" doc:"Of a device fault that was confirmed"`
	ProposeDue    *Time  `json:"propose_due,omitempty" format:"date-time" doc:"By when a solution of the fault is to be proposed"`
	ProposedAt    *Time  `json:"proposed_at,omitempty" format:"date-time"`
}

// Incident gathers the alerts of one intrusion or fault.
type Incident struct {
	ID             string             `json:"id"`
	Tenant         string             `json:"tenant"`
	Title          detections.Text    `json:"title" doc:"What happened, as a sentence"`
	Severity       detections.Level   `json:"severity" enum:"critical,high,medium,low,informational"`
	Priority       string             `json:"priority" enum:"P1,P2,P3,P4"`
	Status         Status             `json:"status" enum:"open,acknowledged,closed"`
	CI             *CI                `json:"ci,omitempty"`
	System         *System            `json:"system,omitempty"`
	Owner          string             `json:"owner,omitempty"`
	Assignee       string             `json:"assignee,omitempty"`
	Team           string             `json:"team,omitempty" doc:"Id of the team on whose duty roster it is"`
	Actors         []string           `json:"actors" doc:"Addresses the intrusion comes from"`
	OpenedAt       Time               `json:"opened_at" format:"date-time"`
	FirstSeen      Time               `json:"first_seen" format:"date-time"`
	LastSeen       Time               `json:"last_seen" format:"date-time"`
	AlertCount     int                `json:"alert_count"`
	DataLevel      int                `json:"data_level,omitempty" doc:"The highest security level of the data that its alerts are about; absent where none is known"`
	KeyAsset       bool               `json:"key,omitempty" doc:"One of its alerts is about a key asset"`
	Tactics        []string           `json:"tactics"`
	Techniques     []string           `json:"techniques"`
	Reasons        []detections.Text  `json:"reasons" doc:"Why it was opened"`
	Judged         string             `json:"judged_priority" enum:"P1,P2,P3,P4" doc:"The priority that follows from its alerts and the incident policy; another than priority only where that is overridden"`
	Override       *Override          `json:"override,omitempty" doc:"An analyst's own priority"`
	Root           *Root              `json:"root,omitempty" doc:"Of an incident of faults: the item that is thought to have brought the others down"`
	Merge          *Merged            `json:"merge,omitempty" doc:"The merge rule that made it"`
	MergedInto     string             `json:"merged_into,omitempty" doc:"The incident that goes on in its place"`
	MergedFrom     []string           `json:"merged_from,omitempty" doc:"Incidents that were merged into it"`
	Verdict        detections.Verdict `json:"verdict,omitempty" enum:"failed,attempt,success,compromised" doc:"The worst of its alerts"`
	Phases         []string           `json:"phases" doc:"Phases of the kill chain that its alerts reached, in their order"`
	Attackers      []detections.Party `json:"attackers" doc:"50 at most; of whoever sees the incident in part, those of the alerts that he sees"`
	Victims        []detections.Party `json:"victims" doc:"As attackers"`
	SLA            SLA                `json:"sla"`
	AcknowledgedAt *Time              `json:"acknowledged_at,omitempty" format:"date-time"`
	AcknowledgedBy string             `json:"acknowledged_by,omitempty"`
	ClosedAt       *Time              `json:"closed_at,omitempty" format:"date-time"`
	ClosedBy       string             `json:"closed_by,omitempty"`
	Resolution     string             `json:"resolution,omitempty"`
	ArchivedAt     *Time              `json:"archived_at,omitempty" format:"date-time"`
	ArchivedBy     string             `json:"archived_by,omitempty"`
}

// IncidentDetail is an incident with its alerts and all that was done.
type IncidentDetail struct {
	Incident
	Counted  int             `json:"counted,omitempty" doc:"Of the firings of its alerts, those beyond the limit of intake, which were counted and not worked"`
	Alerts   []Alert         `json:"alerts" doc:"The 200 most severe at most; list /alerts?incident= for all"`
	Timeline []TimelineEntry `json:"timeline"`
}

// Overview is what the first page shows of alerts and incidents.
type Overview struct {
	IncidentsOpen      int            // not closed
	IncidentsMine      int            // not closed, assigned to the user
	IncidentsBreaching int            // not closed, clock breached or due soon
	AlertsOpen         int            // not closed
	Unacknowledged     int            // of these, nobody has acknowledged
	BySeverity         map[string]int // alerts not closed, every severity present
	Incidents          []Incident     // not closed, nearest due time first, ten at most
	LatestAlerts       []Alert        // not closed, last seen first, ten at most
}

// severityRank ranks levels: 0 informational to 4 critical.
func severityRank(l detections.Level) int {
	for i, known := range detections.Levels {
		if l == known {
			return i
		}
	}
	return 0
}

func severityOf(rank int) detections.Level {
	return detections.Levels[max(0, min(rank, len(detections.Levels)-1))]
}

// priorityRank reads "P1" to "P4" as 1 to 4. A missing or unknown priority
// follows the level, so that a policy that failed does not hide an alert.
func priorityRank(p string, l detections.Level) int {
	if len(p) == 2 && p[0] == 'P' && p[1] >= '1' && p[1] <= '4' {
		return int(p[1] - '0')
	}
	return max(1, min(4, 5-severityRank(l)))
}

func priorityOf(rank int) string { return "P" + string(rune('0'+max(1, min(rank, 4)))) }
