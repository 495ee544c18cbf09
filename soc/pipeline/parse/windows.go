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
	var channel, code, provider string
	known, id, message, relayed, computer := false, false, -1, -1, ""
	for i := range p.ev.Fields {
		switch f := &p.ev.Fields[i]; f.ID {
		case event.EventDataset:
			known = true
		case p.names.winlogChannel:
			channel, id = f.Value, true
		case p.names.channel:
			if channel == "" {
				channel = f.Value
			}
		case p.names.eventID, p.names.winlogEventID:
			code, id = f.Value, true
		case p.names.sourceName, p.names.providerName, p.names.winlogProvider:
			provider = f.Value
		case event.HostName:
			// Right behind what the header of syslog names, it is what the header says:
			// of whoever collects the events of many computers.
			if i > 0 && p.ev.Fields[i-1].ID == event.SyslogHostname {
				relayed = i
			}
		case p.names.computer, p.names.hostname, p.names.winlogComputer:
			computer = f.Value
		case p.names.windowsMessage:
			message = i
		}
	}
	if channel == "" || !id || len(channel) > maxName {
		return
	}
	if message >= 0 && !p.ev.Has(event.Message) {
		p.ev.Fields[message].ID = event.Message // as NXLog calls it
	}
	if relayed >= 0 && computer != "" {
		p.ev.Fields[relayed].Value = computer
	}
	if code != "" {
		p.ev.SetDefault(event.EventCode, code)
	}
	if provider != "" {
		p.ev.SetDefault(event.EventProvider, provider)
	}
	if known {
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
