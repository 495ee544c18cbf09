package simulate

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strings"
	"text/template"
	"time"

	"go.yaml.in/yaml/v3"
)

//go:embed stories/*.yml
var embedded embed.FS

// Story is a scenario file: who does what to whom, in which steps. See
// stories/README.md for the format.
type Story struct {
	Name   string             `yaml:"name"`
	Title  map[string]string  `yaml:"title"`
	Kind   string             `yaml:"kind"` // "attack" or "benign"
	Expect Expect             `yaml:"expect"`
	Actors map[string]Actor   `yaml:"actors"`
	Vars   map[string]VarSpec `yaml:"vars"`
	Steps  []Step             `yaml:"steps"`
}

// Expect says what a suite with the built-in rules should make of the story.
type Expect struct {
	Incident bool   `yaml:"incident"`
	On       string `yaml:"on"` // actor whose host the incident is on
}

// Actor is one taking part: a host of the city by role, or somebody outside.
type Actor struct {
	Role    string `yaml:"role"`
	Outside bool   `yaml:"outside"`
}

// VarSpec is where a value comes from; exactly one way is set.
type VarSpec struct {
	Once    []string `yaml:"once"`    // one of these for the whole story
	Pick    []string `yaml:"pick"`    // one of these for each event
	Shuffle []string `yaml:"shuffle"` // each in turn, in an order of the seed's
	Between []int    `yaml:"between"` // a number from the first to the second, for each event
}

// Step is one part of a story: a number of events over some time.
type Step struct {
	Name    string    `yaml:"name"`
	Chance  *float64  `yaml:"chance"`  // of happening at all; 1 without
	Overlap float64   `yaml:"overlap"` // chance to begin while the step before goes on
	Count   [2]int    `yaml:"count"`   // events, from and to; one without
	Over    [2]Length `yaml:"over"`    // how long they take together
	Pause   [2]Length `yaml:"pause"`   // before the step
	Jitter  float64   `yaml:"jitter"`  // share of the gap by which an event may be off, 0 to 1
	Lines   []Line    `yaml:"lines"`   // what each event sends
	// Variants are alternatives to Lines, one of which is taken for the whole
	// step.
	Variants [][]Line `yaml:"variants"`
}

// Line is one message. Text and PID are templates over the actors (each with
// .Name, .Address, .FQDN) and variables.
type Line struct {
	Device   string            `yaml:"device"`   // actor whose host sends it
	Channel  string            `yaml:"channel"`  // "" or syslog: the seed chooses the kind; else syslog-tcp, syslog-udp, elastic, loki
	App      string            `yaml:"app"`      // program
	PID      string            `yaml:"pid"`      // template
	Facility string            `yaml:"facility"` // syslog facility by name; auth without
	Severity string            `yaml:"severity"` // syslog severity by name; info without
	Text     string            `yaml:"text"`     // template
	Fields   map[string]string `yaml:"fields"`   // further fields of an elastic document, templates
	Chance   *float64          `yaml:"chance"`   // of being sent with its event; 1 without
	parsed   map[string]*template.Template
}

// Length is a length of time as Go writes it, "1.5s".
type Length time.Duration

// UnmarshalYAML reads a length of time.
func (l *Length) UnmarshalYAML(n *yaml.Node) error {
	d, err := time.ParseDuration(n.Value)
	if err != nil || d < 0 {
		return fmt.Errorf("line %d: %q is not a length of time such as 500ms or 2s", n.Line, n.Value)
	}
	*l = Length(d)
	return nil
}

var facilities = map[string]int{"kern": 0, "user": 1, "mail": 2, "daemon": 3, "auth": 4, "syslog": 5, "cron": 9, "authpriv": 10,
	"local0": 16, "local1": 17, "local2": 18, "local3": 19, "local4": 20, "local5": 21, "local6": 22, "local7": 23}

var severities = map[string]int{"emerg": 0, "alert": 1, "crit": 2, "err": 3, "warning": 4, "notice": 5, "info": 6, "debug": 7}

// Channels a message can take.
const (
	ChannelTCP     = "syslog-tcp"
	ChannelUDP     = "syslog-udp"
	ChannelElastic = "elastic"
	ChannelLoki    = "loki"
)

// StoryNames lists the embedded stories.
func StoryNames() []string {
	var names []string
	files, _ := fs.Glob(embedded, "stories/*.yml")
	for _, f := range files {
		names = append(names, strings.TrimSuffix(path.Base(f), ".yml"))
	}
	return names
}

// LoadStory reads an embedded story by name, or a file.
func LoadStory(name string) (*Story, error) {
	data, err := embedded.ReadFile("stories/" + name + ".yml")
	where := name
	if err != nil {
		if data, err = os.ReadFile(name); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil, fmt.Errorf("story %q: there is no such file, and the built-in stories are %s", name, strings.Join(StoryNames(), ", "))
			}
			return nil, fmt.Errorf("story: %w", err)
		}
	}
	return ParseStory(where, data)
}

// ParseStory reads and checks a scenario file. where names it in errors.
func ParseStory(where string, data []byte) (*Story, error) {
	var s Story
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&s); err != nil {
		return nil, fmt.Errorf("story %s: %w", where, err)
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("story %s: %w", where, err)
	}
	return &s, nil
}

func (s *Story) check() error {
	if s.Name == "" || len(s.Steps) == 0 {
		return errors.New("name and steps are needed")
	}
	if s.Kind != "attack" && s.Kind != "benign" {
		return fmt.Errorf("kind %q: want attack or benign", s.Kind)
	}
	for name, a := range s.Actors {
		if a.Outside == (a.Role != "") {
			return fmt.Errorf("actor %s: want either a role or outside: true", name)
		}
	}
	if a, ok := s.Actors[s.Expect.On]; s.Expect.Incident && (!ok || a.Outside) {
		return fmt.Errorf("expect.on %q: want an actor with a role", s.Expect.On)
	}
	for name, v := range s.Vars {
		ways := 0
		for _, set := range []bool{len(v.Once) > 0, len(v.Pick) > 0, len(v.Shuffle) > 0, len(v.Between) > 0} {
			if set {
				ways++
			}
		}
		if _, clash := s.Actors[name]; ways != 1 || clash {
			return fmt.Errorf("variable %s: want exactly one of once, pick, shuffle, between, and a name no actor has", name)
		}
		if len(v.Between) > 0 && (len(v.Between) != 2 || v.Between[0] > v.Between[1]) {
			return fmt.Errorf("variable %s: between wants two numbers, the smaller first", name)
		}
	}
	for i := range s.Steps {
		if err := s.checkStep(&s.Steps[i]); err != nil {
			return fmt.Errorf("step %d (%s): %w", i+1, s.Steps[i].Name, err)
		}
	}
	return nil
}

func (s *Story) checkStep(st *Step) error {
	if st.Count == [2]int{} {
		st.Count = [2]int{1, 1}
	}
	if st.Count[0] < 1 || st.Count[1] < st.Count[0] || st.Count[1] > 100000 {
		return fmt.Errorf("count %v: want two numbers from 1 to 100000, the smaller first", st.Count)
	}
	if st.Over[1] < st.Over[0] || st.Pause[1] < st.Pause[0] {
		return errors.New("over and pause want two lengths of time, the smaller first")
	}
	if st.Jitter < 0 || st.Jitter > 1 || st.Overlap < 0 || st.Overlap > 1 || chance(st.Chance) < 0 || chance(st.Chance) > 1 {
		return errors.New("chance, overlap and jitter want a number from 0 to 1")
	}
	if (len(st.Lines) > 0) == (len(st.Variants) > 0) {
		return errors.New("want either lines or variants")
	}
	if len(st.Lines) > 0 {
		st.Variants = [][]Line{st.Lines}
	}
	sample := map[string]any{}
	for name := range s.Actors {
		sample[name] = Party{Name: "h", Address: "192.0.2.1", FQDN: "h.example"}
	}
	for name := range s.Vars {
		sample[name] = "1"
	}
	for v := range st.Variants {
		for l := range st.Variants[v] {
			if err := s.checkLine(&st.Variants[v][l], sample); err != nil {
				return fmt.Errorf("variant %d, line %d: %w", v+1, l+1, err)
			}
		}
	}
	return nil
}

func (s *Story) checkLine(l *Line, sample map[string]any) error {
	if a, ok := s.Actors[l.Device]; !ok || a.Outside {
		return fmt.Errorf("device %q: want an actor with a role", l.Device)
	}
	if !slices.Contains([]string{"", "syslog", ChannelTCP, ChannelUDP, ChannelElastic, ChannelLoki}, l.Channel) {
		return fmt.Errorf("channel %q: want syslog, %s, %s, %s or %s", l.Channel, ChannelTCP, ChannelUDP, ChannelElastic, ChannelLoki)
	}
	if l.Facility == "" {
		l.Facility = "auth"
	}
	if l.Severity == "" {
		l.Severity = "info"
	}
	if _, ok := facilities[l.Facility]; !ok {
		return fmt.Errorf("facility %q is none of syslog's", l.Facility)
	}
	if _, ok := severities[l.Severity]; !ok {
		return fmt.Errorf("severity %q is none of syslog's", l.Severity)
	}
	l.parsed = map[string]*template.Template{}
	texts := map[string]string{"text": l.Text, "pid": l.PID}
	for name, text := range l.Fields {
		texts["field "+name] = text
	}
	for name, text := range texts {
		t, err := template.New(name).Option("missingkey=error").Funcs(templateFuncs(time.Now())).Parse(text)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		// A trial run finds names that nobody defines before anything is sent.
		if err := t.Execute(new(bytes.Buffer), sample); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		l.parsed[name] = t
	}
	return nil
}

// templateFuncs are the functions a line can call, with the time it is sent.
func templateFuncs(now time.Time) template.FuncMap {
	return template.FuncMap{
		"clf":    func() string { return now.Format("02/Jan/2006:15:04:05 -0700") },
		"uptime": func() string { return fmt.Sprintf("%d.%06d", now.Unix()%4_000_000, now.Nanosecond()/1000) },
	}
}

// Party is an actor as templates see it.
type Party struct{ Name, Address, FQDN string }

// Message is one planned message: everything drawn, but not yet rendered,
// since it carries the time at which it is sent.
type Message struct {
	At     time.Duration // after the story's start
	Line   *Line
	Host   *Host
	Step   string
	values map[string]any
}

// Render fills in the templates with the time of sending.
func (m *Message) Render(now time.Time) (text, pid string, fields map[string]string, err error) {
	one := func(name string) (string, error) {
		t, err := m.Line.parsed[name].Clone()
		if err != nil {
			return "", err
		}
		var b strings.Builder
		err = t.Funcs(templateFuncs(now)).Execute(&b, m.values)
		return b.String(), err
	}
	if text, err = one("text"); err != nil {
		return "", "", nil, err
	}
	if pid, err = one("pid"); err != nil {
		return "", "", nil, err
	}
	for name := range m.Line.Fields {
		v, err := one("field " + name)
		if err != nil {
			return "", "", nil, err
		}
		if fields == nil {
			fields = map[string]string{}
		}
		fields[name] = v
	}
	return text, pid, fields, nil
}

// Plan is a story with everything that the seed decides decided.
type Plan struct {
	Story    *Story
	Start    time.Duration // after the simulation's start
	Messages []Message     // by At
	Parties  map[string]Party
	Hosts    map[string]*Host
	Steps    []string // those that happen, in order
}

// Length is how long the story takes.
func (p *Plan) Length() time.Duration {
	if len(p.Messages) == 0 {
		return 0
	}
	return p.Messages[len(p.Messages)-1].At
}

// Fit shortens the story's pauses and gaps evenly where it takes longer than d.
func (p *Plan) Fit(d time.Duration) {
	if length := p.Length(); length > d && length > 0 {
		for i := range p.Messages {
			p.Messages[i].At = time.Duration(float64(p.Messages[i].At) * float64(d) / float64(length))
		}
	}
}

// Plan draws a story for a city. The same seed and story give the same plan.
func (s *Story) Plan(c *City) (*Plan, error) {
	h := uint64(0)
	for _, b := range []byte(s.Name) {
		h = h*31 + uint64(b)
	}
	rnd := rand.New(rand.NewPCG(uint64(c.Seed), h))
	p := &Plan{Story: s, Parties: map[string]Party{}, Hosts: map[string]*Host{}}
	for n, name := range sorted(s.Actors) {
		a := s.Actors[name]
		if a.Outside {
			addr := outsider(c.Seed, n)
			p.Parties[name] = Party{Address: addr, Name: addr, FQDN: addr}
			continue
		}
		host, ok := c.pick(a.Role, rnd)
		if !ok {
			return nil, fmt.Errorf("story %s: actor %s: the city has no host of role %q", s.Name, name, a.Role)
		}
		p.Hosts[name] = host
		p.Parties[name] = Party{Name: host.Name, Address: host.Address, FQDN: host.FQDN()}
	}
	draw := newDrawer(s.Vars, rnd)
	var start, end time.Duration // of the step before
	for i := range s.Steps {
		st := &s.Steps[i]
		if rnd.Float64() >= chance(st.Chance) {
			continue
		}
		begin := end + span(st.Pause, rnd)
		if st.Overlap > 0 && i > 0 && rnd.Float64() < st.Overlap {
			begin = start + time.Duration(rnd.Float64()*float64(end-start))
		}
		last := p.planStep(st, begin, draw, rnd)
		p.Steps = append(p.Steps, st.Name)
		start, end = begin, max(end, last)
	}
	slices.SortStableFunc(p.Messages, func(a, b Message) int { return int(a.At - b.At) })
	return p, nil
}

// planStep adds a step's messages and tells when its last one is sent.
func (p *Plan) planStep(st *Step, begin time.Duration, draw *drawer, rnd *rand.Rand) time.Duration {
	lines := st.Variants[rnd.IntN(len(st.Variants))]
	count := st.Count[0] + rnd.IntN(st.Count[1]-st.Count[0]+1)
	gap := time.Duration(0)
	if count > 1 {
		gap = span(st.Over, rnd) / time.Duration(count-1)
	}
	last := begin
	for n := range count {
		at := begin + time.Duration(n)*gap
		if st.Jitter > 0 && n > 0 {
			at += time.Duration((rnd.Float64() - 0.5) * st.Jitter * float64(gap))
		}
		values := draw.next()
		for name, party := range p.Parties {
			values[name] = party
		}
		for l := range lines {
			if rnd.Float64() >= chance(lines[l].Chance) {
				continue
			}
			// The lines of one event follow one another by a few milliseconds.
			p.Messages = append(p.Messages, Message{At: at + time.Duration(l)*4*time.Millisecond, Line: &lines[l], Host: p.Hosts[lines[l].Device], Step: st.Name, values: values})
		}
		last = max(last, at)
	}
	return last
}

// drawer gives each event its values.
type drawer struct {
	specs map[string]VarSpec
	names []string
	once  map[string]string
	order map[string][]int
	turn  map[string]int
	rnd   *rand.Rand
}

func newDrawer(specs map[string]VarSpec, rnd *rand.Rand) *drawer {
	d := &drawer{specs: specs, names: sorted(specs), once: map[string]string{}, order: map[string][]int{}, turn: map[string]int{}, rnd: rnd}
	for _, name := range d.names {
		v := specs[name]
		if len(v.Once) > 0 {
			d.once[name] = v.Once[rnd.IntN(len(v.Once))]
		}
		if len(v.Shuffle) > 0 {
			d.order[name] = rnd.Perm(len(v.Shuffle))
		}
	}
	return d
}

func (d *drawer) next() map[string]any {
	values := make(map[string]any, len(d.names)+4)
	for _, name := range d.names {
		v := d.specs[name]
		switch {
		case len(v.Once) > 0:
			values[name] = d.once[name]
		case len(v.Pick) > 0:
			values[name] = v.Pick[d.rnd.IntN(len(v.Pick))]
		case len(v.Shuffle) > 0:
			values[name] = v.Shuffle[d.order[name][d.turn[name]%len(v.Shuffle)]]
			d.turn[name]++
		default:
			values[name] = fmt.Sprint(v.Between[0] + d.rnd.IntN(v.Between[1]-v.Between[0]+1))
		}
	}
	return values
}

func chance(c *float64) float64 {
	if c == nil {
		return 1
	}
	return *c
}

func span(s [2]Length, rnd *rand.Rand) time.Duration {
	if s[1] <= s[0] {
		return time.Duration(s[0])
	}
	return time.Duration(s[0]) + time.Duration(rnd.Int64N(int64(s[1]-s[0])))
}

func sorted[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
