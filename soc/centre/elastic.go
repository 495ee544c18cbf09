package centre

import (
	"context"

	"icewatch/soc/api"
	"icewatch/soc/elastic"
)

// openElastic makes the API of Elasticsearch, with the clusters that the
// configuration names.
func (c *centre) openElastic(context.Context) error {
	o := elastic.Options{Store: c.slow.Watch(c.engine, api.Caller), Caller: api.ProtocolCaller{}}
	for _, e := range c.Config.Elastic.Clusters {
		cluster, err := e.Cluster()
		if err != nil {
			return err
		}
		o.Clusters = append(o.Clusters, cluster)
	}
	var err error
	c.elastic, err = elastic.New(o)
	return err
}
