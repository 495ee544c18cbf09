package knowledge

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/detections/verdict"
	"icewatch/rules"
	"icewatch/soc/state"
)

// TestEveryAttackHasAnArticle holds what is shipped to the taxonomy and to its own form.
func TestEveryAttackHasAnArticle(t *testing.T) {
	t.Parallel()
	data, err := fs.ReadFile(rules.FS, verdict.FileName)
	if err != nil {
		t.Fatal(err)
	}
	taxonomy, err := new(verdict.Taxonomy).With(data)
	if err != nil {
		t.Fatal(err)
	}
	articles := map[string]Kept{}
	for _, k := range Shipped() {
		if _, twice := articles[k.ID]; twice || !idForm.MatchString(k.ID) {
			t.Errorf("the id %q", k.ID)
		}
		articles[k.ID] = k
		if err := k.Content.Check(); err != nil {
			t.Errorf("%s: %v", k.ID, err)
		}
		for _, text := range slices.Concat([]detections.Text{k.Content.Title, k.Content.Summary}, k.Content.Verify, k.Content.Steps) {
			if text.ZH == "" || text.EN == "" {
				t.Errorf("%s lacks a language: %+v", k.ID, text)
			}
		}
		if len(k.Content.Verify) == 0 || len(k.Content.Steps) == 0 {
			t.Errorf("%s says not how to verify it or what to do", k.ID)
		}
	}
	for _, a := range taxonomy.Attacks {
		if k, ok := articles[a.ID]; !ok || k.Content.Title != a.Name {
			t.Errorf("the type of attack %s (%s): its article is %q", a.ID, a.Name.ZH, k.Content.Title.ZH)
		}
	}
}

func TestStore(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, err := state.Open(ctx, filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s, err := Open(ctx, db, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	own := Kept{ID: "our-bastion", Content: Article{Title: detections.Text{ZH: "堡垒机绕行"}, Steps: []detections.Text{{ZH: "联系值班"}}, References: []string{"https://example.org/x"}}}
	if _, err := s.Put(ctx, "amy", []Kept{own}, nil); err != nil {
		t.Fatal(err)
	}
	changed := Shipped()[0]
	changed.Content.Notes.ZH = "本市补充"
	if _, err := s.Put(ctx, "amy", []Kept{changed}, nil); err != nil {
		t.Fatal(err)
	}
	list, err := s.List(ctx)
	if err != nil || len(list) != len(Shipped())+1 || list[0].Content.Notes.ZH != "本市补充" || list[len(list)-1].ID != "our-bastion" {
		t.Fatalf("%d, %v", len(list), err)
	}
	for text, want := range map[string]string{"堡垒": "our-bastion", "值班": "our-bastion", "krbtgt": "credential-theft", "SQL 注入": "sql-injection", "本市补充": "sql-injection", "nothing like this": ""} {
		got := ""
		if found := Find(list, text); len(found) > 0 {
			got = found[0].ID
		}
		if got != want {
			t.Errorf("%q finds %q, want %q", text, got, want)
		}
	}
	if _, err := s.Restore(ctx, "amy", changed.ID, 0, nil); err != nil {
		t.Fatal(err)
	}
	if k, err := s.Get(ctx, changed.ID); err != nil || k.Content.Notes.ZH != "" {
		t.Errorf("as shipped: %+v %v", k.Content.Notes, err)
	}
	if err := s.Delete(ctx, "amy", changed.ID, nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("a shipped one deleted: %v", err)
	}
	if err := s.Delete(ctx, "amy", "our-bastion", nil); err != nil {
		t.Error(err)
	}
	if _, err := s.Get(ctx, "our-bastion"); !errors.Is(err, ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
	if _, err := s.Put(ctx, "amy", []Kept{{ID: "No Good", Content: own.Content}}, nil); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "id:") {
		t.Errorf("a bad id: %v", err)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(a *Article){
		"title:":         func(a *Article) { a.Title = detections.Text{} },
		"title: want":    func(a *Article) { a.Title.ZH = strings.Repeat("名", 121) },
		"verify[0]":      func(a *Article) { a.Verify = []detections.Text{{ZH: " "}} },
		"steps: 31":      func(a *Article) { a.Steps = slices.Repeat([]detections.Text{{ZH: "x"}}, 31) },
		"references[0]":  func(a *Article) { a.References = []string{"javascript:alert(1)"} },
		"references[1]":  func(a *Article) { a.References = []string{"https://a.b", "ftp://a.b"} },
		"tags[0]":        func(a *Article) { a.Tags = []string{""} },
		"contacts: want": func(a *Article) { a.Contacts = strings.Repeat("x", 4001) },
	} {
		a := Article{Title: detections.Text{EN: "T"}}
		change(&a)
		if err := a.Check(); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
