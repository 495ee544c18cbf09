package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCMDBDatabase(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte("p@ss#w/rd\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ url, file, want string }{
		{"", "", ""},
		{"postgres://icewatch@db.example/cmdb?sslmode=verify-full", "", ""},
		{"postgres://icewatch@db.example:5432/cmdb", secret, ""},
		{"", secret, "cmdb.password_file: it is the password of no database"},
		{"postgres://icewatch@db.example/cmdb", secret + "x", "cannot be read"},
		{"postgres://icewatch:geheim@db.example/cmdb", "", "cmdb.postgres: it holds a password"},
		{"postgres://icewatch@db.example/cmdb?password=geheim", "", "it holds a password"},
		{"postgres://icewatch:ge#heim@db.example/cmdb", "", "cmdb.postgres: it is no URL"},
		{"host=db.example user=icewatch password=geheim", "", "does not begin with postgres://"},
		{"mysql://icewatch@db.example/cmdb", "", "does not begin with postgres://"},
		{"postgres://db.example/cmdb", "", "it names no user"},
		{"postgres://icewatch@db.example", "", "it names no database"},
	} {
		conf, err := Load("", nil, map[string]string{"cmdb.postgres": c.url, "cmdb.password_file": c.file})
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "heim") {
				t.Errorf("%s: %v, want %q and no password", c.url, err, c.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.url, err)
			continue
		}
		got, err := conf.CMDB.URL()
		want := c.url
		if c.file != "" {
			want = "postgres://icewatch:p%40ss%23w%2Frd@db.example:5432/cmdb"
		}
		if err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", c.url, got, err, want)
		}
	}
}
