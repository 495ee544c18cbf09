package password

import (
	"bytes"
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestPolicy(t *testing.T) {
	t.Parallel()
	p := Default()
	f := func(password, user, rule string) {
		t.Helper()
		err := p.Check(password, nil, user)
		var w *WeakError
		switch {
		case rule == "" && err != nil:
			t.Errorf("%q: %v", password, err)
		case rule != "" && (!errors.As(err, &w) || w.Rule != rule):
			t.Errorf("%q: %v, want the rule %s", password, err, rule)
		}
	}
	f("moon-river-harbour", "li", "")
	f("电子印章平台运维口令安全", "li", "")
	f("Tr0ub4dor&3xyz", "admin", "")
	f("short", "li", RuleLength)
	f("elevenchars", "li", RuleLength)
	f(strings.Repeat("long password ", 100), "li", RuleLength)
	f("aaaaaaaaaaaaaaaa", "li", RuleStrength)
	f("abababababababab", "li", RuleStrength)
	f("abcdefghijklmnop", "li", RuleStrength)
	f("98765432109876543210", "li", RuleStrength)
	f("123456789012345", "li", RuleStrength)
	f("Password2026!", "li", RuleStrength)
	f("Password@123", "li", RuleBreached)
	f("WOAINI1314520", "li", RuleBreached)
	f("wangfang2026", "wangfang", RuleName)
	f("王小明王小明2026年口令", "王小明", "")
	f("has\x00a-nul-inside", "li", RuleText)
	f("bad\xffutf8-password", "li", RuleText)
	p.Classes = 3
	f("moon-river-harbour", "li", RuleClasses)
	f("Moon-river-harbour", "li", "")
	f("电子印章平台运维口令安全", "li", RuleClasses)
	f("电子印章平台运维口令安全1", "li", "")
	p.MinStrength, p.Classes = 0, 1
	f("abababababababab", "li", "")
}

func TestPolicyThatCannotBe(t *testing.T) {
	t.Parallel()
	f := func(ok bool, change func(*Policy)) {
		t.Helper()
		p := Default()
		change(&p)
		if err := p.Validate(); (err == nil) != ok {
			t.Errorf("%+v: %v", p, err)
		}
	}
	f(true, func(*Policy) {})
	f(true, func(p *Policy) { p.MinAgeHours = 24 })
	f(false, func(p *Policy) { p.MinLength = 4 })
	f(false, func(p *Policy) { p.Classes = 0 })
	f(false, func(p *Policy) { p.MinStrength = 5 })
	f(false, func(p *Policy) { p.History = -1 })
	f(false, func(p *Policy) { p.MaxAgeDays, p.MinAgeHours = 1, 24 })
}

// A password of the greatest length must not keep the estimate busy.
func TestCheckIsQuick(t *testing.T) {
	t.Parallel()
	start := time.Now()
	for _, s := range []string{strings.Repeat("a1B!", MaxLength/4), strings.Repeat("qwerty", MaxLength/6), strings.Repeat("password", MaxLength/8)} {
		_ = Default().Check(s, nil, "li")
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("three checks took %s", took)
	}
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLists(t *testing.T) {
	t.Parallel()
	var leaked, lines, bare []string
	for i := range 2000 {
		leaked = append(leaked, fmt.Sprintf("leaked-pass-%d", i*i))
	}
	for i, w := range leaked {
		lines = append(lines, fmt.Sprintf("%X:%d", sha1.Sum([]byte(w)), i*7919+1)) // lines of several lengths
		bare = append(bare, fmt.Sprintf("%x", sha1.Sum([]byte(w))))
	}
	slices.Sort(lines)
	slices.Sort(bare)
	for name, text := range map[string]string{
		"words":              strings.Join(leaked, "\n"),
		"hashes":             strings.Join(lines, "\n"),
		"hashes and CRLF":    strings.Join(lines, "\r\n") + "\r\n",
		"hashes, no counts":  strings.Join(bare, "\n") + "\n",
		"a single hash":      lines[0],
		"a single hash, end": lines[0] + "\n",
	} {
		list, err := OpenList(write(t, text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, w := range leaked {
			want := !strings.HasPrefix(name, "a single") || strings.HasPrefix(lines[0], fmt.Sprintf("%X", sha1.Sum([]byte(w))))
			if got, err := list.Has(w); err != nil || got != want {
				t.Fatalf("%s: %q is on it: %v, %v", name, w, got, err)
			}
			if got, err := list.Has(w + "x"); err != nil || got {
				t.Fatalf("%s: %q is on it: %v, %v", name, w+"x", got, err)
			}
		}
		var weak *WeakError
		if err := Default().Check(leaked[0]+"x", []List{list}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := Default().Check("leaked-pass-1", []List{list}); !strings.HasPrefix(name, "a single") && (!errors.As(err, &weak) || weak.Rule != RuleBreached) {
			t.Errorf("%s: %v", name, err)
		}
	}
	slices.Reverse(lines)
	if _, err := OpenList(write(t, strings.Join(lines, "\n"))); err == nil || !strings.Contains(err.Error(), "not ordered") {
		t.Errorf("a list in the wrong order: %v", err)
	}
	if _, err := OpenList(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a list that is not there")
	}
	if _, err := OpenList(write(t, lines[0]+"\n"+strings.Repeat("junk\n", 500))); err == nil {
		t.Error("a list of hashes with junk in it")
	}
}

func FuzzHashFile(f *testing.F) {
	f.Add([]byte(fmt.Sprintf("%X:1\n", sha1.Sum([]byte("a")))))
	f.Add([]byte("0000000000000000000000000000000000000000\nFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"))
	f.Add([]byte("\n\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "list")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		list, err := OpenList(path)
		if err != nil {
			return
		}
		found, err := list.Has("a")
		sum := fmt.Appendf(nil, "%x", sha1.Sum([]byte("a")))
		if _, hashes := list.(*hashFile); hashes && err == nil && found && !bytes.Contains(bytes.ToLower(data), sum) {
			t.Fatalf("found in %q", data)
		}
	})
}

func TestHashes(t *testing.T) {
	t.Parallel()
	h := NewHasher(Params{Memory: 64, Passes: 1, Threads: 1})
	encoded, err := h.Hash(t.Context(), "secret")
	if err != nil || !strings.HasPrefix(encoded, "$argon2id$v=19$m=64,t=1,p=1$") {
		t.Fatalf("%q, %v", encoded, err)
	}
	f := func(password, encoded string, want, fails bool) {
		t.Helper()
		got, err := h.Verify(t.Context(), Strangers, password, encoded, nil)
		if got != want || (err != nil) != fails {
			t.Errorf("%q against %q: %v, %v", password, encoded, got, err)
		}
	}
	f("secret", encoded, true, false)
	f("Secret", encoded, false, false)
	f("", encoded, false, false)
	f("secret", "", false, true)
	f("secret", "$argon2id$v=19$m=99999999,t=1,p=1$c2FsdHNhbHQ$a2V5a2V5a2V5a2V5a2V5a2V5", false, true)
	f("secret", "$argon2i$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$a2V5", false, true)
	if another, _ := h.Hash(t.Context(), "secret"); another == encoded {
		t.Error("two hashes of one password are equal: no salt")
	}
	if h.Stale(encoded) || !NewHasher(Params{Memory: 128, Passes: 1, Threads: 1}).Stale(encoded) || h.Stale("!") {
		t.Error("which hashes are stale")
	}
	// Two of the refused hashes above were never computed; the dummy was.
	if n, spent := h.Count(); n != 6 || spent <= 0 {
		t.Errorf("%d hashes in %s, want 6", n, spent)
	}
}

// However many strangers come, one password of theirs is hashed at a time,
// most are sent away, and one who is known does not wait for them.
func TestLanes(t *testing.T) {
	t.Parallel()
	h := NewHasher(Params{Memory: 1024, Passes: 1, Threads: 1})
	gate := make(chan struct{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	busy, inside, most := 0, 0, 0
	for range 10 * maxWaiting {
		wg.Go(func() {
			_, err := h.Verify(context.Background(), Strangers, "x", h.Dummy(), func() error {
				mu.Lock()
				inside++
				most = max(most, inside)
				mu.Unlock()
				<-gate
				mu.Lock()
				inside--
				mu.Unlock()
				return nil
			})
			mu.Lock()
			defer mu.Unlock()
			if errors.Is(err, ErrBusy) {
				busy++
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	for h.waiting[Strangers].Load() < maxWaiting {
		time.Sleep(time.Millisecond)
	}
	if ok, err := h.Verify(t.Context(), Known, "x", h.Dummy(), nil); ok || err != nil {
		t.Errorf("one who is known, in the storm: %v, %v", ok, err)
	}
	close(gate)
	wg.Wait()
	if most != 1 || busy == 0 {
		t.Errorf("%d at once, %d sent away", most, busy)
	}
}

func FuzzParseHash(f *testing.F) {
	h := NewHasher(Params{Memory: 64, Passes: 1, Threads: 1})
	f.Add(h.Dummy())
	f.Add("$argon2id$v=19$m=0,t=0,p=0$$")
	f.Add("$$$$$")
	f.Fuzz(func(t *testing.T, s string) {
		p, salt, key, err := parseHash(s)
		if err == nil && (p.Memory > 256<<10 || p.Passes > 16 || len(salt) < 8 || len(key) < 16) {
			t.Fatalf("%q: %+v", s, p)
		}
	})
}
