package centre

import (
	"icewatch/soc/api"
	"icewatch/soc/prometheus"
	"icewatch/soc/protocol"
	"icewatch/soc/traces"
	"icewatch/soc/traces/jaeger"
)

// protocols are the APIs of other products that the suite speaks.
func (c *centre) protocols() []protocol.Protocol {
	return []protocol.Protocol{
		c.otlp.Protocol(api.ProtocolCaller{}),
		c.loki(),
		prometheus.New(api.ProtocolCaller{}, prometheus.Options{Lake: c.engine, Catalogue: c.samples.catalogue, Retention: c.samples.limits.Retention, Version: c.Version}),
		jaeger.New(traces.New(c.engine), api.ProtocolCaller{}),
		c.alertmanager.Protocol(),
		c.elastic,
	}
}
