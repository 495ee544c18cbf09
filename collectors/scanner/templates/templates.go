// Package templates runs nuclei's engine on templates: our own, which are shipped
// with the scanner, those of signed packages of the suite, and those of a folder of
// the community's. The engine is held to a run's scope: its sockets come from the
// run's dialer, it looks no name up, and nothing of it speaks to its makers, to
// servers of interactions or to servers of updates.
//
// Templates of the protocols http, tcp and ssl are run. Those that run code,
// browsers or scripts, read files, ask name servers, or name addresses of their own
// are left out and counted.
package templates

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/logrusorgru/aurora/v4"
	"github.com/projectdiscovery/fastdialer/fastdialer"
	"github.com/projectdiscovery/gologger"
	"github.com/projectdiscovery/gologger/levels"
	"github.com/projectdiscovery/nuclei/v3/pkg/catalog/config"
	"github.com/projectdiscovery/nuclei/v3/pkg/catalog/disk"
	"github.com/projectdiscovery/nuclei/v3/pkg/input"
	"github.com/projectdiscovery/nuclei/v3/pkg/output"
	"github.com/projectdiscovery/nuclei/v3/pkg/progress"
	"github.com/projectdiscovery/nuclei/v3/pkg/protocols"
	"github.com/projectdiscovery/nuclei/v3/pkg/protocols/common/contextargs"
	"github.com/projectdiscovery/nuclei/v3/pkg/protocols/common/protocolinit"
	"github.com/projectdiscovery/nuclei/v3/pkg/protocols/common/protocolstate"
	"github.com/projectdiscovery/nuclei/v3/pkg/scan"
	nuclei "github.com/projectdiscovery/nuclei/v3/pkg/templates"
	"github.com/projectdiscovery/nuclei/v3/pkg/types"
	"github.com/projectdiscovery/ratelimit"
	"github.com/rs/xid"

	"icewatch/collectors/scanner/check"
	_ "icewatch/collectors/scanner/home" // First of all, see there.
	"icewatch/collectors/scanner/scope"
	"icewatch/collectors/scanner/wire"
)

//go:embed shipped/*.yaml
var shipped embed.FS

// Version is nuclei's.
var Version = strings.TrimPrefix(config.Version, "v")

// Source is a place of templates.
type Source struct {
	Kind string // of wire's Source constants
	Name string
	FS   fs.FS
}

// Shipped are the scanner's own.
func Shipped() Source {
	sub, err := fs.Sub(shipped, "shipped")
	if err != nil {
		panic(err) // It is embedded above.
	}
	return Source{Kind: wire.SourceShipped, FS: sub}
}

// Folder is a folder of the community's templates.
func Folder(dir string) Source {
	return Source{Kind: wire.SourceCommunity, Name: dir, FS: os.DirFS(dir)}
}

// Bounds of a source.
const (
	maxTemplate  = 512 << 10
	maxTemplates = 50_000
)

// read walks a source's templates in their order.
func (s Source) read(each func(name string, data []byte) error) error {
	n := 0
	return fs.WalkDir(s.FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != "." && strings.HasPrefix(d.Name(), ".") {
				return fs.SkipDir
			}
			return nil
		}
		if ext := path.Ext(name); ext != ".yaml" && ext != ".yml" || !d.Type().IsRegular() {
			return nil
		}
		if n++; n > maxTemplates {
			return fmt.Errorf("more than %d templates", maxTemplates)
		}
		if info, err := d.Info(); err != nil || info.Size() > maxTemplate {
			return each(name, nil)
		}
		data, err := fs.ReadFile(s.FS, name)
		if err != nil {
			return err
		}
		return each(name, data)
	})
}

// Describe tells of a source what a checkin tells.
func (s Source) Describe() (wire.Templates, error) {
	sum := sha256.New()
	out := wire.Templates{Source: s.Kind, Name: s.Name}
	err := s.read(func(name string, data []byte) error {
		one := sha256.Sum256(data)
		fmt.Fprintf(sum, "%s %x\n", name, one)
		out.Count++
		return nil
	})
	out.Digest = hex.EncodeToString(sum.Sum(nil))
	return out, err
}

// Engine has a run's templates ready.
type Engine struct {
	opts   *types.Options
	exec   *protocols.ExecutorOptions
	dialer *scope.Dialer
	list   []*nuclei.Template
	tmp    string
	// Left are templates that were left out, by why.
	Left map[string]int
}

// starting holds back a second engine while one starts: the library keeps state of its own.
var starting sync.Mutex

// disturbing are tags of templates that are not for safe mode.
var disturbing = []string{"intrusive", "dos", "fuzz", "brute-force", "bruteforce", "default-login", "rce", "oast", "fileupload"}

// New reads the templates that a run wants.
func New(ctx context.Context, d *scope.Dialer, sources []Source, want check.Selection, unsafe bool, packets int) (*Engine, error) {
	starting.Lock()
	defer starting.Unlock()
	gologger.DefaultLogger.SetMaxLevel(levels.LevelSilent)
	config.DefaultConfig.DisableUpdateCheck()
	opts := types.DefaultOptions()
	opts.ExecutionId = xid.New().String()
	opts.Logger = gologger.DefaultLogger
	opts.Silent, opts.NoColor, opts.NoInteractsh, opts.DisableRedirects, opts.DisableClustering, opts.NoHostErrors = true, true, true, true, true, true
	opts.Timeout, opts.Retries, opts.RateLimit, opts.RateLimitDuration = 30, 0, packets, time.Second
	opts.TemplateThreads, opts.BulkSize, opts.PayloadConcurrency = 1, 1, 1
	opts.ResponseReadSize, opts.ResponseSaveSize = 1<<20, 64<<10
	// No resolver of the system and none of the library's: a port of this host that answers nothing.
	opts.InternalResolversList = []string{"127.0.0.1:9"}
	if err := protocolstate.Init(opts); err != nil {
		return nil, fmt.Errorf("nuclei: %w", err)
	}
	dialers := protocolstate.GetDialersWithId(opts.ExecutionId)
	mine := d.Net("nuclei")
	mine.Timeout = 30 * time.Second // The pace may hold a connect back within it.
	if d.Pace != nil {
		control := mine.Control
		mine.ControlContext = func(ctx context.Context, network, address string, c syscall.RawConn) error {
			if err := control(network, address, c); err != nil {
				return err
			}
			if a, err := netip.ParseAddrPort(address); err == nil {
				return d.Pace.Wait(ctx, a.Addr())
			}
			return nil
		}
		mine.Control = nil
	}
	fast, err := fastdialer.NewDialer(fastdialer.Options{BaseResolvers: []string{"127.0.0.1:9"}, MaxRetries: 1, CacheType: fastdialer.Memory, DialerTimeout: 30 * time.Second,
		Dialer: mine, WithDialerHistory: true, OnInvalidTarget: func(host, ip, port string) { d.Refuse(net.JoinHostPort(host, port), "refused", "nuclei") }})
	if err != nil {
		return nil, fmt.Errorf("nuclei: %w", err)
	}
	dialers.Fastdialer.Close()
	dialers.Fastdialer = fast
	if err := protocolinit.Init(opts); err != nil {
		return nil, fmt.Errorf("nuclei: %w", err)
	}
	stats, err := progress.NewStatsTicker(0, false, false, false, 0)
	if err != nil {
		return nil, fmt.Errorf("nuclei: %w", err)
	}
	tmp, err := os.MkdirTemp("", "icewatch-scanner-run-")
	if err != nil {
		return nil, err
	}
	e := &Engine{opts: opts, dialer: d, Left: map[string]int{}, tmp: tmp}
	parser := nuclei.NewParser()
	opts.Parser = parser
	e.exec = &protocols.ExecutorOptions{Output: discard{}, Options: opts, Progress: stats, Catalog: disk.NewFSCatalog(os.DirFS(tmp), "."), RateLimiter: ratelimit.New(ctx, uint(max(1, packets)), time.Second),
		Colorizer: aurora.New(aurora.WithColors(false)), ResumeCfg: types.NewResumeCfg(), Parser: parser, InputHelper: input.NewHelper(), TemporaryDirectory: tmp, Logger: opts.Logger}
	e.exec.CreateTemplateCtxStore()
	ids := map[string]bool{}
	for _, s := range sources {
		err := s.read(func(name string, data []byte) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if data == nil {
				e.Left["too large"]++
				return nil
			}
			t, why := e.parse(data, want, unsafe)
			if t != nil && ids[t.ID] {
				t, why = nil, "an id that another has"
			}
			if t == nil {
				if s.Kind == wire.SourceShipped && why != "not wanted" {
					return fmt.Errorf("shipped template %s: %s", name, why)
				}
				e.Left[why]++
				return nil
			}
			ids[t.ID] = true
			e.list = append(e.list, t)
			return nil
		})
		if err != nil {
			e.Close()
			return nil, fmt.Errorf("templates %s %s: %w", s.Kind, s.Name, err)
		}
	}
	return e, nil
}

// parse reads one template; why tells why it is left out.
func (e *Engine) parse(data []byte, want check.Selection, unsafe bool) (t *nuclei.Template, why string) {
	defer func() {
		if r := recover(); r != nil { // The library's parser is not ours to trust with what people wrote.
			t, why = nil, "unreadable"
		}
	}()
	exec := e.exec.Copy()
	t, err := nuclei.ParseTemplateFromReader(strings.NewReader(string(data)), nil, exec)
	if err != nil {
		if errors.Is(err, context.Canceled) {
			return nil, "cancelled"
		}
		return nil, "unreadable: " + reason(err)
	}
	tags := t.Info.Tags.ToSlice()
	switch {
	case t.SelfContained:
		return nil, "names addresses of its own"
	case len(t.Workflows) > 0 || t.Flow != "":
		return nil, "a workflow"
	case len(t.RequestsCode)+len(t.RequestsHeadless)+len(t.RequestsJavascript)+len(t.RequestsDNS)+len(t.RequestsFile)+len(t.RequestsWHOIS)+len(t.RequestsWebsocket) > 0:
		return nil, "another protocol than http, tcp and ssl"
	case len(t.RequestsHTTP)+len(t.RequestsNetwork)+len(t.RequestsSSL) == 0:
		return nil, "without requests"
	case !unsafe && slices.ContainsFunc(tags, func(tag string) bool { return slices.Contains(disturbing, strings.ToLower(strings.TrimSpace(tag))) }):
		return nil, "not for safe mode"
	case !want.Takes(t.ID, tags):
		return nil, "not wanted"
	}
	return t, ""
}

func reason(err error) string {
	s := err.Error()
	return s[:min(len(s), 120)]
}

// Len is how many templates are ready.
func (e *Engine) Len() int { return len(e.list) }

// IDs are those of the templates that are ready.
func (e *Engine) IDs() []string {
	out := make([]string, len(e.list))
	for i, t := range e.list {
		out[i] = t.ID
	}
	return out
}

// Close gives back what the engine holds.
func (e *Engine) Close() {
	protocolinit.Close(e.opts.ExecutionId)
	if e.exec != nil && e.exec.RateLimiter != nil {
		e.exec.RateLimiter.Stop()
	}
	_ = os.RemoveAll(e.tmp)
}

// Service runs the templates that fit a service.
func (e *Engine) Service(ctx context.Context, t check.Target, found func(wire.Weakness), note func(wire.Note)) {
	web := t.Service.HTTP != nil || t.Service.Name == "http" || t.Service.Name == "https"
	for _, tm := range e.list {
		if ctx.Err() != nil {
			return
		}
		input := t.Dial()
		switch {
		case len(tm.RequestsHTTP) > 0 && !web, len(tm.RequestsSSL) > 0 && t.Service.TLS == nil, len(tm.RequestsNetwork) > 0 && (web || t.Service.Protocol != "tcp"):
			continue
		case len(tm.RequestsHTTP) > 0:
			input = t.URL()
		case len(tm.RequestsNetwork) > 0 && !atPort(tm, t.Service.Port):
			continue
		}
		results, err := e.run(ctx, tm, t, input)
		if err != nil && ctx.Err() == nil && note != nil && !errors.Is(err, scope.ErrOutside) {
			// A request without an answer is what most templates come to; only what the library itself failed at is told.
			if strings.Contains(err.Error(), "panic") {
				note(wire.Note{Level: wire.LevelError, Target: t.Dial(), Text: tm.ID + ": " + reason(err)})
			}
		}
		seen := map[string]bool{}
		for _, r := range results {
			w := weakness(r, t)
			if key := w.Check + w.Path; !seen[key] {
				seen[key] = true
				found(w)
			}
		}
	}
}

// atPort tells whether a template of tcp is for a port: one that names ports is for those alone.
func atPort(tm *nuclei.Template, port int) bool {
	for _, r := range tm.RequestsNetwork {
		if r.Port == "" {
			return true
		}
		for _, p := range strings.Split(r.Port, ",") {
			if strings.TrimSpace(p) == strconv.Itoa(port) {
				return true
			}
		}
	}
	return false
}

func (e *Engine) run(ctx context.Context, tm *nuclei.Template, t check.Target, input string) (results []*output.ResultEvent, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	args := contextargs.NewWithInput(ctx, input)
	if t.Host != "" {
		args.MetaInput.CustomIP = t.Address.Unmap().String()
	}
	sc := scan.NewScanContext(ctx, args)
	defer tm.Options.RemoveTemplateCtx(args.MetaInput)
	return tm.Executer.ExecuteWithResults(sc)
}

// weakness says in the wire's words what a template found.
func weakness(r *output.ResultEvent, t check.Target) wire.Weakness {
	meta := func(key string) string {
		s, _ := r.Info.Metadata[key].(string)
		return s
	}
	w := wire.Weakness{Check: r.TemplateID, Engine: "nuclei", Title: r.Info.Name, TitleZH: meta("title-zh"), Severity: r.Info.SeverityHolder.Severity.String(), Tags: r.Info.Tags.ToSlice(),
		Address: t.Address.Unmap().String(), Host: t.Host, Port: t.Service.Port, Protocol: t.Service.Protocol, Service: t.Service.Name,
		Solution: r.Info.Remediation, SolutionZH: meta("solution-zh"), Item: meta("item")}
	if !slices.Contains(wire.Severities, w.Severity) {
		w.Severity = wire.SeverityInfo
	}
	if w.Title == "" {
		w.Title = w.Check
	}
	if c := r.Info.Classification; c != nil {
		for _, s := range c.CVEID.ToSlice() {
			w.CVE = append(w.CVE, strings.ToUpper(s))
		}
		for _, s := range c.CWEID.ToSlice() {
			w.CWE = append(w.CWE, strings.ToUpper(s))
		}
		w.CVSS = c.CVSSScore
	}
	if r.Info.Reference != nil {
		w.References = r.Info.Reference.ToSlice()
	}
	if _, after, ok := strings.Cut(r.Matched, "://"); ok {
		if i := strings.IndexByte(after, '/'); i >= 0 {
			w.Path = after[i:]
		}
	}
	evidence := r.Matched
	if r.MatcherName != "" {
		evidence += " (" + r.MatcherName + ")"
	}
	// What is extracted may be what must not leave the host: its beginning is proof enough.
	for i, x := range r.ExtractedResults {
		if i == 5 {
			break
		}
		evidence += "\n" + mask(x)
	}
	w.Evidence = check.Bound(evidence)
	return w
}

// mask shows the beginning of a value.
func mask(s string) string {
	if n := []rune(s); len(n) > 24 {
		return string(n[:24]) + "…"
	}
	return s
}

// discard is where the library writes what is taken from its results instead.
type discard struct{}

func (discard) Close()                                             {}
func (discard) Colorizer() *aurora.Aurora                          { return aurora.New(aurora.WithColors(false)) }
func (discard) Write(*output.ResultEvent) error                    { return nil }
func (discard) WriteFailure(*output.InternalWrappedEvent) error    { return nil }
func (discard) Request(string, string, string, error)              {}
func (discard) RequestStatsLog(string, string)                     {}
func (discard) WriteStoreDebugData(string, string, string, string) {}
func (discard) ResultCount() int                                   { return 0 }

// List tells of the templates of sources what a weakness of each would say, and what is left out.
func List(ctx context.Context, sources []Source, unsafe bool) ([]wire.Weakness, map[string]int, error) {
	s, err := scope.New(wire.Scope{Ranges: []string{"127.0.0.1"}}, []string{}, nil) // Nothing is touched.
	if err != nil {
		return nil, nil, err
	}
	e, err := New(ctx, scope.NewDialer(s, nil, time.Second), sources, nil, unsafe, 1)
	if err != nil {
		return nil, nil, err
	}
	defer e.Close()
	var out []wire.Weakness
	for _, t := range e.list {
		out = append(out, weakness(&output.ResultEvent{TemplateID: t.ID, Info: t.Info}, check.Target{Service: &wire.Service{}}))
	}
	return out, e.Left, nil
}
