package config

// Rules configures detection content.
type Rules struct {
	Dirs     []string    `yaml:"dirs" doc:"Folders of Sigma rules and Rego policies; later folders override earlier ones by rule id. Changes take effect within seconds."`
	BuiltIn  bool        `yaml:"built_in" doc:"Whether the rules that come with the suite are in force. The policies and the table of log sources are in any case, unless a folder overrides them."`
	Interval Duration    `yaml:"interval" doc:"How often the folders are looked at besides, where the system does not tell of changes, as on network file systems."`
	Policy   PolicyTrust `yaml:"policy" doc:"Whose Rego policies are in force, and the log of what they decide."`
	Flood    Flood       `yaml:"flood" doc:"When a rule fires so much that it is throttled: everything is still counted, but not each match raises an occurrence of its own."`
	Slow     Slow        `yaml:"slow" doc:"When a rule takes so much of the engine's time that it is set aside for a while."`

	Correlation Correlation `yaml:"correlation" doc:"What correlations may hold of events (docs/correlation.md)."`
}

// Parsers says where parser packs are.
type Parsers struct {
	Dirs     []string `yaml:"dirs" doc:"Folders of parser packs, each <vendor>/<product>/pack.yml; later folders, and all of them before the suite's own, override packs of the same vendor and product. Changes take effect within seconds."`
	Interval Duration `yaml:"interval" doc:"How often the folders are looked at besides, where the system does not tell of changes."`
}

// Correlation bounds the state of correlations.
type Correlation struct {
	Memory   Size     `yaml:"memory" doc:"Memory for groups of events; some 350 bytes each. Beyond it the groups that have been silent longest are dropped, counted, and an alarm says so."`
	Lateness Duration `yaml:"lateness" doc:"How much older than the newest of its group an event may be and still count, where the rule does not say."`
}

// PolicyTrust says whose policies are in force.
type PolicyTrust struct {
	Keys             []PolicyKey `yaml:"keys" doc:"Public keys that signatures of policy bundles (*.tar.gz in the folders of rules, made by opa build --bundle --signing-key) are verified with. A bundle that is signed by no key listed here is refused, and its last good state stays in force."`
	RequireSignature bool        `yaml:"require_signature" doc:"Whether policies that are not signed are refused: bundles without a signature, and plain Rego files in dirs. The suite's own policies are trusted in any case."`
	Decisions        int         `yaml:"decisions" doc:"Decisions of policies that the decision log keeps, the newest."`
	DecisionRate     int         `yaml:"decision_rate" doc:"Decisions that it takes a second; those beyond are counted and not kept."`
}

// PolicyKey is a public key that verifies policy bundles.
type PolicyKey struct {
	Name      string `yaml:"name" doc:"Shown beside what it has verified."`
	File      string `yaml:"file" doc:"Public key or certificate in PEM."`
	Algorithm string `yaml:"algorithm" doc:"Of JSON Web Signatures: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 or ES512; what opa build --signing-alg was given, there RS256 by default."`
}

// Flood bounds what one rule may raise.
type Flood struct {
	Rate     int      `yaml:"rate" doc:"Occurrences a second, on the average of the window, up to which a rule raises each; 0 is without bound."`
	Window   Duration `yaml:"window" doc:"Over which the rate is taken."`
	Interval Duration `yaml:"interval" doc:"A throttled rule raises one occurrence a group in so long, which says how many matches it stands for."`
}

// Slow bounds what one rule may take of the engine's time.
type Slow struct {
	Percent int      `yaml:"percent" doc:"Of one processor core's time that a rule may take all through the window; 0 is without bound."`
	Window  Duration `yaml:"window" doc:"Over which the time is taken."`
	Pause   Duration `yaml:"pause" doc:"For which a rule is set aside the first time; it doubles each time the rule is slow again, up to 1h."`
}
