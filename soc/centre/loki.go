package centre

import (
	"icewatch/soc/api"
	"icewatch/soc/loki"
	"icewatch/soc/loki/logql"
	"icewatch/soc/protocol"
)

// loki is Loki's read API.
func (c *centre) loki() protocol.Protocol {
	return loki.New(loki.Options{Engine: c.logql(), Caller: api.ProtocolCaller{}, Version: c.Version})
}

// logql is the engine of LogQL over the lake.
func (c *centre) logql() *logql.Engine {
	return logql.New(c.slow.Watch(c.engine, api.Caller), logql.Limits{})
}
