package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"time"
)

type flowsCmd struct {
	Top           flowsTopCmd           `cmd:"" help:"The top talkers."`
	Conversations flowsConversationsCmd `cmd:"" help:"Conversations, both directions together."`
	Map           flowsMapCmd           `cmd:"" help:"Whom an asset talks to, with first and last seen."`
	Profile       flowsProfileCmd       `cmd:"" help:"What an address offers and uses, and whom it met lately."`
	Exporters     flowsExportersCmd     `cmd:"" help:"Who sends flows, and what is lost on the way."`
}

// flowRange are the flags that all questions about flows take.
type flowRange struct {
	Since string `help:"How far back from now (or from --end), e.g. 15m, 24h, 7d. Default: the server's." placeholder:"DURATION"`
	Start string `help:"From this time on." placeholder:"TIME"`
	End   string `help:"Up to before this time." placeholder:"TIME"`
	Zone  string `help:"Flows of this network zone alone." placeholder:"ZONE"`
	Query string `help:"LogsQL without pipes, to narrow the flows further, e.g. 'server.port:443'." placeholder:"LOGSQL"`
}

// ask fetches an answer and prints it, as JSON where the user wants that.
func (r *flowRange) ask(a *app, path string, q url.Values, show func(raw []byte, out *bytes.Buffer) error) error {
	if r.Since != "" || r.Start != "" || r.End != "" {
		if err := timeRange(q, r.Since, r.Start, r.End, a.now()); err != nil {
			return err
		}
	}
	set(q, "zone", r.Zone)
	set(q, "query", r.Query)
	set(q, "tenant", a.cli.Tenant)
	c, err := a.connect()
	if err != nil {
		return err
	}
	var raw json.RawMessage
	if err := c.Get(a.ctx, "/api/v1/flows/"+path, q, &raw); err != nil {
		return err
	}
	if a.cli.Output == "json" {
		return a.printLine(raw)
	}
	var b bytes.Buffer
	if err := show(raw, &b); err != nil {
		return fmt.Errorf("the answer is not what was expected: %w", err)
	}
	_, err = a.stdout.Write(b.Bytes())
	return err
}

// flowPeer is an end of flows as the server shows it.
type flowPeer struct {
	Zone    string `json:"zone"`
	Address string `json:"address"`
	CI      *struct {
		Name string `json:"name"`
	} `json:"ci"`
}

// String is the address, with its zone where that is not the default one and
// with its item's name.
func (p *flowPeer) String() string {
	if p == nil {
		return ""
	}
	s := p.Address
	if p.Zone != "default" {
		s = p.Zone + "|" + s
	}
	if p.CI != nil {
		s += " (" + p.CI.Name + ")"
	}
	return s
}

// volume shows bytes as people read them.
func volume(n int64) string {
	const units = "KMGTPE"
	if n < 1000 {
		return strconv.FormatInt(n, 10) + " B"
	}
	f, i := float64(n)/1000, 0
	for ; f >= 1000 && i < len(units)-1; i++ {
		f /= 1000
	}
	return fmt.Sprintf("%.1f %cB", f, units[i])
}

// service names a port.
func service(name, transport string, port int) string {
	s := transport
	if port > 0 {
		s = fmt.Sprintf("%s/%d", transport, port)
	}
	if name != "" {
		s += " " + name
	}
	return or(s)
}

type flowsTopCmd struct {
	flowRange
	By     string `help:"What to rank: ${enum}." enum:"source,destination,host,port,service,protocol,conversation,exporter,interface,as" default:"host"`
	Metric string `help:"What to rank by: ${enum}." enum:"bytes,packets,flows" default:"bytes"`
	Limit  int    `help:"How many." default:"10" short:"n"`
}

// Help is shown below the flags.
func (flowsTopCmd) Help() string {
	return `Examples:
  icectl flows top --by service --since 24h
  icectl flows top --by conversation --query 'source.ip:10.100.1.11' -n 20
  icectl flows top --by source --metric flows -o json | jq -r '.items[].key'`
}

// Run prints the top talkers.
func (t *flowsTopCmd) Run(a *app) error {
	return t.ask(a, "top", url.Values{"by": {t.By}, "metric": {t.Metric}, "limit": {strconv.Itoa(t.Limit)}}, func(raw []byte, b *bytes.Buffer) error {
		var top struct {
			Items []struct {
				Key       string    `json:"key"`
				Peer      *flowPeer `json:"peer"`
				A         *flowPeer `json:"a"`
				B         *flowPeer `json:"b"`
				Service   string    `json:"service"`
				Port      int       `json:"port"`
				Transport string    `json:"transport"`
				Bytes     int64     `json:"bytes"`
				Packets   int64     `json:"packets"`
				Flows     int64     `json:"flows"`
				Share     float64   `json:"share"`
			} `json:"items"`
			Total struct {
				Bytes int64 `json:"bytes"`
				Flows int64 `json:"flows"`
			} `json:"total"`
		}
		if err := json.Unmarshal(raw, &top); err != nil {
			return err
		}
		list := table{head: []string{t.By, "bytes", "packets", "flows", "share"}}
		for _, e := range top.Items {
			name := e.Key
			switch {
			case e.Peer != nil:
				name = e.Peer.String()
			case e.A != nil:
				name = e.A.String() + " - " + e.B.String()
			case e.Port > 0:
				name = service(e.Service, e.Transport, e.Port)
			}
			list.add(name, volume(e.Bytes), strconv.FormatInt(e.Packets, 10), strconv.FormatInt(e.Flows, 10), fmt.Sprintf("%.1f %%", 100*e.Share))
		}
		if err := list.write(b); err != nil {
			return err
		}
		fmt.Fprintf(b, "\nIn all %s in %d flows.\n", volume(top.Total.Bytes), top.Total.Flows)
		return nil
	})
}

type flowsConversationsCmd struct {
	flowRange
	Address string `help:"One end: an address, or zone|address." placeholder:"ADDR"`
	Metric  string `help:"What to rank by: ${enum}." enum:"bytes,packets,flows" default:"bytes"`
	Limit   int    `help:"How many." default:"20" short:"n"`
}

// Run prints conversations.
func (t *flowsConversationsCmd) Run(a *app) error {
	q := url.Values{"metric": {t.Metric}, "limit": {strconv.Itoa(t.Limit)}}
	set(q, "address", t.Address)
	return t.ask(a, "conversations", q, func(raw []byte, b *bytes.Buffer) error {
		var got struct {
			Items []struct {
				A        *flowPeer `json:"a"`
				B        *flowPeer `json:"b"`
				BytesAB  int64     `json:"bytes_ab"`
				BytesBA  int64     `json:"bytes_ba"`
				Flows    int64     `json:"flows"`
				Services []struct {
					Port      int    `json:"port"`
					Transport string `json:"transport"`
					Name      string `json:"name"`
				} `json:"services"`
				First time.Time `json:"first_seen"`
				Last  time.Time `json:"last_seen"`
			} `json:"items"`
		}
		if err := json.Unmarshal(raw, &got); err != nil {
			return err
		}
		list := table{head: []string{"a", "b", "a to b", "b to a", "flows", "services", "first", "last"}}
		for _, c := range got.Items {
			services := ""
			for i, s := range c.Services {
				if i == 3 {
					services += " …"
					break
				}
				if i > 0 {
					services += ", "
				}
				services += service(s.Name, s.Transport, s.Port)
			}
			list.add(c.A.String(), c.B.String(), volume(c.BytesAB), volume(c.BytesBA), strconv.FormatInt(c.Flows, 10), services, when(c.First), when(c.Last))
		}
		return list.write(b)
	})
}

type flowsMapCmd struct {
	flowRange
	Asset string `arg:"" help:"An address, zone|address, or the id of a configuration item."`
	Depth int    `help:"Steps from the asset, 1 to 3." default:"1"`
	Limit int    `help:"Edges at most." default:"100" short:"n"`
}

// Run prints a communication map.
func (t *flowsMapCmd) Run(a *app) error {
	q := url.Values{"asset": {t.Asset}, "depth": {strconv.Itoa(t.Depth)}, "limit": {strconv.Itoa(t.Limit)}}
	return t.ask(a, "map", q, func(raw []byte, b *bytes.Buffer) error {
		var m struct {
			Nodes []struct {
				ID string `json:"id"`
				flowPeer
			} `json:"nodes"`
			Edges []struct {
				Client    string    `json:"client"`
				Server    string    `json:"server"`
				Port      int       `json:"port"`
				Transport string    `json:"transport"`
				Service   string    `json:"service"`
				ToServer  int64     `json:"bytes_to_server"`
				ToClient  int64     `json:"bytes_to_client"`
				First     time.Time `json:"first_seen"`
				Last      time.Time `json:"last_seen"`
				Days      int       `json:"days"`
			} `json:"edges"`
			Truncated bool `json:"truncated"`
		}
		if err := json.Unmarshal(raw, &m); err != nil {
			return err
		}
		names := map[string]string{}
		for i := range m.Nodes {
			names[m.Nodes[i].ID] = m.Nodes[i].String()
		}
		list := table{head: []string{"client", "server", "service", "to server", "to client", "first seen", "last seen", "days"}}
		for _, e := range m.Edges {
			list.add(names[e.Client], names[e.Server], service(e.Service, e.Transport, e.Port), volume(e.ToServer), volume(e.ToClient), when(e.First), when(e.Last), strconv.Itoa(e.Days))
		}
		if err := list.write(b); err != nil {
			return err
		}
		if m.Truncated {
			fmt.Fprintf(b, "\nThere are more edges than these: raise --limit.\n")
		}
		return nil
	})
}

type flowsProfileCmd struct {
	flowRange
	Address string `arg:"" help:"An address, zone|address, or the id of a configuration item."`
}

// Run prints the profile of an address.
func (t *flowsProfileCmd) Run(a *app) error {
	return t.ask(a, "profile", url.Values{"address": {t.Address}}, func(raw []byte, b *bytes.Buffer) error {
		type offer struct {
			Port      int       `json:"port"`
			Transport string    `json:"transport"`
			Service   string    `json:"service"`
			Peers     int       `json:"peers"`
			In        int64     `json:"bytes_in"`
			Out       int64     `json:"bytes_out"`
			First     time.Time `json:"first_seen"`
			Last      time.Time `json:"last_seen"`
		}
		var p struct {
			Peer     *flowPeer `json:"peer"`
			First    time.Time `json:"first_seen"`
			Last     time.Time `json:"last_seen"`
			Offers   []offer   `json:"offers"`
			Uses     []offer   `json:"uses"`
			NewPeers []struct {
				Peer      *flowPeer `json:"peer"`
				Role      string    `json:"role"`
				Port      int       `json:"port"`
				Transport string    `json:"transport"`
				Service   string    `json:"service"`
				First     time.Time `json:"first_seen"`
				Bytes     int64     `json:"bytes"`
			} `json:"new_peers"`
			Peers struct {
				Internal int `json:"internal"`
				External int `json:"external"`
			} `json:"peers"`
		}
		if err := json.Unmarshal(raw, &p); err != nil {
			return err
		}
		fmt.Fprintf(b, "%s\nfirst seen %s, last seen %s, talks to %d internal and %d external addresses\n", plain(p.Peer.String()), when(p.First), when(p.Last), p.Peers.Internal, p.Peers.External)
		for _, part := range []struct {
			title string
			list  []offer
		}{{"Offers", p.Offers}, {"Uses", p.Uses}} {
			if len(part.list) == 0 {
				continue
			}
			fmt.Fprintf(b, "\n%s\n", part.title)
			list := table{head: []string{"service", "peers", "in", "out", "first seen", "last seen"}}
			for _, o := range part.list {
				list.add(service(o.Service, o.Transport, o.Port), strconv.Itoa(o.Peers), volume(o.In), volume(o.Out), when(o.First), when(o.Last))
			}
			if err := list.write(b); err != nil {
				return err
			}
		}
		if len(p.NewPeers) == 0 {
			return nil
		}
		fmt.Fprintf(b, "\nNew in the last 24 hours\n")
		list := table{head: []string{"peer", "as", "service", "first seen", "bytes"}}
		for _, n := range p.NewPeers {
			list.add(n.Peer.String(), n.Role, service(n.Service, n.Transport, n.Port), when(n.First), volume(n.Bytes))
		}
		return list.write(b)
	})
}

type flowsExportersCmd struct{}

// Run prints who sends flows.
func (t *flowsExportersCmd) Run(a *app) error {
	var r flowRange
	return r.ask(a, "exporters", url.Values{}, func(raw []byte, b *bytes.Buffer) error {
		var got struct {
			Items []struct {
				Exporter  string    `json:"exporter"`
				Zone      string    `json:"zone"`
				Kind      string    `json:"kind"`
				Domain    uint32    `json:"domain"`
				Flows     uint64    `json:"flows"`
				Gaps      uint64    `json:"sequence_gaps"`
				Lost      uint64    `json:"lost"`
				Waiting   int       `json:"waiting"`
				Undecoded uint64    `json:"undecoded"`
				Sampling  uint32    `json:"sampling"`
				Last      time.Time `json:"last_seen"`
			} `json:"items"`
		}
		if err := json.Unmarshal(raw, &got); err != nil {
			return err
		}
		list := table{head: []string{"exporter", "zone", "kind", "domain", "flows", "gaps", "lost", "waiting", "undecoded", "sampling", "last seen"}}
		for _, e := range got.Items {
			list.add(e.Exporter, e.Zone, e.Kind, fmt.Sprint(e.Domain), fmt.Sprint(e.Flows), fmt.Sprint(e.Gaps), fmt.Sprint(e.Lost), fmt.Sprint(e.Waiting), fmt.Sprint(e.Undecoded), fmt.Sprint(e.Sampling), when(e.Last))
		}
		return list.write(b)
	})
}
