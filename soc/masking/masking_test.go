package masking

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"

	"icewatch/soc/seal"
	"icewatch/soc/state"
	"icewatch/soc/veil"
)

func open(t *testing.T, dir string) *Store {
	t.Helper()
	db, err := state.Open(t.Context(), filepath.Join(dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	box, err := seal.Open(t.Context(), db, filepath.Join(dir, "key"), Sealed()...)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), db, box)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRules(t *testing.T) {
	t.Parallel()
	ctx, dir := t.Context(), t.TempDir()
	s := open(t, dir)
	list, total, err := s.List(ctx, Query{Limit: 50})
	if err != nil || total != len(builtIn) || len(list) != total || s.Active() {
		t.Fatalf("%d rules, active %v, %v", total, s.Active(), err)
	}
	if v, err := s.Veil(nil); v != nil || err != nil {
		t.Fatalf("disabled rules hide something: %v %v", v, err)
	}
	made, err := s.Create(ctx, Rule{Name: Text{ZH: "姓名"}, Enabled: true, Fields: []string{"user.name"}, Method: veil.Hash, ExemptRoles: []string{"admin"}}, "li")
	if err != nil || made.Name.EN != "姓名" || made.UpdatedBy != "li" {
		t.Fatalf("%+v %v", made, err)
	}
	if _, err := s.Enable(ctx, "phone", true, "li"); err != nil {
		t.Fatal(err)
	}
	if v, err := s.Veil([]string{"viewer", "admin"}); v != nil || err != nil {
		t.Errorf("an exempt role sees %v (%v)", v, err)
	}
	v, err := s.Veil([]string{"viewer"})
	if err != nil || v.Value("message", "13812345678") != "138***5678" || v.Value("user.name", "wang") == "wang" {
		t.Fatalf("%v %v", v, err)
	}
	again := open(t, dir) // rules and the key of hashes stay
	if w, err := again.Veil(nil); err != nil || w.Value("user.name", "wang") != v.Value("user.name", "wang") || !bytes.Equal(again.secret, s.secret) {
		t.Errorf("after a restart: %v", err)
	}
	yes := true
	if list, total, err := s.List(ctx, Query{Text: "USER.name", Enabled: &yes, Limit: 5}); err != nil || total != 1 || list[0].ID != made.ID {
		t.Errorf("%v %d %v", list, total, err)
	}
	if err := s.Delete(ctx, "phone"); !errors.Is(err, ErrBuiltIn) {
		t.Errorf("removing a built-in rule: %v", err)
	}
	if err := s.Delete(ctx, made.ID); err != nil {
		t.Error(err)
	}
	if _, err := s.Get(ctx, made.ID); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if _, err := s.Enable(ctx, "nothing", true, ""); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	for _, bad := range []Rule{{Name: Text{ZH: "x"}}, {Fields: []string{"a"}, Method: veil.Full}, {Name: Text{ZH: "x"}, Pattern: "(", Method: veil.Full}} {
		if _, err := s.Create(ctx, bad, ""); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// TestBuiltIn shows real texts through the rules for common personal data.
func TestBuiltIn(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	for id, texts := range map[string]map[string]string{
		"phone":     {"用户13812345678登录": "用户138***5678登录", "no 138123456789": "no 138123456789", "tel=18600001111&x": "tel=186***1111&x"},
		"id-card":   {"身份证11010519491231002X。": "身份证110105***2X。", "order 110105194912310021": "order 110105194912310021"},
		"bank-card": {"卡号 4111 1111 1111 1111": "卡号 ***1111", "流水 4111111111111112": "流水 4111111111111112"},
		"email":     {"from li.wei@city.gov.cn to": "from l*** to", "a @ b": "a @ b"},
		"password":  {`{"password":"s3cret","a":1}`: `{"***","a":1}`, "GET /?token=abc123&x=1": "GET /?***&x=1", "password reset": "password reset"},
	} {
		r, err := s.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		for text, want := range texts {
			if got, err := s.Preview(r, []string{text}); err != nil || got[0] != want {
				t.Errorf("%s: %q is shown as %q, want %q (%v)", id, text, got, want, err)
			}
		}
	}
}
