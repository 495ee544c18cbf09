package engine

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/xml"
	"io"
	"net"
	"net/url"
	"time"
)

// gmp speaks the Greenbone Management Protocol over TLS: one command, one answer, both
// an XML element.
type gmp struct {
	address        string // tls://host:port
	roots          *x509.CertPool
	user, password string
	dial           *net.Dialer
}

// nativeXML is the id that Greenbone gives its own report format on every installation.
const nativeXML = "a994b278-1f62-11e1-96ac-406186ea4fc5"

// session is a connection that has logged in.
type session struct {
	conn net.Conn
	read *recording
	dec  *xml.Decoder
}

// recording keeps what was read since the last answer, within a bound.
type recording struct {
	from io.Reader
	kept bytes.Buffer
}

func (r *recording) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	if r.kept.Len()+n > maxReport {
		return 0, away("an answer of more than %d bytes", maxReport)
	}
	r.kept.Write(p[:n])
	return n, err
}

func (g *gmp) open(ctx context.Context) (*session, error) {
	u, err := url.Parse(g.address)
	if err != nil {
		return nil, away("%w", err)
	}
	port := u.Port()
	if port == "" {
		port = "9390"
	}
	raw, err := g.dial.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return nil, away("%w", err)
	}
	conn := tls.Client(raw, &tls.Config{ServerName: u.Hostname(), RootCAs: g.roots, MinVersion: tls.VersionTLS12})
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, away("%w", err)
	}
	if at, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(at)
	} else {
		_ = conn.SetDeadline(time.Now().Add(10 * time.Minute))
	}
	s := &session{conn: conn}
	var login struct {
		XMLName     xml.Name `xml:"authenticate"`
		Credentials struct {
			User     string `xml:"username"`
			Password string `xml:"password"`
		} `xml:"credentials"`
	}
	login.Credentials.User, login.Credentials.Password = g.user, g.password
	if _, err := s.ask(login, "authenticate_response", nil); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return s, nil
}

// ask sends a command and reads the whole answer, which it also answers as it came.
func (s *session) ask(command any, want string, into any) ([]byte, error) {
	b, err := xml.Marshal(command)
	if err != nil {
		return nil, err
	}
	if _, err := s.conn.Write(b); err != nil {
		return nil, away("%w", err)
	}
	// What the decoder read ahead belongs to the next answer; there is none, since each
	// command waits for its own.
	s.read = &recording{from: s.conn}
	s.dec = xml.NewDecoder(s.read)
	s.dec.Strict = true
	depth := 0
	var status, text string
	for {
		t, err := s.dec.RawToken()
		if err != nil {
			return nil, away("its answer cannot be read: %w", err)
		}
		switch x := t.(type) {
		case xml.StartElement:
			if depth == 0 {
				if x.Name.Local != want {
					return nil, away("it answered <%s> in place of <%s>", clip(x.Name.Local, 60), want)
				}
				for _, a := range x.Attr {
					switch a.Name.Local {
					case "status":
						status = a.Value
					case "status_text":
						text = a.Value
					}
				}
			}
			if depth++; depth > 200 {
				return nil, away("its answer is nested too deep")
			}
		case xml.EndElement:
			depth--
		}
		if depth == 0 {
			if _, start := t.(xml.EndElement); start {
				break
			}
		}
	}
	if len(status) == 0 || status[0] != '2' {
		return nil, away("%s: %s %s", want, clip(status, 10), clip(text, 200))
	}
	raw := s.read.kept.Bytes()[:s.dec.InputOffset()]
	if into != nil {
		if err := xml.Unmarshal(raw, into); err != nil {
			return nil, away("its answer <%s> cannot be read: %w", want, err)
		}
	}
	return raw, nil
}

func (g *gmp) check(ctx context.Context) (string, error) {
	s, err := g.open(ctx)
	if err != nil {
		return "", err
	}
	defer s.conn.Close()
	var v struct {
		Version string `xml:"version"`
	}
	_, err = s.ask(struct {
		XMLName xml.Name `xml:"get_version"`
	}{}, "get_version_response", &v)
	return "GMP " + v.Version, err
}

type gmpTask struct {
	ID     string `xml:"id,attr"`
	Name   string `xml:"name"`
	Status string `xml:"status"`
	Report struct {
		ID  string `xml:"id,attr"`
		End string `xml:"scan_end"`
	} `xml:"last_report>report"`
}

func (s *session) tasks(id string) ([]gmpTask, error) {
	var l struct {
		Tasks []gmpTask `xml:"task"`
	}
	_, err := s.ask(struct {
		XMLName xml.Name `xml:"get_tasks"`
		Task    string   `xml:"task_id,attr,omitempty"`
		Filter  string   `xml:"filter,attr,omitempty"`
	}{Task: id, Filter: "rows=1000"}, "get_tasks_response", &l)
	return l.Tasks, err
}

func (g *gmp) scans(ctx context.Context) ([]EngineScan, error) {
	s, err := g.open(ctx)
	if err != nil {
		return nil, err
	}
	defer s.conn.Close()
	list, err := s.tasks("")
	if err != nil {
		return nil, err
	}
	out := []EngineScan{}
	for _, t := range list {
		x := EngineScan{ID: clip(t.ID, 64), Name: clip(t.Name, 300), State: clip(t.Status, 60), Done: t.Status == "Done" && t.Report.ID != ""}
		if at, err := time.Parse(time.RFC3339, t.Report.End); err == nil {
			x.Finished = at.UTC()
		}
		out = append(out, x)
	}
	return out, nil
}

func (g *gmp) launch(ctx context.Context, scan string) error {
	s, err := g.open(ctx)
	if err != nil {
		return err
	}
	defer s.conn.Close()
	_, err = s.ask(struct {
		XMLName xml.Name `xml:"start_task"`
		Task    string   `xml:"task_id,attr"`
	}{Task: scan}, "start_task_response", nil)
	return err
}

func (g *gmp) fetch(ctx context.Context, scan string) ([]byte, string, error) {
	s, err := g.open(ctx)
	if err != nil {
		return nil, "", err
	}
	defer s.conn.Close()
	list, err := s.tasks(scan)
	if err != nil {
		return nil, "", err
	}
	if len(list) != 1 || list[0].Report.ID == "" {
		return nil, "", away("the task %s has no report", clip(scan, 64))
	}
	raw, err := s.ask(struct {
		XMLName xml.Name `xml:"get_reports"`
		Report  string   `xml:"report_id,attr"`
		Format  string   `xml:"format_id,attr"`
		Details int      `xml:"details,attr"`
		All     int      `xml:"ignore_pagination,attr"`
	}{Report: list[0].Report.ID, Format: nativeXML, Details: 1, All: 1}, "get_reports_response", nil)
	return raw, "openvas", err
}
