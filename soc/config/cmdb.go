package config

import (
	"fmt"
	"net/url"
	"os"
	"strings"
)

// CMDB configures where the CMDB keeps its items.
type CMDB struct {
	Postgres     string `yaml:"postgres" doc:"URL of a PostgreSQL database, 14 or newer, such as postgres://icewatch@db.example:5432/cmdb?sslmode=verify-full, without the password. Empty: the file state/cmdb.db in the data folder."`
	PasswordFile string `yaml:"password_file" doc:"File that holds the password of the URL's user."`
}

// URL is the database's with its password, which is read from its file; "" is
// the file state/cmdb.db in the data folder.
func (c CMDB) URL() (string, error) {
	if c.Postgres == "" || c.PasswordFile == "" {
		return c.Postgres, nil
	}
	b, err := os.ReadFile(c.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("cmdb.password_file: %w", err)
	}
	u, err := url.Parse(c.Postgres)
	if err != nil {
		return "", fmt.Errorf("cmdb.postgres: %w", err)
	}
	u.User = url.UserPassword(u.User.Username(), strings.TrimSpace(string(b)))
	return u.String(), nil
}

// checkCMDB tells what is wrong with the CMDB's database.
func (c *Config) checkCMDB(bad func(path, format string, args ...any), file func(path, v string)) {
	file("cmdb.password_file", c.CMDB.PasswordFile)
	if c.CMDB.Postgres == "" {
		if c.CMDB.PasswordFile != "" {
			bad("cmdb.password_file", "it is the password of no database: give cmdb.postgres")
		}
		return
	}
	u, err := url.Parse(c.CMDB.Postgres)
	if err != nil {
		// The error would repeat what may be a password.
		bad("cmdb.postgres", "it is no URL such as postgres://icewatch@db.example:5432/cmdb?sslmode=verify-full; signs such as # and %% in a password are what often makes it none, which belongs into cmdb.password_file")
		return
	}
	_, password := u.User.Password()
	switch {
	case u.Scheme != "postgres" && u.Scheme != "postgresql":
		bad("cmdb.postgres", "it does not begin with postgres://")
	case password || u.Query().Has("password"):
		bad("cmdb.postgres", "it holds a password, which whoever reads the configuration would see; give cmdb.password_file")
	case u.User.Username() == "" && !u.Query().Has("user"):
		bad("cmdb.postgres", "it names no user; postgres://USER@%s is expected", u.Host)
	case strings.Trim(u.Path, "/") == "" && !u.Query().Has("dbname"):
		bad("cmdb.postgres", "it names no database; postgres://%s@%s/DATABASE is expected", u.User.Username(), u.Host)
	}
}
