package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/identity"
	"icewatch/ticketing"
	"icewatch/ticketing/evidence"
	"icewatch/ticketing/evidence/capture"
)

// maxPinned is how many events one piece of evidence holds.
const maxPinned = 5000

// evidenceList is the evidence of an incident and how its chain of custody stands.
type evidenceList struct {
	Items  []evidence.Item `json:"items" nullable:"false"`
	Total  int             `json:"total"`
	Hidden int             `json:"hidden" doc:"Items that were added by others and may show what is not within the caller's reach"`
	Fault  string          `json:"fault,omitempty" doc:"Where the chain of custody is broken; absent where it is whole"`
}

// capturedPackets is what is in a packet capture.
type capturedPackets struct {
	Item  evidence.Item `json:"item"`
	Total int           `json:"total" doc:"Conversations, those beyond the limit too"`
	capture.PacketSummary
}

func (s *Server) evidenceRoutes() {
	locker := s.deps.Casework.Evidence
	Register(s, caseOp("list-evidence", http.MethodGet, "/evidence", "Evidence of an incident, and whether its chain of custody is whole"), identity.ScopeRead,
		func(ctx context.Context, in *IDInput) (*Body[evidenceList], error) {
			c, err := s.openCase(ctx, in.ID, "")
			if err != nil {
				return nil, err
			}
			all, err := locker.List(ctx, c.ID)
			if err != nil {
				return nil, err
			}
			out := evidenceList{Items: []evidence.Item{}}
			for _, it := range all {
				if c.may(it.AddedBy) == nil {
					out.Items = append(out.Items, it)
				}
			}
			out.Total, out.Hidden = len(out.Items), len(all)-len(out.Items)
			_, out.Fault, err = locker.Custody(ctx, c.ID)
			return Reply(out), err
		})
	Register(s, caseOp("list-custody", http.MethodGet, "/custody", "The chain of custody of an incident's evidence: who did what to it, each entry with the hash of the one before", 403), identity.ScopeRead,
		func(ctx context.Context, in *IDInput) (*Body[Page[evidence.Entry]], error) {
			c, err := s.openCase(ctx, in.ID, "")
			if err != nil {
				return nil, err
			}
			if err := c.may(""); err != nil {
				return nil, err
			}
			chain, _, err := locker.Custody(ctx, c.ID)
			return Reply(PageOf(chain, len(chain), "")), err
		})
	add := caseOp("add-evidence", http.MethodPost, "/evidence", "Keep a file as evidence of an incident", 413)
	add.DefaultStatus, add.MaxBodyBytes, add.SkipValidateBody = http.StatusCreated, locker.MaxItem(), true
	Register(s, add, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			IDInput
			Name    string `query:"name" required:"true" minLength:"1" maxLength:"400"`
			Reason  string `query:"reason" required:"true" minLength:"1" maxLength:"2000" doc:"What it shows"`
			Media   string `query:"media" maxLength:"100" doc:"Media type"`
			RawBody []byte `contentType:"application/octet-stream"`
		}) (*Body[evidence.Item], error) {
			return s.addEvidence(ctx, in.ID, evidence.New{Kind: evidence.KindFile, Name: in.Name, Reason: in.Reason, Media: in.Media, Data: in.RawBody})
		})
	pin := caseOp("pin-events", http.MethodPost, "/evidence/events", "Keep events as evidence, as they are now: their retention does not touch it", 413, 429, 503, 504)
	pin.DefaultStatus = http.StatusCreated
	Register(s, pin, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			IDInput
			Body struct {
				Reason string   `json:"reason" minLength:"1" maxLength:"2000" doc:"What they show"`
				Name   string   `json:"name,omitempty" maxLength:"200"`
				IDs    []string `json:"event_ids,omitempty" maxItems:"200" nullable:"false" doc:"Either these"`
				Query  string   `json:"query,omitempty" maxLength:"16384" doc:"Or what this LogsQL query finds, 5000 events at most"`
				Start  string   `json:"start,omitempty" maxLength:"64"`
				End    string   `json:"end,omitempty" maxLength:"64"`
				Since  string   `json:"since,omitempty" maxLength:"64" doc:"In place of start: a duration before the end"`
			}
		}) (*Body[evidence.Item], error) {
			b := in.Body
			c, err := s.openCase(ctx, in.ID, "")
			if err != nil {
				return nil, err
			}
			n := evidence.New{Name: b.Name, Reason: b.Reason, Media: typeNDJSON}
			switch {
			case len(b.IDs) > 0 && b.Query == "":
				err = s.takeEvents(ctx, b.IDs, &n)
			case len(b.IDs) == 0 && b.Query != "":
				err = s.takeQuery(ctx, c, SearchInput{TimeInput: TimeInput{b.Start, b.End, b.Since}, Query: b.Query, Tenant: c.Tenant}, &n)
			default:
				err = Problem(http.StatusUnprocessableEntity, "give either event_ids or a query")
			}
			if err != nil {
				return nil, err
			}
			return s.addEvidence(ctx, in.ID, n)
		})
	read := caseOp("read-evidence", http.MethodGet, "/evidence/{item}/content", "The content of a piece of evidence; that it was read enters the chain of custody", 403)
	read.Responses = anyFile("application/octet-stream")
	Register(s, read, identity.ScopeRead,
		func(ctx context.Context, in *EvidenceInput) (*huma.StreamResponse, error) {
			c, it, err := s.openEvidence(ctx, in.ID, in.Item, "read")
			if err != nil {
				return nil, err
			}
			it, data, err := locker.Read(ctx, c.ID, it.ID, c.by.Name)
			if err != nil {
				return nil, caseProblem(err)
			}
			// Never as what it says it is: a page kept as evidence must not run here.
			return attachment("application/octet-stream", it.Name, data), nil
		})
	Register(s, caseOp("read-capture", http.MethodGet, "/evidence/{item}/conversations", "Who talks to whom in a packet capture, pcap or pcapng, that is evidence: the conversations with most bytes first. That it was read enters the chain of custody", 403, 422), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			EvidenceInput
			Address string `query:"address" maxLength:"64" doc:"Only those with this address at one end"`
			Limit   int    `query:"limit" minimum:"1" maximum:"5000" default:"500"`
		}) (*Body[capturedPackets], error) {
			c, it, err := s.openEvidence(ctx, in.ID, in.Item, "read capture")
			if err != nil {
				return nil, err
			}
			it, data, err := locker.Read(ctx, c.ID, it.ID, c.by.Name)
			if err != nil {
				return nil, caseProblem(err)
			}
			sum, err := capture.Read(data)
			if err != nil {
				return nil, Problem(http.StatusUnprocessableEntity, "%s is no packet capture that can be read: %v", it.Name, err)
			}
			all := sum.Conversations
			if in.Address != "" {
				all = slices.DeleteFunc(slices.Clone(all), func(c capture.PacketConversation) bool { return c.A.Address != in.Address && c.B.Address != in.Address })
			}
			sum.Conversations = all[:min(len(all), in.Limit)]
			return Reply(capturedPackets{Item: it, Total: len(all), PacketSummary: sum}), nil
		})
	Register(s, caseOp("withdraw-evidence", http.MethodPost, "/evidence/{item}/withdraw", "Say that something is no evidence of the incident; it is kept, and can be restored", 403), identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			EvidenceInput
			Body struct {
				Reason string `json:"reason" minLength:"1" maxLength:"2000"`
			}
		}) (*Body[evidence.Item], error) {
			c, it, err := s.openEvidence(ctx, in.ID, in.Item, "withdraw")
			if err != nil {
				return nil, err
			}
			it, err = locker.Withdraw(ctx, c.ID, it.ID, c.by.Name, in.Body.Reason)
			return Reply(it), caseProblem(err)
		})
	Register(s, caseOp("restore-evidence", http.MethodPost, "/evidence/{item}/restore", "Take a withdrawal of evidence back", 403), identity.ScopeRespond,
		func(ctx context.Context, in *EvidenceInput) (*Body[evidence.Item], error) {
			c, it, err := s.openEvidence(ctx, in.ID, in.Item, "restore")
			if err != nil {
				return nil, err
			}
			it, err = locker.Restore(ctx, c.ID, it.ID, c.by.Name)
			return Reply(it), caseProblem(err)
		})
	seal := caseOp("seal-incident", http.MethodGet, "/archive", "An incident as a sealed archive: evidence, chain of custody, alerts, timeline, and a manifest signed by the suite's key. icectl evidence verify checks it anywhere.", 403)
	seal.Responses = anyFile("application/zip")
	Register(s, seal, identity.ScopeRespond,
		func(ctx context.Context, in *IDInput) (*huma.StreamResponse, error) {
			c, err := s.openCase(ctx, in.ID, "")
			if err != nil {
				return nil, err
			}
			if err := c.may(""); err != nil {
				return nil, err
			}
			whole, err := s.deps.Casework.Incidents.Incident(ctx, c.by.Reach, c.ID)
			if err != nil {
				return nil, ticketProblem(err)
			}
			files, err := archiveFiles(&whole)
			if err != nil {
				return nil, err
			}
			what := evidence.Seal{Incident: c.ID, Tenant: c.Tenant, By: c.by.Name, Version: s.deps.Version, Files: files, Signer: s.deps.Casework.Signer}
			return s.streamed(ctx, "application/zip", "icewatch-"+c.ID+"-"+stamp(time.Now())+".zip", func(ctx context.Context, w io.Writer) error {
				// Where this fails the archive lacks its signature, which who
				// verifies it notices.
				return locker.Archive(ctx, w, what)
			}), nil
		})
}

// EvidenceInput names a piece of evidence. It is exported because inputs embed it.
type EvidenceInput struct {
	IDInput
	Item string `path:"item" maxLength:"40" doc:"Id of a piece of evidence"`
}

func (s *Server) addEvidence(ctx context.Context, incident string, n evidence.New) (*Body[evidence.Item], error) {
	c, err := s.openCase(ctx, incident, "evidence: "+clip(n.Name, 200))
	if err != nil {
		return nil, err
	}
	if n.Kind == evidence.KindFile && capture.Is(n.Data) {
		n.Media = evidence.MediaCapture // whatever the browser calls it
	}
	it, err := s.deps.Casework.Evidence.Add(ctx, c.ID, c.by.Name, n)
	if err != nil {
		return nil, caseProblem(err)
	}
	AuditObject(ctx, "incident:"+c.ID, c.Tenant, "evidence "+it.ID+" "+it.Name+" sha256:"+it.SHA256)
	return Reply(it), nil
}

func (s *Server) openEvidence(ctx context.Context, incident, item, detail string) (*theCase, evidence.Item, error) {
	c, err := s.openCase(ctx, incident, detail+": "+clip(item, 40))
	if err != nil {
		return nil, evidence.Item{}, err
	}
	it, err := s.deps.Casework.Evidence.Item(ctx, c.ID, item)
	if err != nil {
		return nil, it, caseProblem(err)
	}
	return c, it, c.may(it.AddedBy)
}

// takeEvents reads events by their ids, as the caller sees them.
func (s *Server) takeEvents(ctx context.Context, ids []string, n *evidence.New) error {
	var b bytes.Buffer
	for _, id := range ids {
		row, err := s.event(ctx, id)
		if err != nil {
			return err
		}
		b.Write(row)
		b.WriteByte('\n')
	}
	n.Kind, n.Query, n.Rows, n.Data = evidence.KindEvents, strings.Join(ids, " "), len(ids), b.Bytes()
	if n.Name == "" {
		n.Name = "events-" + strconv.Itoa(len(ids)) + ".ndjson"
	}
	return nil
}

// errFull ends a query that found as much as evidence may hold.
var errFull = errors.New("enough")

// takeQuery keeps what a query finds, as the caller sees it.
func (s *Server) takeQuery(ctx context.Context, c *theCase, in SearchInput, n *evidence.New) error {
	req, none, err := s.searchRequest(ctx, in)
	if err != nil {
		return err
	}
	req.Limit = maxPinned
	var b bytes.Buffer
	if !none {
		ctx, leave, err := s.enterSearch(ctx, s.deps.SearchTimeout)
		if err != nil {
			return err
		}
		defer leave()
		err = s.deps.Search.Query(ctx, req, func(row []byte) error {
			if int64(b.Len()+len(row)) >= s.deps.Casework.Evidence.MaxItem() {
				return errFull
			}
			n.Rows++
			b.Write(row)
			b.WriteByte('\n')
			return nil
		})
		if errors.Is(err, errFull) {
			return Problem(http.StatusRequestEntityTooLarge, "the events that the query finds have more than %d bytes: narrow the query or its range", s.deps.Casework.Evidence.MaxItem())
		}
		if err != nil {
			return err
		}
	}
	if n.Rows == 0 {
		return Problem(http.StatusUnprocessableEntity, "the query %q finds no event between %s and %s in %s", clip(req.Query, 200), req.Start.UTC().Format(time.RFC3339), req.End.UTC().Format(time.RFC3339), c.Tenant)
	}
	n.Kind, n.Data = evidence.KindQuery, b.Bytes()
	n.Query = fmt.Sprintf("%s [%s, %s)", req.Query, req.Start.UTC().Format(time.RFC3339Nano), req.End.UTC().Format(time.RFC3339Nano))
	if n.Name == "" {
		n.Name = "query-" + strconv.Itoa(n.Rows) + ".ndjson"
	}
	return nil
}

// archiveFiles are an incident, its alerts and its timeline as files.
func archiveFiles(d *ticketing.IncidentDetail) (out []evidence.File, err error) {
	for _, f := range []struct {
		path string
		what any
	}{{"incident.json", d.Incident}, {"alerts.json", d.Alerts}, {"timeline.json", d.Timeline}} {
		data, err := json.MarshalIndent(f.what, "", "  ")
		if err != nil {
			return nil, fmt.Errorf("write %s: %w", f.path, err)
		}
		out = append(out, evidence.File{Path: f.path, Data: data})
	}
	return out, nil
}
