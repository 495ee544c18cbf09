package config

// Alerts configures how alerts become incidents.
type Alerts struct {
	Faults   Faults   `yaml:"faults" doc:"Alerts of items that are down, cannot be reached or do not answer in time: those on items that depend on one another form one incident, which names the likely root."`
	Flapping Flapping `yaml:"flapping" doc:"Alerts that change between firing and recovered again and again: they are held open, their changes are counted, and nobody is told until they are calm."`
	Storm    Storm    `yaml:"storm" doc:"Limits of intake: firings beyond them are counted and not worked each."`
}

// Flapping configures how alerts that change again and again are damped.
type Flapping struct {
	Changes int      `yaml:"changes" doc:"More than so many changes within the window begin it; -1 never."`
	Window  Duration `yaml:"window" doc:"How far back changes are counted."`
	Calm    Duration `yaml:"calm" doc:"How long nothing must have changed for it to be over."`
}

// Storm configures the limits of intake.
type Storm struct {
	Rule   int      `yaml:"rule" doc:"Firings of one rule of one tenant that are worked within the time below; -1 for no limit."`
	Source int      `yaml:"source" doc:"Firings of one source of pushed alerts that are worked within it; -1 for no limit."`
	Per    Duration `yaml:"per" doc:"The time that the limits are for."`
}

// Faults configures how alerts of items that fail are put together.
type Faults struct {
	Wait    Duration `yaml:"wait" doc:"How long an alert waits for others before it opens an incident; 0s opens at once."`
	Window  Duration `yaml:"window" doc:"How long after a cause, or before it, its consequences may begin."`
	Opens   string   `yaml:"opens" doc:"Least level of a fault that opens an incident by itself: informational, low, medium, high or critical."`
	Least   int      `yaml:"least" doc:"How many of an item's dependents must fail at once for it to be inferred as their root though it tells nothing itself; -1 infers none."`
	Percent int      `yaml:"percent" doc:"How many percent of its dependents must fail for that."`
}
