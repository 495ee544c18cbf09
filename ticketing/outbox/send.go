package outbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"icewatch/ticketing/channel"
	"icewatch/ticketing/webhook"
	"icewatch/ticketing/wording"
)

// sending is what one attempt came to.
type sending struct {
	channel.Result
	channel string
	host    string
	title   string
	remark  string // of an attempt that succeeded all the same
}

func failed(s sending, err error) sending { s.Err = err; return s }

// send makes the attempt. A webhook of before gets the body as it was written;
// a contact point gets it in the words of its channel.
func (b *Box) send(ctx context.Context, to *receiver, batch []message) (s sending) {
	if to == nil {
		return failed(sending{channel: "webhook"}, errors.New("the receiver was removed"))
	}
	s.channel = to.Kind
	if to.Disabled {
		return failed(s, errors.New("the contact point is switched off"))
	}
	plain, err := b.plain(*to)
	if err != nil {
		return failed(s, err)
	}
	first, err := b.notice(ctx, batch[0])
	if err != nil {
		return failed(s, err)
	}
	if plain.Settings == "" {
		s.host, s.title = webhook.Host(plain.URL), b.titleOf(first)
		sender := b.guarded
		if _, fixed := b.fixed[plain.Name]; fixed {
			sender = b.free
		}
		s.Result.Result = sender.Send(ctx, webhook.Target{URL: plain.URL, Secret: plain.Secret}, batch[0].Delivery, []byte(batch[0].Body))
		return s
	}
	ch, err := channel.Read(plain.Kind, []byte(plain.Settings))
	if err != nil {
		return failed(s, err)
	}
	if urls := ch.URLs(); len(urls) > 0 {
		s.host = webhook.Host(urls[0])
	}
	n, err := b.worded(ctx, first, plain.Wording, plain.Language, plain.Kind)
	if err != nil {
		// A wording that fails must not keep back what it words.
		s.remark = fmt.Sprintf("the wording %s failed (%s): the default was used", plain.Wording, err)
		if n, err = b.worded(ctx, first, "", plain.Language, plain.Kind); err != nil {
			return failed(s, err)
		}
	}
	s.title = n.Title
	if len(batch) > 1 {
		if n, err = b.digest(ctx, n, batch, plain.Language); err != nil {
			return failed(s, err)
		}
	}
	s.Result = ch.Send(ctx, b.via, &n)
	return s
}

// notice makes a notice of a notification, without words.
func (b *Box) notice(ctx context.Context, m message) (channel.Notice, error) {
	n := channel.Notice{Delivery: m.Delivery, Kind: m.Kind, Thread: m.Thread, At: time.UnixMilli(m.CreatedAt)}
	if m.Reached != "" {
		n.Done = strings.Split(m.Reached, ",")
	}
	if m.People != "" {
		n.People = b.people(ctx, strings.Split(m.People, ","))
	}
	if err := json.Unmarshal([]byte(m.Body), &n.Payload); err != nil || n.Payload.Version != webhook.Version {
		n.Payload = wrapped(m, b.clock())
		if gated(m.Kind) {
			n.Body = []byte(m.Body)
		}
	}
	if ref := n.Payload.CommonAnnotations[AttachmentKey]; ref != "" && b.deps.Files != nil {
		var err error
		if n.Files, err = b.deps.Files(ctx, ref); err != nil {
			return n, err
		}
	}
	return n, nil
}

// wrapped makes a payload of a body of another form, such as an export's. One
// that is told in words has them as its summary and description.
func wrapped(m message, now time.Time) webhook.Payload {
	var words map[string]json.RawMessage
	if json.Unmarshal([]byte(m.Body), &words) == nil && words["summary"] != nil {
		said := map[string]string{}
		for _, name := range []string{"summary", "summary_en", "description", "description_en"} {
			var text string
			if json.Unmarshal(words[name], &text) == nil && text != "" {
				said[name] = text
			}
		}
		a := webhook.Alert{Status: webhook.Firing, StartsAt: now, Labels: map[string]string{"alertname": m.Kind, "severity": "informational", "tenant": m.Tenant}, Annotations: said}
		return webhook.New(m.Receiver, "", map[string]string{}, []webhook.Alert{a}, 1)
	}
	text := m.Body
	var indented bytes.Buffer
	if json.Indent(&indented, []byte(m.Body), "", "  ") == nil {
		text = indented.String()
	}
	if len(text) > 4000 {
		text = strings.ToValidUTF8(text[:4000], "") + "…"
	}
	a := webhook.Alert{Status: webhook.Firing, StartsAt: now, Labels: map[string]string{"alertname": m.Kind, "tenant": m.Tenant},
		Annotations: map[string]string{"summary": m.Kind, "description": text}}
	return webhook.New(m.Receiver, "", map[string]string{}, []webhook.Alert{a}, 1)
}

func (b *Box) people(ctx context.Context, names []string) []channel.Person {
	out := make([]channel.Person, 0, len(names))
	for _, name := range names {
		p := channel.Person{Name: name}
		if b.deps.Person != nil {
			if found, ok := b.deps.Person(ctx, name); ok {
				p = found
			}
		}
		out = append(out, p)
	}
	return out
}

func namesOf(people []channel.Person) []string {
	var out []string
	for _, p := range people {
		out = append(out, p.Name)
	}
	return out
}

// worded puts a notice into words: those of the wording named, or the default.
func (b *Box) worded(ctx context.Context, n channel.Notice, name, language, kind string) (channel.Notice, error) {
	w := b.words[language]
	if w == nil {
		w = b.words["zh"]
	}
	if name != "" && b.deps.Wording != nil {
		var err error
		if w, err = b.deps.Wording(ctx, name, language, kind); err != nil {
			return n, err
		}
	}
	d := wording.DataOf(n.Payload, n.Kind, w.Language, b.deps.Zone)
	s, err := w.Say(d)
	if err != nil {
		return n, err
	}
	n.Title, n.Text, n.Markdown, n.HTML = s.Title, s.Plain, s.Markdown, s.HTML
	n.Link, n.Acknowledge = d.IncidentURL, d.AcknowledgeURL
	return n, nil
}

func (b *Box) titleOf(n channel.Notice) string {
	s, err := b.words["zh"].Say(wording.DataOf(n.Payload, n.Kind, "zh", b.deps.Zone))
	if err != nil {
		return n.Kind
	}
	return s.Title
}

// digest makes one notice of several; the first is worded already.
func (b *Box) digest(ctx context.Context, first channel.Notice, batch []message, language string) (channel.Notice, error) {
	said := []wording.Said{{Title: first.Title, Plain: first.Text}}
	alerts := first.Payload.Alerts
	for _, m := range batch[1:] {
		n, err := b.notice(ctx, m)
		if err == nil {
			n, err = b.worded(ctx, n, "", language, "")
		}
		if err != nil {
			return first, err
		}
		said = append(said, wording.Said{Title: n.Title, Plain: n.Text})
		alerts = append(alerts, n.Payload.Alerts...)
		first.People = append(first.People, n.People...)
	}
	s := wording.Digest(language, said)
	first.Payload = webhook.New(first.Payload.Receiver, first.Payload.ExternalURL, map[string]string{}, alerts, 50)
	first.Kind, first.Title, first.Text, first.Markdown, first.HTML = "digest", s.Title, s.Plain, s.Markdown, s.HTML
	first.Link, first.Acknowledge = first.Payload.ExternalURL, ""
	return first, nil
}
