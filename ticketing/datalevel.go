package ticketing

import (
	"fmt"
	"slices"

	"icewatch/detections"
)

// DataLevels know the security level of the data that a configuration item holds,
// else its business system, 1 (least) to 5; 0 where neither says. It is called
// inside a write transaction and must not use the database. *cmdb.Service
// implements it.
type DataLevels interface {
	DataLevel(item, system string) int
}

// DataFloor is the least severity of alerts about data of a level.
type DataFloor struct {
	Level    int              `json:"level" minimum:"1" maximum:"5" doc:"Security level of the data"`
	Severity detections.Level `json:"severity" enum:"critical,high,medium,low,informational" doc:"Alerts about it are at least as severe"`
}

// DataFloors say how the level of data sets the severity of alerts. It is a setting.
type DataFloors struct {
	Floors []DataFloor `json:"floors" nullable:"false" maxItems:"5" doc:"Levels without one raise nothing"`
}

// DefaultDataFloors raise alerts about data from level 3 on.
func DefaultDataFloors() DataFloors {
	return DataFloors{Floors: []DataFloor{{3, detections.Medium}, {4, detections.High}, {5, detections.Critical}}}
}

var severities = []detections.Level{detections.Informational, detections.Low, detections.Medium, detections.High, detections.Critical}

// Check names the first floor that cannot be.
func (f DataFloors) Check() error {
	seen := map[int]detections.Level{}
	for i, x := range f.Floors {
		at := fmt.Sprintf("floors[%d]", i)
		switch _, twice := seen[x.Level]; {
		case x.Level < 1 || x.Level > 5:
			return fmt.Errorf("%s.level: %d: want 1 to 5", at, x.Level)
		case twice:
			return fmt.Errorf("%s.level: %d is given twice", at, x.Level)
		case !slices.Contains(severities, x.Severity):
			return fmt.Errorf("%s.severity: %q: want critical, high, medium, low or informational", at, x.Severity)
		}
		for level, severity := range seen {
			if level < x.Level && severityRank(severity) > severityRank(x.Severity) || level > x.Level && severityRank(severity) < severityRank(x.Severity) {
				return fmt.Errorf("%s.severity: %s for level %d, and %s for level %d: want no less for a higher level", at, x.Severity, x.Level, severity, level)
			}
		}
		seen[x.Level] = x.Severity
	}
	return nil
}

// grade has an alert say how its owner graded the data that it is about, as things
// stand now, and raises its severity to what is the least for that level. What was
// raised stays so until the alert closes.
func (s *Service) grade(a *alert) {
	if s.dataLevels == nil {
		return
	}
	level := 0
	if a.CIID != "" || a.SystemID != "" {
		level = s.dataLevels.DataLevel(a.CIID, a.SystemID)
	}
	a.keyed = a.keyed || !a.fresh && level != a.DataLevel // its incident says so too
	a.DataLevel = level
	if level == 0 || s.dataFloors == nil {
		return
	}
	for _, f := range s.dataFloors().Floors {
		if rank := severityRank(f.Severity); f.Level == level && rank > a.Severity {
			if was := a.Severity; a.doc.RaisedFrom == nil {
				a.doc.RaisedFrom = &was
			}
			a.Severity, a.raised = rank, true
		}
	}
}

// sayGrade adds to the reasons of an alert's priority that its data raised it.
func (a *alert) sayGrade() {
	if a.doc.RaisedFrom == nil || a.DataLevel == 0 {
		return
	}
	a.doc.Reasons = append(slices.Clone(a.doc.Reasons), detections.Text{
		ZH: fmt.Sprintf("涉及 %d 级数据，告警级别不低于%s", a.DataLevel, severityZH[severityOf(a.Severity)]),
		EN: fmt.Sprintf("It is about data of level %d: its severity is %s at least", a.DataLevel, severityOf(a.Severity)),
	})
}

var severityZH = map[detections.Level]string{detections.Critical: "紧急", detections.High: "高", detections.Medium: "中", detections.Low: "低", detections.Informational: "提示"}

// severityIf is the severity of a rank where there is one.
func severityIf(rank *int) detections.Level {
	if rank == nil {
		return ""
	}
	return severityOf(*rank)
}
