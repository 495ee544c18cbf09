package config

// Alerts configures how alerts become incidents.
type Alerts struct {
	Faults Faults `yaml:"faults" doc:"Alerts of items that are down, cannot be reached or do not answer in time: those on items that depend on one another form one incident, which names the likely root."`
}

// Faults configures how alerts of items that fail are put together.
type Faults struct {
	Wait    Duration `yaml:"wait" doc:"How long an alert waits for others before it opens an incident; 0s opens at once."`
	Window  Duration `yaml:"window" doc:"How long after a cause, or before it, its consequences may begin."`
	Opens   string   `yaml:"opens" doc:"Least level of a fault that opens an incident by itself: informational, low, medium, high or critical."`
	Least   int      `yaml:"least" doc:"How many of an item's dependents must fail at once for it to be inferred as their root though it tells nothing itself; -1 infers none."`
	Percent int      `yaml:"percent" doc:"How many percent of its dependents must fail for that."`
}
