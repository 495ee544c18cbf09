package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/detections"
	"icewatch/soc/identity"
	"icewatch/soc/knowledge"
)

// ArticleBody is an article of the knowledge base as it is written. It is exported
// because inputs embed it.
type ArticleBody struct {
	Title      detections.Text   `json:"title" doc:"In one language at least"`
	Summary    detections.Text   `json:"summary,omitzero" doc:"What it is"`
	Verify     []detections.Text `json:"verify,omitempty" maxItems:"30" doc:"How to tell whether it is real, one after the other"`
	Steps      []detections.Text `json:"steps,omitempty" maxItems:"30" doc:"What to do, one after the other"`
	References []string          `json:"references,omitempty" maxItems:"20" doc:"Addresses that begin with https:// or http://"`
	Tags       []string          `json:"tags,omitempty" maxItems:"20"`
	Notes      detections.Text   `json:"notes,omitzero" doc:"What else people here need to know"`
	Contacts   string            `json:"contacts,omitempty" maxLength:"4000" doc:"Whom to ask"`
}

// ArticleView is an article as the console shows it. It is exported because its
// versions embed it.
type ArticleView struct {
	ArticleBody
	ID        string     `json:"id"`
	Shipped   bool       `json:"shipped"`
	Attack    bool       `json:"attack" doc:"It is that of the type of attack of the same id: alerts of it lead here where their rule names no other"`
	Version   int64      `json:"version" doc:"0 is what was shipped"`
	UpdatedAt *time.Time `json:"updated_at,omitempty"`
	UpdatedBy string     `json:"updated_by,omitempty"`
}

// articleDetail is an article with the rules that name it.
type articleDetail struct {
	ArticleView
	Rules []articleRule `json:"rules" nullable:"false" doc:"That name it, 200 at most"`
}

type articleRule struct {
	ID    string          `json:"id"`
	Title detections.Text `json:"title"`
}

type articleVersion struct {
	ArticleView
	Deleted bool `json:"deleted,omitempty" doc:"It was deleted then; the rest is as it was before"`
}

func (s *Server) viewOfArticle(k *knowledge.Kept) ArticleView {
	v := ArticleView{ArticleBody: ArticleBody(k.Content), ID: k.ID, Shipped: k.Shipped, Version: k.Version, UpdatedBy: k.UpdatedBy}
	if s.deps.Taxonomy != nil {
		if t := s.deps.Taxonomy(); t != nil {
			v.Attack = t.Attack(k.ID) != nil
		}
	}
	if !k.UpdatedAt.IsZero() {
		at := k.UpdatedAt
		v.UpdatedAt = &at
	}
	return v
}

func articleProblem(err error, id string) error {
	switch {
	case errors.Is(err, knowledge.ErrNotFound):
		return NotFound("article", clip(id, 100))
	case errors.Is(err, knowledge.ErrInvalid):
		return Problem(http.StatusUnprocessableEntity, "%s", plain(err, knowledge.ErrInvalid, ""))
	}
	return err
}

// knowledgeRoutes registers the knowledge base. Everybody reads it; who changes it
// writes for the whole city.
func (s *Server) knowledgeRoutes() {
	store := s.deps.Knowledge
	if store == nil {
		return
	}
	tags := []string{"knowledge"}
	Register(s, huma.Operation{OperationID: "list-articles", Method: http.MethodGet, Path: "/knowledge", Tags: tags,
		Summary: "Articles of the knowledge base, or those in which all words of a text occur"}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Q string `query:"q" maxLength:"200"`
		}) (*Body[Page[ArticleView]], error) {
			list, err := store.List(ctx)
			if err != nil {
				return nil, err
			}
			items := []ArticleView{}
			for _, k := range knowledge.Find(list, in.Q) {
				items = append(items, s.viewOfArticle(&k))
			}
			return Reply(PageOf(items, len(items), "")), nil
		})
	Register(s, huma.Operation{OperationID: "get-article", Method: http.MethodGet, Path: "/knowledge/{id}", Tags: tags,
		Summary: "One article, with the rules that name it", Errors: []int{404}}, identity.ScopeRead,
		func(ctx context.Context, in *ArticleInput) (*Body[articleDetail], error) {
			k, err := store.Get(ctx, in.ID)
			if err != nil {
				return nil, articleProblem(err, in.ID)
			}
			out := articleDetail{ArticleView: s.viewOfArticle(&k), Rules: []articleRule{}}
			if s.deps.Rules != nil {
				rules, err := s.deps.Rules.List(ctx)
				if err != nil {
					return nil, err
				}
				for i := range rules {
					if strings.EqualFold(rules[i].Knowledge, k.ID) && len(out.Rules) < 200 {
						out.Rules = append(out.Rules, articleRule{rules[i].ID, rules[i].Title})
					}
				}
			}
			return Reply(out), nil
		})
	put := func(ctx context.Context, id string, body ArticleBody, there bool) (*Body[ArticleView], error) {
		AuditObject(ctx, "article:"+clip(id, 100), "", clip(body.Title.ZH+body.Title.EN, 200))
		if err := cityOnly(ctx); err != nil {
			return nil, err
		}
		_, err := store.Get(ctx, id)
		switch {
		case there && err != nil: // one that is not there is not made by its id
			return nil, articleProblem(err, id)
		case !there && err == nil:
			return nil, Problem(http.StatusConflict, "there is an article %q already: change that, or choose another id", clip(id, 100))
		case !there && !errors.Is(err, knowledge.ErrNotFound):
			return nil, err
		}
		made, err := store.Put(ctx, Actor(ctx), []knowledge.Kept{{ID: id, Content: knowledge.Article(body)}}, nil)
		if err != nil {
			return nil, articleProblem(err, id)
		}
		return Reply(s.viewOfArticle(&made[0])), nil
	}
	Register(s, huma.Operation{OperationID: "create-article", Method: http.MethodPost, Path: "/knowledge", Tags: tags,
		Summary: "Write an article", DefaultStatus: http.StatusCreated, Errors: []int{409, 422}}, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			Body struct {
				ArticleBody
				ID string `json:"id" pattern:"^[a-z0-9][a-z0-9._-]{0,99}$" doc:"By which rules name it"`
			}
		}) (*Body[ArticleView], error) {
			return put(ctx, in.Body.ID, in.Body.ArticleBody, false)
		})
	Register(s, huma.Operation{OperationID: "update-article", Method: http.MethodPut, Path: "/knowledge/{id}", Tags: tags,
		Summary: "Change an article", Errors: []int{404, 422}}, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			ArticleInput
			Body ArticleBody
		}) (*Body[ArticleView], error) {
			return put(ctx, in.ID, in.Body, true)
		})
	Register(s, huma.Operation{OperationID: "delete-article", Method: http.MethodDelete, Path: "/knowledge/{id}", Tags: tags,
		Summary: "Delete an article that is not shipped; restore brings it back", DefaultStatus: http.StatusNoContent, Errors: []int{404, 422}}, identity.ScopeRespond,
		func(ctx context.Context, in *ArticleInput) (*struct{}, error) {
			AuditObject(ctx, "article:"+clip(in.ID, 100), "", "")
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			return nil, articleProblem(store.Delete(ctx, Actor(ctx), in.ID, nil), in.ID)
		})
	Register(s, huma.Operation{OperationID: "list-article-versions", Method: http.MethodGet, Path: "/knowledge/{id}/versions", Tags: tags,
		Summary: "The versions of an article, the newest first; those of a deleted one too", Errors: []int{404}}, identity.ScopeRead,
		func(ctx context.Context, in *ArticleInput) (*Body[Page[articleVersion]], error) {
			list, err := store.Versions(ctx, in.ID)
			if err != nil {
				return nil, articleProblem(err, in.ID)
			}
			items := make([]articleVersion, 0, len(list))
			for i := range list {
				items = append(items, articleVersion{ArticleView: s.viewOfArticle(&list[i]), Deleted: list[i].Deleted})
			}
			return Reply(PageOf(items, len(items), "")), nil
		})
	Register(s, huma.Operation{OperationID: "restore-article", Method: http.MethodPost, Path: "/knowledge/{id}/restore", Tags: tags,
		Summary: "Make an article again what a version of it was, a deleted one too", Errors: []int{404, 422}}, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			ArticleInput
			Body struct {
				Version int64 `json:"version" minimum:"0" doc:"Of list-article-versions; 0 is what was shipped"`
			}
		}) (*Body[ArticleView], error) {
			AuditObject(ctx, "article:"+clip(in.ID, 100), "", fmt.Sprintf("version %d", in.Body.Version))
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			k, err := store.Restore(ctx, Actor(ctx), in.ID, in.Body.Version, nil)
			if err != nil {
				return nil, articleProblem(err, in.ID)
			}
			return Reply(s.viewOfArticle(&k)), nil
		})
}

// ArticleInput is the input of an operation on one article.
type ArticleInput struct {
	ID string `path:"id" maxLength:"100"`
}
