package ticketing

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/soc/reach"
)

// alertRow is an alert as SQL keeps it: in columns what is searched, sorted or
// correlated by, in doc the rest.
type alertRow struct {
	bun.BaseModel  `bun:"table:ticketing_alerts,alias:a"`
	ID             string `bun:"id,pk"`
	Key            string `bun:"key"`
	Generation     int    `bun:"generation"`
	Tenant         string `bun:"tenant"`
	RuleID         string `bun:"rule_id"`
	RuleTitle      string `bun:"rule_title"`
	Severity       int    `bun:"severity"`
	Priority       int    `bun:"priority"`
	Status         Status `bun:"status"`
	FirstSeen      int64  `bun:"first_seen"`
	LastSeen       int64  `bun:"last_seen"`
	Count          int    `bun:"count"`
	Occurrences    int    `bun:"occurrences"`
	Item           string `bun:"item"`
	Actor          string `bun:"actor"`
	Recon          bool   `bun:"recon"`
	Fault          bool   `bun:"fault"`
	CIID           string `bun:"ci_id"`
	SystemID       string `bun:"system_id"`
	SourceIP       string `bun:"source_ip"`
	Assignee       string `bun:"assignee"`
	IncidentID     string `bun:"incident_id"`
	Held           bool   `bun:"held"`
	Joins          bool   `bun:"joins"`
	Judge          bool   `bun:"judge"`
	CreatedAt      int64  `bun:"created_at"`
	AcknowledgedAt int64  `bun:"acknowledged_at"`
	AcknowledgedBy string `bun:"acknowledged_by"`
	ClosedAt       int64  `bun:"closed_at"`
	ClosedBy       string `bun:"closed_by"`
	Resolution     string `bun:"resolution"`
	Tags           string `bun:"tags"`
	Tactics        string `bun:"tactics"`
	Techniques     string `bun:"techniques"`
	Verdict        int    `bun:"verdict"`
	Muted          bool   `bun:"muted"`
	Flapping       bool   `bun:"flapping"`
	KeyAsset       bool   `bun:"key_asset"`  // its item or system is a key asset, or was when it fired last
	DataLevel      int    `bun:"data_level"` // security level of the data of its item, as it was when it fired last; 0 where none is known
	Focus          bool   `bun:"focus"`      // it tells of a risk of focus
	Gathered       int64  `bun:"gathered"`   // until when nobody is told of it, in Unix milliseconds; keptOnly for ever
	SuppressedBy   string `bun:"suppressed_by"`
	Counted        int    `bun:"counted"` // of Occurrences, those beyond the limit of intake
	Phase          string `bun:"phase"`
	Direction      string `bun:"direction"`
	Threat         string `bun:"threat"`
	Attack         string `bun:"attack"`
	Risk           string `bun:"risk"`
	Attacker       string `bun:"attacker"`
	Victim         string `bun:"victim"`
	Search         string `bun:"search"`
	Facts          string `bun:"facts"` // what a policy sees of it as a relation, as former releases kept it; the document has all of it
	Doc            string `bun:"doc"`
	reach.Kept
}

// lightColumns are what correlation reads of an alert it does not change.
var lightColumns = []string{
	"id", "tenant", "rule_id", "rule_title", "severity", "priority", "status", "first_seen", "last_seen", "count",
	"item", "actor", "recon", "fault", "incident_id", "held", "joins", "muted", "key_asset", "data_level", "focus", "gathered", "tactics", "techniques", "verdict", "phase", "direction", "threat", "attack", "attacker", "victim", "facts",
	"reach_unit", "reach_region", "reach_industry", "reach_labels",
}

// lightExprs are lightColumns as they are read, and the document where it is what
// the facts are made of.
var lightExprs = append(slices.Clone(lightColumns), "CASE WHEN facts = '' THEN doc ELSE '' END AS doc")

// mark orders occurrences by event time, and by id where times are equal, so
// that which one is the latest does not depend on the order they come in.
type mark struct {
	At int64  `json:"at"` // Unix nanoseconds
	ID string `json:"id"`
}

func (m mark) before(n mark) bool { return m.At < n.At || m.At == n.At && m.ID < n.ID }

// alertDoc is the part of an alert that SQL only keeps.
type alertDoc struct {
	Rule       detections.RuleRef `json:"rule"`
	Title      detections.Text    `json:"title"`
	Reasons    []detections.Text  `json:"reasons"`
	Group      []detections.Pair  `json:"group"`
	User       string             `json:"user,omitempty"`
	RaisedFrom *int               `json:"raised_from,omitempty"` // rank of its severity before the level of its data raised it
	CI         *CI                `json:"ci,omitempty"`
	System     *System            `json:"system,omitempty"`
	Owner      string             `json:"owner,omitempty"`
	Evidence   []detections.Match `json:"evidence"`
	Fields     map[string]string  `json:"fields"`
	Events     []mark             `json:"events"`           // ascending, the last maxEvents
	Recent     []OccurrenceRef    `json:"recent"`           // newest first, maxRecent
	Pinned     bool               `json:"pinned,omitempty"` // somebody put it into its incident by hand: there it stays
	Latest     mark               `json:"latest"`           // the occurrence that fields, title, evidence are of
	ReasonsOf  mark               `json:"reasons_of"`
	Flapping   *Flapping          `json:"flapping,omitempty"`
	Focus      *FocusMark         `json:"focus,omitempty"`
	Period     string             `json:"period,omitempty"` // name of the period that gathers it
	judgement
	ruling
}

// alert is a row with its doc unpacked.
type alert struct {
	alertRow
	doc    alertDoc
	fresh  bool   // made in this transaction
	merged bool   // fired in this transaction
	raised bool   // graver, or about something else, than before this transaction
	keyed  bool   // became a key asset's, or ceased to be one's, in this transaction
	before int    // rank of the verdict before this transaction
	by     string // id of the alert that raised the verdict in it
	atHand
}

// bare is the row without what finish makes of the rest.
func (a *alert) bare() *alertRow {
	r := a.alertRow
	r.Doc, r.Search, r.Facts = "", "", ""
	return &r
}

func (a *alert) pack() error {
	doc, err := a.doc.encode()
	if err != nil {
		return fmt.Errorf("ticketing: pack alert %s: %w", a.ID, err)
	}
	a.Doc = doc
	return nil
}

func (a *alert) unpack() error {
	a.before, a.stood = a.Verdict, a.stands() // it was just read
	if err := json.Unmarshal([]byte(a.Doc), &a.doc); err != nil {
		return fmt.Errorf("ticketing: unpack alert %s: %w", a.ID, err)
	}
	a.whole = true
	return nil
}

// view makes what the API shows.
func (a *alert) view() Alert {
	d := &a.doc
	v := Alert{
		ID: a.ID, Tenant: a.Tenant, Rule: d.Rule, Title: d.Title, Severity: severityOf(a.Severity), Priority: priorityOf(a.Priority),
		Reasons: orEmpty(d.Reasons), Status: a.Status, FirstSeen: at(a.FirstSeen), LastSeen: at(a.LastSeen),
		Count: a.Count, Occurrences: a.Occurrences, Group: orEmpty(d.Group), SourceIP: a.SourceIP, User: d.User,
		CI: d.CI, System: d.System, Owner: d.Owner, Assignee: a.Assignee, IncidentID: a.IncidentID,
		Evidence: orEmpty(d.Evidence), EventIDs: make([]string, 0, len(d.Events)), Fields: d.Fields,
		Tactics: splitList(a.Tactics), Techniques: splitList(a.Techniques), CreatedAt: at(a.CreatedAt),
		AcknowledgedAt: maybe(a.AcknowledgedAt), AcknowledgedBy: a.AcknowledgedBy,
		ClosedAt: maybe(a.ClosedAt), ClosedBy: a.ClosedBy, Resolution: a.Resolution, Labels: a.labels(),
		Verdict: verdictOf(a.Verdict), VerdictReason: d.VerdictReason, Phases: orEmpty(d.Phases), Attacker: d.Attacker, Victim: d.Victim,
		Direction: a.Direction, Threat: a.Threat, Attack: a.Attack, Risk: d.Risk, Fault: a.Fault, KeyAsset: a.KeyAsset, DataLevel: a.DataLevel, Raised: severityIf(d.RaisedFrom),
	}
	v.Tags, v.SuppressedBy = splitList(a.Tags), a.SuppressedBy
	if v.Counted = a.Counted; a.Status != StatusClosed {
		v.Flapping = d.Flapping
	}
	if f := d.Focus; f != nil {
		v.Focus, v.FocusFrom = f.Name, severityIf(f.From)
	}
	v.Maintenance, v.Muted, v.Routing = orEmpty(d.Maintenance), a.Muted, d.Routing
	if v.Routing == nil {
		v.Routing = map[string]string{}
	}
	if v.Fields == nil {
		v.Fields = map[string]string{}
	}
	for _, e := range d.Events {
		v.EventIDs = append(v.EventIDs, e.ID)
	}
	return v
}

// incidentRow is an incident as SQL keeps it.
type incidentRow struct {
	bun.BaseModel  `bun:"table:ticketing_incidents,alias:i"`
	ID             string `bun:"id,pk"`
	Derived        string `bun:"derived"`
	Tenant         string `bun:"tenant"`
	Severity       int    `bun:"severity"`
	Priority       int    `bun:"priority"`
	Status         Status `bun:"status"`
	CIID           string `bun:"ci_id"`
	SystemID       string `bun:"system_id"`
	Assignee       string `bun:"assignee"`
	Team           string `bun:"team"`
	OpenedAt       int64  `bun:"opened_at"`
	FirstSeen      int64  `bun:"first_seen"`
	LastSeen       int64  `bun:"last_seen"`
	AlertCount     int    `bun:"alert_count"`
	AckDue         int64  `bun:"ack_due"`
	ResolveDue     int64  `bun:"resolve_due"`
	Due            int64  `bun:"due"`
	AckedAt        int64  `bun:"acked_at"`
	ResolvedAt     int64  `bun:"resolved_at"`
	AckBreach      int64  `bun:"ack_breach"`
	ResolveBreach  int64  `bun:"resolve_breach"`
	AcknowledgedAt int64  `bun:"acknowledged_at"`
	AcknowledgedBy string `bun:"acknowledged_by"`
	ClosedAt       int64  `bun:"closed_at"`
	ClosedBy       string `bun:"closed_by"`
	Resolution     string `bun:"resolution"`
	ToldAt         int64  `bun:"told_at"`
	TellAt         int64  `bun:"tell_at"`
	MutedAt        int64  `bun:"muted_at"`
	MutedKind      string `bun:"muted_kind"`
	Verdict        int    `bun:"verdict"`
	Phase          string `bun:"phase"`
	KeyAsset       bool   `bun:"key_asset"`  // of one of its alerts
	DataLevel      int    `bun:"data_level"` // the highest of its alerts
	ArchivedAt     int64  `bun:"archived_at"`
	ArchivedBy     string `bun:"archived_by"`
	Search         string `bun:"search"`
	Doc            string `bun:"doc"`
	clockRow
	reach.Kept
}

// incidentDoc is the part of an incident that SQL only keeps.
type incidentDoc struct {
	Title      detections.Text    `json:"title"`
	Reasons    []detections.Text  `json:"reasons"`
	Judged     int                `json:"judged,omitempty"` // priority that follows from the alerts; 0 where it is the column's
	Override   *Override          `json:"override,omitempty"`
	Severity   int                `json:"severity"` // the least the policy gave it
	Priority   int                `json:"priority"` // the least urgent the policy lets it be; 0 where it did not say
	CI         *CI                `json:"ci,omitempty"`
	System     *System            `json:"system,omitempty"`
	Owner      string             `json:"owner,omitempty"`
	Actors     []string           `json:"actors"` // addresses, to be shown
	Item       string             `json:"item"`   // the item that CI, System and Owner are of
	Core       int64              `json:"core"`   // when its gravest alerts began, Unix milliseconds
	Tactics    []string           `json:"tactics"`
	Techniques []string           `json:"techniques"`
	Phases     []string           `json:"phases,omitempty"` // in the order of the kill chain
	Attackers  []detections.Party `json:"attackers,omitempty"`
	Victims    []detections.Party `json:"victims,omitempty"`
	Root       *Root              `json:"root,omitempty"`  // of an incident of faults
	Merge      *Merged            `json:"merge,omitempty"` // of one that a merge rule made
	MergedInto string             `json:"merged_into,omitempty"`
	MergedFrom []string           `json:"merged_from,omitempty"`
}

// incident is a row with its doc and links unpacked.
type incident struct {
	incidentRow
	doc    incidentDoc
	items  []string     // what it is about: further alerts about these belong to it
	actors []string     // who did it: further alerts by these belong to it
	fresh  bool         // opened in this transaction
	draws  []tenantLink // items and actors, as live knows them
	// Once recompute has worked them out: the ranks of its gravest alerts, and of
	// those that its actors are taken from, -1 where there are none.
	ranked         bool
	gravest, grave int
}

func (i *incident) pack() error {
	doc, err := json.Marshal(&i.doc)
	if err != nil {
		return fmt.Errorf("ticketing: pack incident %s: %w", i.ID, err)
	}
	i.Doc = string(doc)
	i.settle()
	parts := []string{i.ID, i.doc.Title.ZH, i.doc.Title.EN, i.doc.Owner, strings.Join(i.doc.Actors, " ")}
	if i.doc.CI != nil {
		parts = append(parts, i.doc.CI.Name, i.doc.CI.ID)
	}
	if i.doc.System != nil {
		parts = append(parts, i.doc.System.Name, i.doc.System.ID)
	}
	i.Search = strings.ToLower(strings.Join(parts, " "))
	return nil
}

func (i *incident) unpack() error {
	if err := json.Unmarshal([]byte(i.Doc), &i.doc); err != nil {
		return fmt.Errorf("ticketing: unpack incident %s: %w", i.ID, err)
	}
	return nil
}

// view makes what the API shows at now.
func (i *incident) view(now time.Time) Incident {
	d := &i.doc
	return Incident{
		ID: i.ID, Tenant: i.Tenant, Title: d.Title, Severity: severityOf(i.Severity), Priority: priorityOf(i.Priority),
		Status: i.Status, CI: d.CI, System: d.System, Owner: d.Owner, Assignee: i.Assignee, Team: i.Team, Actors: orEmpty(d.Actors),
		OpenedAt: at(i.OpenedAt), FirstSeen: at(i.FirstSeen), LastSeen: at(i.LastSeen), AlertCount: i.AlertCount, KeyAsset: i.KeyAsset, DataLevel: i.DataLevel,
		Tactics: orEmpty(d.Tactics), Techniques: orEmpty(d.Techniques), Reasons: orEmpty(d.Reasons),
		Verdict: verdictOf(i.Verdict), Phases: orEmpty(d.Phases), Attackers: orEmpty(d.Attackers), Victims: orEmpty(d.Victims),
		SLA:            i.slaView(now),
		AcknowledgedAt: maybe(i.AcknowledgedAt), AcknowledgedBy: i.AcknowledgedBy,
		ClosedAt: maybe(i.ClosedAt), ClosedBy: i.ClosedBy, Resolution: i.Resolution,
		Judged: priorityOf(cmp.Or(d.Judged, i.Priority)), Override: d.Override,
		Root: d.Root, Merge: d.Merge, MergedInto: d.MergedInto, MergedFrom: d.MergedFrom,
		ArchivedAt: maybe(i.ArchivedAt), ArchivedBy: i.ArchivedBy,
	}
}

// timelineRow is one thing that happened to an alert or incident.
type timelineRow struct {
	bun.BaseModel `bun:"table:ticketing_timeline,alias:t"`
	Seq           int64  `bun:"seq,pk,autoincrement"`
	Object        string `bun:"object"`
	At            int64  `bun:"at"`
	Kind          string `bun:"kind"`
	Actor         string `bun:"actor"`
	Text          string `bun:"text"`
	Data          string `bun:"data"`
}

func entry(object string, now time.Time, kind, actor string, text detections.Text, data map[string]any) timelineRow {
	r := timelineRow{Object: object, At: now.UnixMilli(), Kind: kind, Actor: actor, Text: encoded(text)}
	if len(data) > 0 {
		d, _ := json.Marshal(data)
		r.Data = string(d)
	}
	return r
}

func (r *timelineRow) view() TimelineEntry {
	e := TimelineEntry{Time: at(r.At), Kind: r.Kind, Actor: r.Actor}
	_ = json.Unmarshal([]byte(r.Text), &e.Text)
	if r.Data != "" {
		_ = json.Unmarshal([]byte(r.Data), &e.Data)
	}
	return e
}

// occurrenceRow is an occurrence that was taken in, by its hash; see takeIn.
type occurrenceRow struct {
	bun.BaseModel `bun:"table:ticketing_occurrences,alias:o"`
	ID            []byte `bun:"id,pk"`
	TakenAt       int64  `bun:"taken_at"`
}

type linkRow struct {
	bun.BaseModel `bun:"table:ticketing_links,alias:l"`
	IncidentID    string `bun:"incident_id,pk"`
	Kind          string `bun:"kind,pk"`
	Value         string `bun:"value,pk"`
}

// The kinds of links.
const (
	linkItem  = "item"
	linkActor = "actor"
)

func at(ms int64) Time { return Time{time.UnixMilli(ms).UTC()} }

// when reads a time that may not have happened.
func when(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func maybe(ms int64) *Time {
	if ms == 0 {
		return nil
	}
	t := at(ms)
	return &t
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func splitList(s string) []string {
	if s == "" {
		return []string{}
	}
	return strings.Split(s, ",")
}

// union adds to a sorted list what it lacks.
func union(list []string, more ...string) []string {
	for _, m := range more {
		if m == "" {
			continue
		}
		if i, found := slices.BinarySearch(list, m); !found {
			list = slices.Insert(list, i, m)
		}
	}
	return list
}
