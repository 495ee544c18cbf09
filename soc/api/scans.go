package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"icewatch/collectors/fleet"
	"icewatch/collectors/scanner/wire"
	"icewatch/soc/exposure/scan"
	"icewatch/soc/exposure/scope"
	"icewatch/soc/identity"
	"icewatch/soc/reach"
)

func scanProblem(err error) error {
	for of, status := range map[error]int{
		scan.ErrNotFound: http.StatusNotFound, scan.ErrInvalid: http.StatusUnprocessableEntity, scan.ErrConflict: http.StatusConflict,
		scope.ErrNotFound: http.StatusNotFound, scope.ErrInvalid: http.StatusUnprocessableEntity, scope.ErrConflict: http.StatusConflict, scope.ErrForbidden: http.StatusForbidden,
	} {
		if errors.Is(err, of) {
			return Problem(status, "%s", err.Error())
		}
	}
	return findingProblem(err)
}

// scanRoutes registers scans: what may be scanned, what is, and what came of it.
func (s *Server) scanRoutes() {
	if s.deps.Scans == nil || s.deps.ScanScope == nil {
		return
	}
	s.scanRangeRoutes(s.deps.ScanScope)
	s.scanTaskRoutes(s.deps.Scans)
	s.scanRunRoutes(s.deps.Scans)
	s.scanTemplateRoutes(s.deps.Scans)
	s.surfaceRoutes()
	s.engineRoutes()
}

func (s *Server) scanRangeRoutes(room *scope.Service) {
	Register(s, exposureOperation("list-scan-ranges", http.MethodGet, "/scan-ranges", "Ranges of addresses that may be scanned, or are asked for, the latest first", 400), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			PageInput
			State string `query:"state" enum:"asked,approved,rejected,withdrawn,expired,"`
		}) (*Body[Page[scope.ScanRange]], error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			list := []scope.ScanRange{}
			for _, x := range room.List(within) {
				if in.State == "" || x.State == in.State {
					list = append(list, x)
				}
			}
			return pageFrom(list, in.PageInput)
		})
	Register(s, exposureOperation("ask-scan-range", http.MethodPost, "/scan-ranges", "Ask that a range of a tenant may be scanned; somebody else approves it", 403, 409, 422), identity.ScopeConfigure,
		func(ctx context.Context, in *struct{ Body scope.ScanRangeDraft }) (*Body[scope.ScanRange], error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			AuditObject(ctx, "scan-range", in.Body.Tenant, clip(in.Body.CIDR+": "+in.Body.Reason, 300))
			x, err := room.Ask(ctx, within, Actor(ctx), in.Body)
			return Reply(x), scanProblem(err)
		})
	type rangeDecision struct {
		Note string `json:"note,omitempty" maxLength:"1000"`
	}
	decide := func(id, path, summary string, do func(ctx context.Context, id, note string) (scope.ScanRange, error)) {
		Register(s, exposureOperation(id, http.MethodPost, "/scan-ranges/{id}/"+path, summary, 403, 404, 409), identity.ScopeConfigure,
			func(ctx context.Context, in *struct {
				ID   string `path:"id" maxLength:"64"`
				Body rangeDecision
			}) (*Body[scope.ScanRange], error) {
				AuditObject(ctx, "scan-range:"+in.ID, "", clip(in.Body.Note, 300))
				x, err := do(ctx, in.ID, in.Body.Note)
				if err == nil {
					AuditObject(ctx, "scan-range:"+in.ID, x.Tenant, clip(x.CIDR+" "+x.State+": "+in.Body.Note, 300))
				}
				return Reply(x), scanProblem(err)
			})
	}
	decide("approve-scan-range", "approve", "Approve a range that somebody else asked for: it may be scanned from now on", func(ctx context.Context, id, note string) (scope.ScanRange, error) {
		within, err := Reach(ctx, "")
		if err != nil {
			return scope.ScanRange{}, err
		}
		// A token may be of the very person who asked.
		if p := PrincipalFrom(ctx); p == nil || p.Via == identity.ViaToken {
			return scope.ScanRange{}, Problem(http.StatusForbidden, "a range is approved by a person who signed in, not by a token")
		}
		return room.Decide(ctx, within, Actor(ctx), id, true, note)
	})
	decide("reject-scan-range", "reject", "Reject a range that is asked for", func(ctx context.Context, id, note string) (scope.ScanRange, error) {
		within, err := Reach(ctx, "")
		if err != nil {
			return scope.ScanRange{}, err
		}
		return room.Decide(ctx, within, Actor(ctx), id, false, note)
	})
	decide("withdraw-scan-range", "withdraw", "Withdraw a range: nothing of it is scanned any more, and runs that may touch it end", func(ctx context.Context, id, note string) (scope.ScanRange, error) {
		within, err := Reach(ctx, "")
		if err != nil {
			return scope.ScanRange{}, err
		}
		return room.Withdraw(ctx, within, Actor(ctx), id, note)
	})
}

func (s *Server) scanTaskRoutes(room *scan.Service) {
	Register(s, exposureOperation("list-scan-tasks", http.MethodGet, "/scan-tasks", "What is scanned, when, and by which scanner", 400), identity.ScopeRead,
		func(ctx context.Context, in *PageInput) (*Body[Page[scan.ScanTask]], error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			return pageFrom(room.Tasks(within), *in)
		})
	Register(s, exposureOperation("get-scan-task", http.MethodGet, "/scan-tasks/{id}", "One task; secrets are never told", 404), identity.ScopeRead,
		func(ctx context.Context, in *ByID) (*Body[scan.ScanTask], error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			x, err := room.Task(within, in.ID)
			return Reply(x), scanProblem(err)
		})
	put := func(ctx context.Context, id string, d scan.ScanTaskDraft) (*Body[scan.ScanTask], error) {
		within, err := Reach(ctx, "")
		if err != nil {
			return nil, err
		}
		AuditObject(ctx, "scan-task:"+id, d.Tenant, clip(d.Name+": "+d.Kind, 300))
		x, err := room.PutTask(ctx, within, Actor(ctx), id, d)
		if err == nil {
			AuditObject(ctx, "scan-task:"+x.ID, d.Tenant, clip(d.Name+": "+d.Kind, 300))
		}
		return Reply(x), scanProblem(err)
	}
	Register(s, exposureOperation("create-scan-task", http.MethodPost, "/scan-tasks", "Make a task", 409, 422), identity.ScopeConfigure,
		func(ctx context.Context, in *struct{ Body scan.ScanTaskDraft }) (*Body[scan.ScanTask], error) {
			return put(ctx, "", in.Body)
		})
	Register(s, exposureOperation("change-scan-task", http.MethodPut, "/scan-tasks/{id}", "Change a task; a run under way keeps what it was told", 404, 422), identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			ID   string `path:"id" maxLength:"64"`
			Body scan.ScanTaskDraft
		}) (*Body[scan.ScanTask], error) {
			return put(ctx, in.ID, in.Body)
		})
	Register(s, exposureOperation("delete-scan-task", http.MethodDelete, "/scan-tasks/{id}", "Delete a task; its runs stay", 404, 409), identity.ScopeConfigure,
		func(ctx context.Context, in *ByID) (*Empty, error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			AuditObject(ctx, "scan-task:"+in.ID, "", "")
			return nil, scanProblem(room.DeleteTask(ctx, within, in.ID))
		})
	Register(s, exposureOperation("start-scan-task", http.MethodPost, "/scan-tasks/{id}/start", "Scan now", 404, 409, 422), identity.ScopeConfigure,
		func(ctx context.Context, in *ByID) (*Body[scan.ScanRun], error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			AuditObject(ctx, "scan-task:"+in.ID, "", "")
			x, err := room.Start(ctx, within, Actor(ctx), in.ID)
			if err == nil {
				AuditObject(ctx, "scan-run:"+x.ID, x.Tenant, clip(x.Name+": "+strings.Join(x.Ranges, " "), 300))
			}
			return Reply(x), scanProblem(err)
		})
	Register(s, exposureOperation("list-scanners", http.MethodGet, "/scanners", "The scanners that are enrolled, with their checks and how they fare", 400), identity.ScopeRead,
		func(ctx context.Context, in *PageInput) (*Body[Page[scan.Scanner]], error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			return pageFrom(room.Scanners(within), *in)
		})
	type scannerTokenDraft struct {
		Tenant string `json:"tenant" minLength:"1" maxLength:"63"`
		Note   string `json:"note,omitempty" maxLength:"200"`
		Hours  int    `json:"hours,omitempty" minimum:"1" maximum:"720" default:"24"`
	}
	if s.deps.Fleet != nil {
		Register(s, exposureOperation("create-scanner-token", http.MethodPost, "/scanner-tokens", "Make a token that enrols one scanner; its text is told this once", 403, 409, 422), identity.ScopeConfigure,
			func(ctx context.Context, in *struct{ Body scannerTokenDraft }) (*Body[fleet.MadeToken], error) {
				a, err := fleetAsker(ctx)
				if err != nil {
					return nil, err
				}
				AuditObject(ctx, "scanner-token", in.Body.Tenant, clip(in.Body.Note, 200))
				return ofFleet(s.deps.Fleet.CreateToken(ctx, a, fleet.TokenDraft{Tenant: in.Body.Tenant, Note: in.Body.Note, Kind: fleet.Scanning, Uses: 1, Hours: in.Body.Hours}))
			})
	}
}

// scanResult is one thing that a run found.
type scanResult struct {
	Seq  uint64    `json:"seq"`
	Kind string    `json:"kind" enum:"host,service,weakness,absent,attempts,refused,attribute,note,end"`
	At   time.Time `json:"at"`
	Data any       `json:"data" doc:"As the scanner told it, by kind"`
}

func (s *Server) scanRunRoutes(room *scan.Service) {
	Register(s, exposureOperation("list-scan-runs", http.MethodGet, "/scan-runs", "Scans under way and over, the latest first", 400), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			PageInput
			Task   string `query:"task" maxLength:"64"`
			State  string `query:"state" enum:"waiting,running,paused,cancelling,judging,done,cancelled,expired,failed,"`
			Tenant string `query:"tenant" maxLength:"4096"`
		}) (*Body[Page[scan.ScanRun]], error) {
			return pageWithin(ctx, in.Tenant, in.PageInput, scanProblem, func(within reach.Reach, from int) ([]scan.ScanRun, int, error) {
				return room.Runs(ctx, within, scan.RunQuestion{Task: in.Task, State: in.State, Limit: in.Limit, Offset: from})
			})
		})
	Register(s, exposureOperation("get-scan-run", http.MethodGet, "/scan-runs/{id}", "One scan with its progress by the scanner's word", 404), identity.ScopeRead,
		func(ctx context.Context, in *ByID) (*Body[scan.ScanRun], error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			x, err := room.Get(ctx, within, in.ID)
			return Reply(x), scanProblem(err)
		})
	Register(s, exposureOperation("list-scan-results", http.MethodGet, "/scan-runs/{id}/results", "What a scan found, in the order in which the scanner told it", 400, 404), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			PageInput
			ID      string `path:"id" maxLength:"64"`
			Kind    string `query:"kind" enum:"host,service,weakness,absent,attempts,refused,attribute,note,end,"`
			Address string `query:"address" maxLength:"64"`
		}) (*Body[Page[scanResult]], error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			from, err := offsetOf(in.Cursor)
			if err != nil {
				return nil, err
			}
			list, total, err := room.Results(ctx, within, in.ID, scan.ResultQuestion{Kind: in.Kind, Address: in.Address, After: int64(from), Limit: in.Limit})
			if err != nil {
				return nil, scanProblem(err)
			}
			out := make([]scanResult, len(list))
			next := ""
			for i := range list {
				if out[i], err = resultOf(&list[i]); err != nil {
					return nil, err
				}
			}
			if len(list) == in.Limit {
				next = strconv.FormatUint(list[len(list)-1].Seq, 10)
			}
			return Reply(PageOf(out, total, next)), nil
		})
	change := func(id, path, summary string, do func(ctx context.Context, id string) (scan.ScanRun, error)) {
		Register(s, exposureOperation(id, http.MethodPost, "/scan-runs/{id}/"+path, summary, 404, 409), identity.ScopeConfigure,
			func(ctx context.Context, in *ByID) (*Body[scan.ScanRun], error) {
				AuditObject(ctx, "scan-run:"+in.ID, "", path)
				x, err := do(ctx, in.ID)
				return Reply(x), scanProblem(err)
			})
	}
	change("cancel-scan-run", "cancel", "End a scan; what it found stays", func(ctx context.Context, id string) (scan.ScanRun, error) {
		within, err := Reach(ctx, "")
		if err != nil {
			return scan.ScanRun{}, err
		}
		return room.Cancel(ctx, within, Actor(ctx), id)
	})
	for path, pause := range map[string]bool{"pause": true, "resume": false} {
		summary := "Let a scan rest"
		if !pause {
			summary = "Let a scan that rests go on"
		}
		change(path+"-scan-run", path, summary, func(ctx context.Context, id string) (scan.ScanRun, error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return scan.ScanRun{}, err
			}
			return room.Pause(ctx, within, Actor(ctx), id, pause)
		})
	}
	Register(s, exposureOperation("retest-findings", http.MethodPost, "/finding-retests", "Look at findings again by the very checks that reported them; what is gone closes", 404, 409, 422), identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			Body struct {
				IDs []string `json:"ids" minItems:"1" maxItems:"1000" nullable:"false"`
			}
		}) (*Body[Page[scan.ScanRun]], error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			AuditObject(ctx, "findings", "", fmt.Sprintf("re-test of %d findings", len(in.Body.IDs)))
			list, err := room.Retest(ctx, within, Actor(ctx), in.Body.IDs)
			return Reply(PageOf(list, len(list), "")), scanProblem(err)
		})
}

// resultOf shows a result with its kind's part.
func resultOf(x *wire.Result) (scanResult, error) {
	parts := map[string]json.RawMessage{}
	if err := json.Unmarshal(wire.Encode(x), &parts); err != nil {
		return scanResult{}, err
	}
	return scanResult{Seq: x.Seq, Kind: x.Kind, At: time.UnixMilli(x.At).UTC(), Data: parts[x.Kind]}, nil
}
