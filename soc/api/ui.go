package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/identity"
)

// Watermark is the setting of the mark that the console draws over its pages,
// so that a photograph of a screen tells whose it was and when.
type Watermark struct {
	Enabled  bool    `json:"enabled"`
	Opacity  float64 `json:"opacity"`  // 0.03 to 0.5
	Name     bool    `json:"name"`     // the user's name
	Username bool    `json:"username"` // the name the user signs in by
	Time     bool    `json:"time"`     // the time, to the minute
	Address  bool    `json:"address"`  // where the user is signed in from
	Text     string  `json:"text"`     // one more line, such as "Internal"; at most 60 characters
}

// DefaultWatermark is off, and names the user and the time once it is on.
var DefaultWatermark = Watermark{Opacity: 0.12, Name: true, Username: true, Time: true, Address: true}

// Check says what is wrong with the setting.
func (w Watermark) Check() error {
	if !(w.Opacity >= 0.03 && w.Opacity <= 0.5) {
		return fmt.Errorf("opacity: %v: want 0.03, barely seen, to 0.5", w.Opacity)
	}
	if utf8.RuneCountInString(w.Text) > 60 || strings.ContainsFunc(w.Text, func(r rune) bool { return r < ' ' }) {
		return errors.New("text: want one line of at most 60 characters")
	}
	if w.Enabled && !w.Name && !w.Username {
		return errors.New("name, username: a mark that names nobody finds nobody; switch one of them on")
	}
	return nil
}

// lines is what the mark says for one user, less the time.
func (w Watermark) lines(p *identity.Principal, address string) []string {
	out := []string{}
	if !w.Enabled {
		return out
	}
	who := ""
	switch {
	case w.Name && w.Username && p.DisplayName != "" && p.DisplayName != p.Username:
		who = p.DisplayName + " (" + p.Username + ")"
	case w.Name && p.DisplayName != "":
		who = p.DisplayName
	default:
		who = p.Username
	}
	for _, l := range []string{who, w.Text} {
		if l != "" {
			out = append(out, l)
		}
	}
	if w.Address && address != "" {
		out = append(out, address)
	}
	return out
}

// UI is what the console must know before it draws anything for a user.
type UI struct {
	Watermark UIWatermark `json:"watermark"`
}

// UIWatermark is the mark for the one who asks.
type UIWatermark struct {
	Enabled  bool     `json:"enabled"`
	Opacity  float64  `json:"opacity"`
	Lines    []string `json:"lines" nullable:"false" doc:"What to draw, a line each; empty where it is off"`
	ShowTime bool     `json:"show_time" doc:"Whether the time is drawn as one more line, renewed each minute"`
}

// uiRoutes registers what the console asks first.
func (s *Server) uiRoutes() {
	Register(s, huma.Operation{OperationID: "get-ui", Method: http.MethodGet, Path: "/ui", Tags: []string{"console"},
		Summary: "What the console draws around its pages for the one who asks"}, ScopeAny,
		func(ctx context.Context, _ *Empty) (*Body[UI], error) {
			w := Watermark{}
			if s.deps.Watermark != nil {
				w = s.deps.Watermark()
			}
			return Reply(UI{Watermark: UIWatermark{Enabled: w.Enabled, Opacity: w.Opacity, ShowTime: w.Enabled && w.Time,
				Lines: w.lines(PrincipalFrom(ctx), stateOf(ctx).address)}}), nil
		})
}
