package parse

import (
	"strings"

	"icewatch/soc/event"
)

// maxChannels bounds the channels whose datasets are remembered: their names
// come from outside.
const maxChannels = 1000

// windows names the dataset of a Windows event after its channel, as Elastic's
// integrations do: windows.sysmon_operational, windows.security. Events of one
// channel have much the same fields, and so are kept side by side. That it is a
// Windows event shows by winlogbeat's names, or by those of the event itself.
func (p *Parser) windows() {
	var channel string
	id := false
	for i := range p.ev.Fields {
		switch f := &p.ev.Fields[i]; f.ID {
		case event.EventDataset:
			return
		case p.names.winlogChannel:
			channel, id = f.Value, true
		case p.names.channel:
			if channel == "" {
				channel = f.Value
			}
		case p.names.eventID:
			id = true
		}
	}
	if channel == "" || !id || len(channel) > maxName {
		return
	}
	dataset, ok := p.channels[channel]
	if !ok {
		dataset = windowsDataset(channel)
		if len(p.channels) >= maxChannels {
			clear(p.channels)
		}
		p.channels[strings.Clone(channel)] = dataset
	}
	p.ev.Add(event.EventDataset, dataset)
	p.ev.SetDefault(event.EventModule, "windows")
}

// windowsDataset is the dataset of a channel such as
// "Microsoft-Windows-Sysmon/Operational".
func windowsDataset(channel string) string {
	name := channel
	for _, vendor := range [...]string{"Microsoft-Windows-", "Windows "} {
		name = strings.TrimPrefix(name, vendor)
	}
	return "windows." + strings.Map(func(c rune) rune {
		switch {
		case c >= 'A' && c <= 'Z':
			return c + 'a' - 'A'
		case c == ' ' || c == '/' || c == '-':
			return '_'
		}
		return c
	}, name)
}
