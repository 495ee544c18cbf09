package config

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"icewatch/soc/elastic/cluster"
)

// Elastic configures the API of Elasticsearch.
type Elastic struct {
	Clusters []ElasticCluster `yaml:"clusters" doc:"Elasticsearch clusters of your own, searched under /elastic as <name>:<index> (docs/elasticsearch.md)."`
}

// ElasticCluster is one cluster.
type ElasticCluster struct {
	Name         string   `yaml:"name" doc:"Name in front of the colon: lower-case letters, digits, - and _."`
	URLs         []string `yaml:"urls" doc:"Its nodes, such as https://10.0.0.7:9200."`
	Username     string   `yaml:"username" doc:"User for basic authentication; one that may only read."`
	Password     string   `yaml:"password" doc:"The user's password. Better given as password_file."`
	PasswordFile string   `yaml:"password_file" doc:"File that holds the password."`
	APIKeyFile   string   `yaml:"api_key_file" doc:"File that holds an API key (encoded), in place of user and password."`
	CAFile       string   `yaml:"ca_file" doc:"PEM file of those who may have signed its certificates. Empty: the system's authorities."`
	Indices      []string `yaml:"indices" doc:"Names or patterns of the indices that may be searched. Empty: all."`
	TenantField  string   `yaml:"tenant_field" doc:"Keyword field of its documents that holds the tenant's slug. Empty: only who sees every tenant may search the cluster."`
	Timeout      Duration `yaml:"timeout" doc:"How long one request may take; 30s if absent."`
}

// Cluster is the cluster as the API takes it. Its secrets are read from their
// files.
func (e ElasticCluster) Cluster() (cluster.Config, error) {
	c := cluster.Config{Name: e.Name, URLs: e.URLs, Username: e.Username, Password: e.Password, CA: e.CAFile, Indices: e.Indices, TenantField: e.TenantField, Timeout: time.Duration(e.Timeout)}
	for file, to := range map[string]*string{e.PasswordFile: &c.Password, e.APIKeyFile: &c.APIKey} {
		if file == "" {
			continue
		}
		b, err := os.ReadFile(file)
		if err != nil {
			return c, fmt.Errorf("elastic.clusters: the secret of %s: %w", e.Name, err)
		}
		*to = strings.TrimSpace(string(b))
	}
	return c, nil
}

var clusterName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// checkElastic tells what is wrong with the clusters.
func (c *Config) checkElastic(bad func(path, format string, args ...any), file func(path, v string)) {
	names := map[string]bool{}
	for i, e := range c.Elastic.Clusters {
		at := fmt.Sprintf("elastic.clusters[%d]", i)
		switch {
		case !clusterName.MatchString(e.Name):
			bad(at+".name", "%q is no name of a cluster; lower-case letters, digits, - and _ are expected", e.Name)
		case names[e.Name]:
			bad(at+".name", "the name %q is given twice", e.Name)
		}
		names[e.Name] = true
		if len(e.URLs) == 0 {
			bad(at+".urls", "no node is given; a URL such as https://10.0.0.7:9200 is expected")
		}
		for j, u := range e.URLs {
			if !isHTTP(u) {
				bad(fmt.Sprintf("%s.urls[%d]", at, j), "%q is not a URL; one such as https://10.0.0.7:9200 is expected", u)
			}
		}
		if e.Password != "" && e.PasswordFile != "" {
			bad(at+".password", "password and password_file exclude each other; give one")
		}
		if e.APIKeyFile != "" && e.Username != "" {
			bad(at+".api_key_file", "an API key and a user exclude each other; give one")
		}
		file(at+".password_file", e.PasswordFile)
		file(at+".api_key_file", e.APIKeyFile)
		file(at+".ca_file", e.CAFile)
	}
}
