package ruletest

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/detections/engine"
	"icewatch/detections/ruleset"
	"icewatch/rules"
	"icewatch/soc/event"
	"icewatch/soc/intake"
	"icewatch/soc/pipeline/parse"
)

// corpora is where public logs lie: in the folder that ICEWATCH_CORPORA names,
// else beside the repository. Nothing of them is part of it.
var corpora = cmp.Or(os.Getenv("ICEWATCH_CORPORA"), "../../../shared/corpora")

// TestWhatFiresOnPublicLogs runs all shipped rules over logs of real machines:
// what fires has to be what is known to be in there. A rule that fires besides
// is a false alarm, or belongs into this table with its reason.
func TestWhatFiresOnPublicLogs(t *testing.T) {
	t.Parallel()
	for file, want := range map[string][]string{
		"logs/Apache.log": {},
		"logs/HDFS.log":   {},
		"logs/Hadoop.log": {},
		"logs/Linux.log":  {},
		// Guessing from many addresses for hours, and the sign-in of its owner from outside.
		"logs/OpenSSH.log":   {"login_spraying", "ssh_bruteforce", "ssh_login_from_outside", "ssh_spraying", "ssh_user_enumeration"},
		"logs/OpenStack.log": {},
		"logs/Windows.log":   {},
		"logs/Zookeeper.log": {},
		// Records of attacks and of nothing else: docs/detection-quality.md says rule by rule how often each
		// fires and for what.
		"windows/events.jsonl.gz": {
			"win_account_lived_briefly", "win_added_to_domain_admins", "win_administrator_number_under_other_name",
			"win_adminsdholder_rights_changed", "win_audit_policy_reduced", "win_bruteforce", "win_command_over_remote_management",
			"win_debugger_set_for_program", "win_directory_replicated_by_user", "win_domain_database_copied", "win_dump_through_comsvcs",
			"win_event_log_cleared", "win_event_log_switched_off", "win_firewall_switched_off", "win_kerberos_enumeration",
			"win_kerberos_spraying", "win_key_or_delegation_written", "win_local_administrator_made", "win_lsass_dump_written",
			"win_machine_named_controller", "win_preauthentication_switched_off", "win_protection_switched_off_in_registry",
			"win_remote_execution_pipe", "win_run_key_set", "win_script_download", "win_script_scanning_bypassed",
			"win_service_name_put_on_user", "win_service_suspicious", "win_shadow_copies_deleted", "win_task_with_hidden_command",
			"win_ticket_tool_commands", "win_ticket_without_preauthentication", "win_wmi_consumer_created",
		},
	} {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			got, events := fire(t, filepath.Join(corpora, file))
			if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, want) {
				t.Errorf("%d events\n got %v\nwant %v", events, got, want)
			}
		})
	}
}

// fire counts the firings of the shipped rules on a file's lines, in the order
// of time.
func fire(t *testing.T, file string) (fired map[string]int, events int) {
	t.Helper()
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("%s is not here", file)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var in io.Reader = f
	if strings.HasSuffix(file, ".gz") {
		if in, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	reg := event.NewRegistry(0)
	set, problems := ruleset.Compile(ruleset.Load([]ruleset.Source{{Name: "builtin", FS: rules.FS}}), reg)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	type record struct {
		at   int64
		line string
	}
	parser := parse.New(reg, parse.Options{Location: time.UTC})
	received := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC).UnixNano()
	read := func(line string, at int64, ev *event.Event) {
		rec := intake.Record{Format: Format(line), Received: received, Time: at, Data: []byte(line)}
		parser.Parse(&rec, ev)
	}
	var records []record
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		r := record{line: strings.Clone(lines.Text())}
		if r.line == "" {
			continue
		}
		// The corpus of Windows events has their time under a name of its own.
		var own struct{ SystemTime float64 }
		if json.Unmarshal([]byte(r.line), &own) == nil && own.SystemTime > 0 {
			r.at = int64(own.SystemTime * 1e9)
		} else {
			var ev event.Event
			read(r.line, 0, &ev)
			r.at = ev.Time
		}
		records = append(records, r)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	slices.SortStableFunc(records, func(a, b record) int { return cmp.Compare(a.at, b.at) })

	eng := engine.New(engine.Options{Registry: reg, Log: slog.New(slog.DiscardHandler)})
	eng.Swap(set)
	fired = map[string]int{}
	for i, r := range records {
		var ev event.Event
		read(r.line, r.at, &ev)
		if host, ok := reg.Intern("host.name"); ok && ev.Text(host) == "" {
			ev.Set(host, "one")
		}
		ev.ID = event.ID{Epoch: "test", Sequence: uint64(i + 1)}
		ev.Time, ev.Created, ev.Tenant = r.at, r.at, "test"
		eng.Process(&ev, func(o detections.Occurrence) { fired[cmp.Or(name(set, o.Rule.ID), o.Rule.Title.EN)]++ })
	}
	return fired, len(records)
}

func name(set *ruleset.Set, id string) string {
	for _, r := range set.Rules() {
		if r.ID == id {
			return r.Name
		}
	}
	return ""
}
