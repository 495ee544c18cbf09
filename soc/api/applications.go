package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"

	"icewatch/soc/identity"
	"icewatch/soc/identity/provider"
)

func isUnauthenticated(err error) bool { return errors.Is(err, identity.ErrUnauthenticated) }

// applicationInput names one application.
type ApplicationInput struct {
	ID string `path:"id" maxLength:"64"`
}

// ApplicationFields are the fields of an application's card.
type ApplicationFields struct {
	Name        *provider.Text `json:"name,omitempty"`
	Description *provider.Text `json:"description,omitempty"`
	Category    *string        `json:"category,omitempty" maxLength:"64"`
	Tenant      *string        `json:"tenant,omitempty" maxLength:"128"`
	URL         *string        `json:"url,omitempty" maxLength:"2048"`
	Version     *string        `json:"version,omitempty" maxLength:"100"`
	VersionURL  *string        `json:"version_url,omitempty" maxLength:"2048" doc:"Answers {\"version\": \"…\"} or plain text"`
	Position    *int           `json:"position,omitempty" minimum:"-100000" maximum:"100000"`
	Open        *bool          `json:"open,omitempty"`
}

func (f ApplicationFields) change() provider.Change {
	return provider.Change{Name: f.Name, Description: f.Description, Category: f.Category, Tenant: f.Tenant, URL: f.URL,
		Version: f.Version, VersionURL: f.VersionURL, Position: f.Position, Open: f.Open}
}

// applicationConfiguration is what an application's own programs, and those
// who integrate it, ask for.
type applicationConfiguration struct {
	ID           string        `json:"id"`
	Name         provider.Text `json:"name"`
	URL          string        `json:"url"`
	Open         bool          `json:"open"`
	Version      string        `json:"version"`
	Issuer       string        `json:"issuer"`
	Discovery    string        `json:"discovery"`
	ClientID     string        `json:"client_id" doc:"Empty where it takes no part in single sign-on"`
	Scopes       []string      `json:"scopes" nullable:"false"`
	RedirectURIs []string      `json:"redirect_uris" nullable:"false"`
}

type applicationInterface struct {
	Application     string        `json:"application"`
	ApplicationName provider.Text `json:"application_name"`
	provider.Interface
}

type suggestion struct {
	Tenant string        `json:"tenant"`
	Name   provider.Text `json:"name"`
	Domain string        `json:"domain"`
}

// usable returns an application that the caller may use: a person of its
// audience, or the application itself. Any other is not there for him.
func (s *Server) usable(ctx context.Context, id string) (provider.Application, error) {
	a, err := s.deps.Provider.Get(id)
	if err != nil {
		return a, err
	}
	p := PrincipalFrom(ctx)
	in := p.UserID == a.ID
	if p.Via != identity.ViaApplication {
		person, err := s.deps.Provider.Person(ctx, p)
		if err != nil {
			return a, err
		}
		in = a.Admits(person)
	}
	if !a.Open || !in {
		return a, NotFound("application", id)
	}
	return a, nil
}

// usableAll returns the open applications that the caller may use.
func (s *Server) usableAll(ctx context.Context, f provider.Filter) ([]provider.Application, error) {
	person, err := s.deps.Provider.Person(ctx, PrincipalFrom(ctx))
	if err != nil {
		return nil, err
	}
	return s.deps.Provider.Usable(person, f), nil
}

// applicationRoutes registers the portal and its applications.
func (s *Server) applicationRoutes() {
	if s.deps.Provider == nil {
		return
	}
	s.portalRoutes()
	s.applicationSecurityRoutes() // the router takes the first route that fits: /clients stands before /{id}
	s.applicationManagementRoutes()
	s.providerRoutes()
}

// portalRoutes registers what everybody sees of the applications.
func (s *Server) portalRoutes() {
	tags := []string{"applications"}
	Register(s, huma.Operation{OperationID: "list-portal-applications", Method: http.MethodGet, Path: "/applications", Tags: tags,
		Summary: "The cards of the portal: the open applications that I may use"}, ScopeAny,
		func(ctx context.Context, in *struct {
			Text     string `query:"q" maxLength:"200"`
			Category string `query:"category" maxLength:"64"`
		}) (*Body[Page[provider.Card]], error) {
			list, err := s.usableAll(ctx, provider.Filter{Text: in.Text, Category: in.Category})
			if err != nil {
				return nil, err
			}
			cards := make([]provider.Card, len(list))
			for i, a := range list {
				cards[i] = a.Card
			}
			return Reply(PageOf(cards, len(cards), "")), nil
		})
	Register(s, huma.Operation{OperationID: "list-application-versions", Method: http.MethodGet, Path: "/applications/versions", Tags: tags,
		Summary: "The versions of the applications that I may use"}, ScopeAny,
		func(ctx context.Context, _ *Empty) (*Body[Page[provider.Version]], error) {
			apps, err := s.usableAll(ctx, provider.Filter{})
			if err != nil {
				return nil, err
			}
			list := s.deps.Provider.Versions(ctx, apps)
			return Reply(PageOf(list, len(list), "")), nil
		})
	Register(s, huma.Operation{OperationID: "list-application-interfaces", Method: http.MethodGet, Path: "/applications/interfaces", Tags: tags,
		Summary: "The interfaces that open applications offer to others"}, ScopeAny,
		func(ctx context.Context, in *struct {
			Text string `query:"q" maxLength:"200"`
		}) (*Body[Page[applicationInterface]], error) {
			open, text := true, strings.ToLower(in.Text)
			list := []applicationInterface{}
			for _, a := range s.deps.Provider.List(provider.Filter{Open: &open}) {
				for _, i := range a.Interfaces {
					if strings.Contains(strings.ToLower(strings.Join([]string{a.ID, a.Name.ZH, a.Name.EN, i.Key, i.Title.ZH, i.Title.EN, i.URL}, "\n")), text) {
						list = append(list, applicationInterface{a.ID, a.Name, i})
					}
				}
			}
			return Reply(PageOf(list, len(list), "")), nil
		})
	Register(s, huma.Operation{OperationID: "list-my-application-menus", Method: http.MethodGet, Path: "/applications/{id}/menus", Tags: tags,
		Summary: "The menus and buttons that I get of an application", Errors: []int{404}}, ScopeAny,
		func(ctx context.Context, in *struct {
			ApplicationInput
			User string `query:"user" maxLength:"64" doc:"Whose, where the application asks for one of its users"`
		}) (*Body[Page[provider.Menu]], error) {
			a, err := s.usable(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			p := PrincipalFrom(ctx)
			person, err := s.deps.Provider.Person(ctx, p)
			if err != nil {
				return nil, err
			}
			switch {
			case p.Via == identity.ViaApplication && in.User != "":
				u, err := s.deps.Identity.Standing(ctx, in.User)
				if err != nil {
					return nil, err
				}
				if person = provider.PersonOf(u); u.Disabled || !a.Admits(person) {
					return nil, NotFound("user", in.User)
				}
			case p.Via == identity.ViaApplication:
				return nil, Problem(http.StatusUnprocessableEntity, "an application must say whose menus it asks for: user=ID, the claim sub")
			case in.User != "" && in.User != p.UserID:
				return nil, Problem(http.StatusForbidden, "only the application itself may ask for the menus of another user")
			}
			list := provider.MenusFor(a.Menus, person.Roles)
			return Reply(PageOf(list, len(list), "")), nil
		})
	Register(s, huma.Operation{OperationID: "get-application-configuration", Method: http.MethodGet, Path: "/applications/{id}/configuration", Tags: tags,
		Summary: "Where an application is and how it signs users in", Errors: []int{404}}, ScopeAny,
		func(ctx context.Context, in *ApplicationInput) (*Body[applicationConfiguration], error) {
			a, err := s.usable(ctx, in.ID)
			if err != nil && (s.may(ctx, "get-application") || s.may(ctx, "get-application-client")) {
				a, err = s.deps.Provider.Get(in.ID) // who sets it up need not use it
			}
			if err != nil {
				return nil, err
			}
			out := applicationConfiguration{ID: a.ID, Name: a.Name, URL: a.URL, Open: a.Open, Version: a.Version, Scopes: []string{}, RedirectURIs: []string{}}
			if issuer, _ := s.deps.Provider.Origin(); issuer != "" && a.Client.Type != provider.ClientNone {
				out.Issuer, out.Discovery, out.ClientID = issuer, issuer+provider.PathDiscovery, a.ID
				out.Scopes, out.RedirectURIs = a.Client.Scopes, a.Client.RedirectURIs
			}
			return Reply(out), nil
		})
	s.handle(http.MethodGet, prefix+"/applications/:id/icon", "get-application-icon", ScopeAny, func(c *fiber.Ctx) error {
		data, kind, err := s.deps.Provider.Icon(c.UserContext(), c.Params("id"))
		if err != nil {
			return err
		}
		c.Set(fiber.HeaderContentType, kind)
		c.Set(fiber.HeaderCacheControl, "private, max-age=300")
		return c.Send(data)
	})
}

// ApplicationListInput selects applications.
type ApplicationListInput struct {
	PageInput
	Text     string `query:"q" maxLength:"200" doc:"Part of the name, description, category, version or address"`
	Category string `query:"category" maxLength:"64"`
	Open     string `query:"open" enum:"true,false" doc:"Only open, or only closed ones"`
}

// listApplications lists them for whoever administers one side of them.
func (s *Server) listApplications(ctx context.Context, in *ApplicationListInput) (*Body[Page[provider.Application]], error) {
	if err := cityOnly(ctx); err != nil {
		return nil, err
	}
	f := provider.Filter{Text: in.Text, Category: in.Category}
	if in.Open != "" {
		open := in.Open == "true"
		f.Open = &open
	}
	list := s.deps.Provider.List(f)
	total, next := len(list), ""
	if in.Cursor != "" {
		at := slices.IndexFunc(list, func(a provider.Application) bool { return a.ID == in.Cursor })
		if at < 0 {
			return nil, Problem(http.StatusBadRequest, "the cursor is none that this list gave, or its application is gone")
		}
		list = list[at:]
	}
	if len(list) > in.Limit {
		next, list = list[in.Limit].ID, list[:in.Limit]
	}
	return Reply(PageOf(list, total, next)), nil
}

func (s *Server) getApplication(ctx context.Context, in *ApplicationInput) (*Body[provider.Application], error) {
	if err := cityOnly(ctx); err != nil {
		return nil, err
	}
	a, err := s.deps.Provider.Get(in.ID)
	return Reply(a), err
}

// updateApplication changes an application and notes how it was and is.
func (s *Server) updateApplication(ctx context.Context, id, detail string, ch provider.Change) (*Body[provider.Application], error) {
	AuditObject(ctx, "application:"+id, "", detail)
	if err := cityOnly(ctx); err != nil {
		return nil, err
	}
	before, err := s.deps.Provider.Get(id)
	if err != nil {
		return nil, err
	}
	after, err := s.deps.Provider.Update(ctx, id, ch)
	if err != nil {
		return nil, err
	}
	AuditChange(ctx, before, after)
	return Reply(after), nil
}

// applicationManagementRoutes registers what system administrators do.
func (s *Server) applicationManagementRoutes() {
	tags := []string{"applications"}
	type answer = Body[provider.Application]
	update := s.updateApplication

	Register(s, huma.Operation{OperationID: "list-applications", Method: http.MethodGet, Path: "/applications/all", Tags: tags,
		Summary: "All applications, for those who manage them"}, identity.ScopeSystem, s.listApplications)
	Register(s, huma.Operation{OperationID: "suggest-applications", Method: http.MethodGet, Path: "/applications/suggestions", Tags: tags,
		Summary: "The monitored tenants that have no application yet"}, identity.ScopeSystem,
		func(ctx context.Context, _ *Empty) (*Body[Page[suggestion]], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			taken := map[string]bool{}
			for _, a := range s.deps.Provider.List(provider.Filter{}) {
				taken[a.Tenant] = true
			}
			list := []suggestion{}
			if s.deps.Tenants != nil {
				for _, t := range s.deps.Tenants.List() {
					if !taken[t.Slug] {
						list = append(list, suggestion{t.Slug, provider.Text{ZH: t.Name.ZH, EN: t.Name.EN}, t.Domain})
					}
				}
			}
			return Reply(PageOf(list, len(list), "")), nil
		})
	Register(s, huma.Operation{OperationID: "get-application", Method: http.MethodGet, Path: "/applications/{id}", Tags: tags,
		Summary: "One application", Errors: []int{404}}, identity.ScopeSystem, s.getApplication)
	Register(s, huma.Operation{OperationID: "create-application", Method: http.MethodPost, Path: "/applications", Tags: tags,
		Summary: "Add an application: closed, and nobody may use it, until somebody says otherwise", DefaultStatus: http.StatusCreated, Errors: []int{422}}, identity.ScopeSystem,
		func(ctx context.Context, in *struct{ Body ApplicationFields }) (*answer, error) {
			AuditObject(ctx, "application", "", "")
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			if in.Body.Tenant != nil && *in.Body.Tenant != "" {
				if err := s.checkTenants([]string{*in.Body.Tenant}); err != nil {
					return nil, err
				}
			}
			a, err := s.deps.Provider.Create(ctx, in.Body.change().Make(), Actor(ctx))
			if err != nil {
				return nil, err
			}
			AuditObject(ctx, "application:"+a.ID, "", "name "+a.Name.ZH+" "+a.Name.EN)
			return Reply(a), nil
		})
	Register(s, huma.Operation{OperationID: "update-application", Method: http.MethodPatch, Path: "/applications/{id}", Tags: tags,
		Summary: "Change an application's card: what is given changes, the rest stays", Errors: []int{404, 422}}, identity.ScopeSystem,
		func(ctx context.Context, in *struct {
			ApplicationInput
			Body ApplicationFields
		}) (*answer, error) {
			f := in.Body
			if f.Tenant != nil && *f.Tenant != "" {
				if err := s.checkTenants([]string{*f.Tenant}); err != nil {
					return nil, err
				}
			}
			return update(ctx, in.ID, changed(map[string]bool{"name": f.Name != nil, "description": f.Description != nil, "category": f.Category != nil,
				"tenant": f.Tenant != nil, "url": f.URL != nil, "version": f.Version != nil, "version_url": f.VersionURL != nil,
				"position": f.Position != nil, "open": f.Open != nil}), f.change())
		})
	for _, open := range []bool{true, false} {
		word, summary := "open", "Open an application"
		if !open {
			word, summary = "close", "Close an application: it signs nobody in any more, and its tokens end at once"
		}
		Register(s, huma.Operation{OperationID: word + "-application", Method: http.MethodPost, Path: "/applications/{id}/" + word, Tags: tags,
			Summary: summary, Errors: []int{404}}, identity.ScopeSystem,
			func(ctx context.Context, in *ApplicationInput) (*answer, error) {
				return update(ctx, in.ID, "", provider.Change{Open: &open})
			})
	}
	remove := func(ctx context.Context, ids []string) (deleted, missing []string, err error) {
		if err := cityOnly(ctx); err != nil {
			return nil, nil, err
		}
		return s.deps.Provider.Delete(ctx, ids)
	}
	Register(s, huma.Operation{OperationID: "delete-application", Method: http.MethodDelete, Path: "/applications/{id}", Tags: tags,
		Summary: "Delete an application, with its client and tokens", DefaultStatus: http.StatusNoContent, Errors: []int{404}}, identity.ScopeSystem,
		func(ctx context.Context, in *ApplicationInput) (*struct{}, error) {
			AuditObject(ctx, "application:"+in.ID, "", "")
			_, missing, err := remove(ctx, []string{in.ID})
			if err == nil && len(missing) > 0 {
				err = NotFound("application", in.ID)
			}
			return nil, err
		})
	type deletion struct {
		Deleted []string `json:"deleted" nullable:"false"`
		Missing []string `json:"missing" nullable:"false"`
	}
	Register(s, huma.Operation{OperationID: "delete-applications", Method: http.MethodPost, Path: "/applications/delete", Tags: tags,
		Summary: "Delete several applications"}, identity.ScopeSystem,
		func(ctx context.Context, in *struct {
			Body struct {
				IDs []string `json:"ids" minItems:"1" maxItems:"2000" nullable:"false"`
			}
		}) (*Body[deletion], error) {
			AuditObject(ctx, "applications", "", clip(strings.Join(in.Body.IDs, " "), 2000))
			deleted, missing, err := remove(ctx, in.Body.IDs)
			return Reply(deletion{deleted, missing}), err
		})
	Register(s, huma.Operation{OperationID: "set-application-icon", Method: http.MethodPut, Path: "/applications/{id}/icon", Tags: tags,
		Summary: "Give an application an icon: PNG or JPEG, at most 256 KiB and 1024 × 1024 points", MaxBodyBytes: provider.MaxIcon + 1,
		DefaultStatus: http.StatusNoContent, Errors: []int{404, 422}}, identity.ScopeSystem,
		func(ctx context.Context, in *struct {
			ApplicationInput
			RawBody []byte `contentType:"image/png"`
		}) (*struct{}, error) {
			AuditObject(ctx, "application:"+in.ID, "", "icon")
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			return nil, s.deps.Provider.SetIcon(ctx, in.ID, in.RawBody)
		})
	Register(s, huma.Operation{OperationID: "delete-application-icon", Method: http.MethodDelete, Path: "/applications/{id}/icon", Tags: tags,
		Summary: "Take an application's icon away", DefaultStatus: http.StatusNoContent, Errors: []int{404}}, identity.ScopeSystem,
		func(ctx context.Context, in *ApplicationInput) (*struct{}, error) {
			AuditObject(ctx, "application:"+in.ID, "", "icon")
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			return nil, s.deps.Provider.SetIcon(ctx, in.ID, nil)
		})
	type menus struct {
		Items []provider.Menu `json:"items" nullable:"false" maxItems:"200"`
	}
	Register(s, huma.Operation{OperationID: "get-application-menus", Method: http.MethodGet, Path: "/applications/{id}/menus/all", Tags: tags,
		Summary: "The menus and buttons of an application, with the roles that get them", Errors: []int{404}}, identity.ScopeSystem,
		func(ctx context.Context, in *ApplicationInput) (*Body[menus], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			a, err := s.deps.Provider.Get(in.ID)
			return Reply(menus{a.Menus}), err
		})
	Register(s, huma.Operation{OperationID: "set-application-menus", Method: http.MethodPut, Path: "/applications/{id}/menus/all", Tags: tags,
		Summary: "Set the menus and buttons of an application, and the roles that get them", MaxBodyBytes: 1 << 20, Errors: []int{404, 422}}, identity.ScopeSystem,
		func(ctx context.Context, in *struct {
			ApplicationInput
			Body menus
		}) (*answer, error) {
			return update(ctx, in.ID, "menus", provider.Change{Menus: &in.Body.Items})
		})
	Register(s, huma.Operation{OperationID: "set-application-interfaces", Method: http.MethodPut, Path: "/applications/{id}/interfaces", Tags: tags,
		Summary: "Set the interfaces that an application offers to others", MaxBodyBytes: 1 << 20, Errors: []int{404, 422}}, identity.ScopeSystem,
		func(ctx context.Context, in *struct {
			ApplicationInput
			Body struct {
				Items []provider.Interface `json:"items" nullable:"false" maxItems:"1000"`
			}
		}) (*answer, error) {
			return update(ctx, in.ID, "interfaces", provider.Change{Interfaces: &in.Body.Items})
		})
}

// freshSecret is a client's secret, which is shown once.
type freshSecret struct {
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret" doc:"Shown this once"`
}

// applicationSecurityRoutes registers what security administrators do: who may
// use an application, how it signs users in, and what it may call itself.
func (s *Server) applicationSecurityRoutes() {
	tags := []string{"applications"}
	type answer = Body[provider.Application]
	update := s.updateApplication
	Register(s, huma.Operation{OperationID: "list-application-clients", Method: http.MethodGet, Path: "/applications/clients", Tags: tags,
		Summary: "All applications, for those who say what they may"}, identity.ScopeSecurity, s.listApplications)
	Register(s, huma.Operation{OperationID: "get-application-client", Method: http.MethodGet, Path: "/applications/{id}/client", Tags: tags,
		Summary: "One application, for those who say what it may", Errors: []int{404}}, identity.ScopeSecurity, s.getApplication)
	Register(s, huma.Operation{OperationID: "set-application-audience", Method: http.MethodPut, Path: "/applications/{id}/audience", Tags: tags,
		Summary: "Say who may use an application", Errors: []int{404, 422}}, identity.ScopeSecurity,
		func(ctx context.Context, in *struct {
			ApplicationInput
			Body provider.Audience
		}) (*answer, error) {
			b := in.Body
			return update(ctx, in.ID, fmt.Sprintf("audience: everyone %t, roles %s, %d groups, %d users", b.Everyone, strings.Join(b.Roles, " "), len(b.Groups), len(b.Users)),
				provider.Change{Audience: &b})
		})
	Register(s, huma.Operation{OperationID: "set-application-client", Method: http.MethodPut, Path: "/applications/{id}/client", Tags: tags,
		Summary: "Say how an application signs users in; tokens it holds end at once", Errors: []int{404, 422}}, identity.ScopeSecurity,
		func(ctx context.Context, in *struct {
			ApplicationInput
			Body provider.Client
		}) (*answer, error) {
			return update(ctx, in.ID, "client: "+in.Body.Type+", redirect URIs "+clip(strings.Join(in.Body.RedirectURIs, " "), 1000), provider.Change{Client: &in.Body})
		})
	Register(s, huma.Operation{OperationID: "set-application-permissions", Method: http.MethodPut, Path: "/applications/{id}/permissions", Tags: tags,
		Summary: "Say what of the API an application may call itself; of administration at most what the caller may", Errors: []int{404, 422}}, identity.ScopeSecurity,
		func(ctx context.Context, in *struct {
			ApplicationInput
			Body provider.Permissions
		}) (*answer, error) {
			AuditObject(ctx, "application:"+in.ID, "", "permissions")
			if err := s.checkPermissions(ctx, in.Body); err != nil {
				return nil, err
			}
			return update(ctx, in.ID, "permissions: "+clip(strings.Join(in.Body.Operations, " "), 2000)+"; tenants: "+clip(strings.Join(in.Body.Tenants, " "), 1000),
				provider.Change{Permissions: &in.Body})
		})
	Register(s, huma.Operation{OperationID: "new-application-secret", Method: http.MethodPost, Path: "/applications/{id}/secret", Tags: tags,
		Summary: "Give a client a new secret; the one before ends at once", Errors: []int{404, 422}}, identity.ScopeSecurity,
		func(ctx context.Context, in *ApplicationInput) (*Body[freshSecret], error) {
			AuditObject(ctx, "application:"+in.ID, "", "client secret")
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			secret, err := s.deps.Provider.NewSecret(ctx, in.ID)
			return Reply(freshSecret{in.ID, secret}), err
		})
	Register(s, huma.Operation{OperationID: "add-application-key", Method: http.MethodPost, Path: "/applications/{id}/keys", Tags: tags,
		Summary: "Give an application a new key or certificate; those before retire after the overlap", DefaultStatus: http.StatusCreated,
		MaxBodyBytes: maxPublicBody, Errors: []int{404, 422}}, identity.ScopeSecurity,
		func(ctx context.Context, in *struct {
			ApplicationInput
			Body struct {
				PEM      string `json:"pem,omitempty" maxLength:"32768" doc:"A certificate or public key"`
				Generate string `json:"generate,omitempty" enum:"RS256,ES256" doc:"Make a pair instead; the private key is shown once"`
				Overlap  string `json:"overlap,omitempty" default:"7d" doc:"How long the keys before stay good, like 168h or 7d; 0 ends them at once"`
			}
		}) (*Body[provider.MadeKey], error) {
			AuditObject(ctx, "application:"+in.ID, "", "key")
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			overlap := time.Duration(0)
			if in.Body.Overlap != "0" {
				var err error
				if overlap, err = ParseDuration(in.Body.Overlap); err != nil {
					return nil, Problem(http.StatusUnprocessableEntity, "overlap: %q is no duration like 168h or 7d", clip(in.Body.Overlap, 64))
				}
			}
			if (in.Body.PEM == "") == (in.Body.Generate == "") {
				return nil, Problem(http.StatusUnprocessableEntity, "give either pem or generate")
			}
			made, err := s.deps.Provider.AddKey(ctx, in.ID, provider.NewKey{PEM: in.Body.PEM, Generate: in.Body.Generate, Overlap: overlap})
			if err == nil {
				AuditObject(ctx, "application:"+in.ID, "", "key "+made.Key.ID)
			}
			return Reply(made), err
		})
	Register(s, huma.Operation{OperationID: "delete-application-key", Method: http.MethodDelete, Path: "/applications/{id}/keys/{kid}", Tags: tags,
		Summary: "Take a key of an application out of force, at once", DefaultStatus: http.StatusNoContent, Errors: []int{404}}, identity.ScopeSecurity,
		func(ctx context.Context, in *struct {
			ApplicationInput
			KID string `path:"kid" maxLength:"64"`
		}) (*struct{}, error) {
			AuditObject(ctx, "application:"+in.ID, "", "key "+in.KID)
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			return nil, s.deps.Provider.DeleteKey(ctx, in.ID, in.KID)
		})
}
