package cmdb

import (
	"path/filepath"
	"testing"
	"time"

	"icewatch/soc/reach"
)

// TestCriticalityOfLate: what changed within the hour is known, also after a
// restart, and nothing else is.
func TestCriticalityOfLate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path, catalogue("a"))
	mustImport(t, s, CSV, "class,id,name,tenant,criticality,owner\nhost,web,web,a,1,\nhost,db,db,a,2,\nhost,lone,lone,a,3,\n")
	check := func(what string, s *Service, id string, want int) {
		t.Helper()
		if got, ok := s.Criticality(id); got != want && ok || ok != (want > 0) {
			t.Errorf("%s: the criticality of %s is %d, %v; want %d", what, id, got, ok, want)
		}
	}
	check("new", s, "web", 0)
	mustImport(t, s, CSV, "class,id,name,criticality,owner\nhost,web,web,5,\nhost,db,db,2,王芳\n")
	check("changed", s, "web", 5)
	check("changed in something else", s, "db", 0)
	mustImport(t, s, CSV, "class,id,name,criticality\nhost,web,web,4\n")
	check("changed again", s, "web", 4)
	if err := s.Delete(t.Context(), reach.All(), "tester", "lone"); err != nil {
		t.Fatal(err)
	}

	again := open(t, path, catalogue("a"))
	check("after a restart", again, "web", 4)
	check("after a restart, changed in something else", again, "db", 0)

	later := s.now().Add(lateFor)
	s.now = func() time.Time { return later }
	check("an hour later", s, "web", 0)
	mustImport(t, s, CSV, "class,id,name,criticality\nhost,db,db,1\n")
	check("an hour later", s, "db", 1)
	if _, kept := s.lately.weighed["web"]; kept {
		t.Error("what is of late no more is kept")
	}
}
