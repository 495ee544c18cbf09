package api

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/identity"
	"icewatch/soc/identity/access"
	"icewatch/soc/settings"
)

// Branding is the setting of what the suite is called here.
type Branding struct {
	Name        access.Text `json:"name"`         // empty is the suite's own
	Logo        string      `json:"logo"`         // base64 of a PNG or JPEG; empty is the suite's own
	LoginNotice access.Text `json:"login_notice"` // shown on the sign-in page, such as a warning to the unauthorised
}

// maxLogo bounds a logo in bytes, and its sides in pixels.
const (
	maxLogo       = 256 << 10
	logoW, logoH  = 512, 128
	maxNotice     = 4000
	maxBrandBytes = 200
)

func checkBranding(b Branding) error {
	if len(b.Name.ZH) > maxBrandBytes || len(b.Name.EN) > maxBrandBytes {
		return fmt.Errorf("name: at most %d bytes", maxBrandBytes)
	}
	if len(b.LoginNotice.ZH) > maxNotice || len(b.LoginNotice.EN) > maxNotice {
		return fmt.Errorf("login_notice: at most %d bytes", maxNotice)
	}
	_, err := b.logo()
	return err
}

// logo returns the logo as PNG, drawn anew; nil where there is none.
func (b Branding) logo() ([]byte, error) {
	if b.Logo == "" {
		return nil, nil
	}
	if len(b.Logo) > base64.StdEncoding.EncodedLen(maxLogo) {
		return nil, fmt.Errorf("logo: at most %d KiB", maxLogo>>10)
	}
	data, err := base64.StdEncoding.DecodeString(b.Logo)
	if err != nil {
		return nil, errors.New("logo: it is not base64")
	}
	png, err := fit(data, logoW, logoH)
	if err != nil {
		return nil, fmt.Errorf("logo: %w", err)
	}
	return png, nil
}

// Setup is the record of the first sign-in wizard.
type Setup struct {
	Completed  bool      `json:"completed"`
	By         string    `json:"by,omitempty"`
	At         time.Time `json:"at,omitzero"`
	Separation bool      `json:"separation"` // as it was chosen then
}

// DeclareSettings declares the settings that the API itself answers by.
func DeclareSettings(ctx context.Context, store *settings.Store) (*Settings, error) {
	out := &Settings{}
	var err error
	if out.branding, err = settings.Declare(ctx, store, "branding", identity.ScopeSystem, Branding{}, checkBranding); err != nil {
		return nil, err
	}
	out.setup, err = settings.Declare(ctx, store, "setup", "", Setup{}, nil)
	return out, err
}

// Settings are the settings that the API itself answers by.
type Settings struct {
	branding *settings.Setting[Branding]
	setup    *settings.Setting[Setup]
}

// setupNeeded tells whether the caller should go through the wizard.
func (s *Server) setupNeeded(ctx context.Context) bool {
	return s.deps.Own != nil && !s.deps.Own.setup.Get().Completed && s.may(ctx, "complete-setup")
}

type newAdministrator struct {
	Username    string `json:"username" maxLength:"64"`
	DisplayName string `json:"display_name,omitempty" maxLength:"200"`
	Password    string `json:"password" maxLength:"1024" doc:"To be changed at the first sign-in"`
}

// setupRoutes registers the first sign-in wizard and how the suite presents
// itself.
func (s *Server) setupRoutes() {
	own := s.deps.Own
	if own == nil {
		return
	}
	Register(s, huma.Operation{OperationID: "get-setup", Method: http.MethodGet, Path: "/setup", Tags: []string{"settings"},
		Summary: "Whether the first sign-in wizard has been gone through"}, ScopeAny,
		func(context.Context, *Empty) (*Body[Setup], error) { return Reply(own.setup.Get()), nil })

	Register(s, huma.Operation{OperationID: "complete-setup", Method: http.MethodPost, Path: "/setup", Tags: []string{"settings"},
		Summary: "Complete the first sign-in wizard: name the administrators and keep the three powers apart", Errors: []int{409, 422},
		Description: "With separation the security and the audit administrator are made, and admin is the system administrator only. Nothing changes where any part fails."},
		identity.ScopeSystem,
		func(ctx context.Context, in *struct {
			Body struct {
				Separation *bool             `json:"separation,omitempty" doc:"Keep the three powers apart; true by default"`
				Security   *newAdministrator `json:"security_admin,omitempty" doc:"The security administrator to make; required with separation"`
				Audit      *newAdministrator `json:"audit_admin,omitempty" doc:"The audit administrator to make; required with separation"`
			}
		}) (*Body[Setup], error) {
			AuditObject(ctx, "setup", "", "")
			apart := in.Body.Separation == nil || *in.Body.Separation
			if err := s.completeSetup(ctx, apart, in.Body.Security, in.Body.Audit); err != nil {
				return nil, err
			}
			AuditObject(ctx, "setup", "", fmt.Sprintf("separation of the three powers: %v", apart))
			return Reply(own.setup.Get()), nil
		})

	type brandingAnswer struct {
		Name        access.Text `json:"name"`
		LoginNotice access.Text `json:"login_notice"`
		LogoURL     string      `json:"logo_url" doc:"Empty: the suite's own"`
	}
	Register(s, huma.Operation{OperationID: "get-branding", Method: http.MethodGet, Path: "/branding", Tags: []string{"settings"},
		Summary: "What the suite is called here"}, scopePublic,
		func(context.Context, *Empty) (*Body[brandingAnswer], error) {
			b := own.branding.Get()
			out := brandingAnswer{Name: b.Name, LoginNotice: b.LoginNotice}
			if b.Logo != "" {
				out.LogoURL = prefix + "/branding/logo"
			}
			return Reply(out), nil
		})
	Register(s, huma.Operation{OperationID: "get-logo", Method: http.MethodGet, Path: "/branding/logo", Tags: []string{"settings"},
		Summary: "The logo", Errors: []int{404}, Responses: map[string]*huma.Response{"200": {Description: "OK",
			Content: map[string]*huma.MediaType{"image/png": {Schema: &huma.Schema{Type: "string", Format: "binary"}}}}}}, scopePublic,
		func(context.Context, *Empty) (*huma.StreamResponse, error) {
			png, err := own.branding.Get().logo()
			if err != nil {
				return nil, err
			}
			if png == nil {
				return nil, Problem(http.StatusNotFound, "there is no logo")
			}
			return bodyAnswer("image/png", png), nil
		})
}

// completeSetup makes the administrators and separates the powers, or undoes
// what it did.
func (s *Server) completeSetup(ctx context.Context, apart bool, security, auditor *newAdministrator) (err error) {
	own := s.deps.Own
	if own.setup.Get().Completed {
		return Problem(http.StatusConflict, "the wizard has been gone through already: change the settings one by one")
	}
	if apart && (security == nil || auditor == nil) {
		return Problem(http.StatusUnprocessableEntity, "to keep the three powers apart, name a security_admin and an audit_admin, or give separation as false")
	}
	var made []string
	defer func() {
		if err == nil {
			return
		}
		for _, id := range made {
			if _, undo := s.deps.Identity.DeleteUser(context.WithoutCancel(ctx), id); undo != nil {
				s.log.Error("setup: an administrator made by the failed wizard stays", "id", id, "error", undo)
			}
		}
	}()
	for _, power := range []struct {
		role string
		by   *newAdministrator
	}{{"security-admin", security}, {"audit-admin", auditor}} {
		a := power.by
		if a == nil {
			continue
		}
		u, err := s.deps.Identity.CreateUser(ctx, identity.NewUser{Username: a.Username, DisplayName: a.DisplayName, Password: a.Password,
			Roles: []string{power.role}, Tenants: []string{"*"}})
		if err != nil {
			return err
		}
		made = append(made, u.ID)
	}
	if apart {
		if err := s.deps.Identity.Access().Separate(ctx, true, Actor(ctx)); err != nil {
			return err
		}
	}
	if err := own.setup.Set(ctx, Setup{Completed: true, By: Actor(ctx), At: time.Now().UTC(), Separation: apart}, Actor(ctx)); err != nil {
		if apart {
			err = errors.Join(err, s.deps.Identity.Access().Separate(context.WithoutCancel(ctx), false, Actor(ctx)))
		}
		return err
	}
	return nil
}
