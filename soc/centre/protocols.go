package centre

import "icewatch/soc/protocol"

// protocols are the APIs of other products that the suite speaks.
func (c *centre) protocols() []protocol.Protocol {
	return nil
}
