package peers

import (
	"net/http"
	"testing"
)

// TestElasticsearchComesBack kills the server and starts it again.
func TestElasticsearchComesBack(t *testing.T) {
	s := StartElasticsearch(t)
	s.Kill()
	s.Start()
	res, err := http.Get(s.URL + "/_search")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK || res.Header.Get("X-Elastic-Product") != "Elasticsearch" {
		t.Errorf("%s, product %q", res.Status, res.Header.Get("X-Elastic-Product"))
	}
}
