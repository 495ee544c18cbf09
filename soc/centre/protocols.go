package centre

import (
	"icewatch/soc/api"
	"icewatch/soc/protocol"
	"icewatch/soc/traces"
	"icewatch/soc/traces/jaeger"
)

// protocols are the APIs of other products that the suite speaks.
func (c *centre) protocols() []protocol.Protocol {
	return []protocol.Protocol{
		c.otlp.Protocol(api.ProtocolCaller{}),
		c.loki(),
		jaeger.New(traces.New(c.engine), api.ProtocolCaller{}),
		c.alertmanager.Protocol(),
		c.elastic,
	}
}
