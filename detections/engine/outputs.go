package engine

import (
	"slices"

	"icewatch/detections"
	"icewatch/detections/output"
	"icewatch/detections/sigma"
)

// outputs are what the alerts of a rule say where that depends on the event, with
// the places of their texts found once.
type outputs struct {
	set   *output.Set
	texts map[*sigma.Output]outputTexts
}

type outputTexts struct {
	sentence, advice template
	fields           []template // by index of the output's fields
}

func newOutputs(list []sigma.Output) *outputs {
	set, err := output.Compile(list)
	if set == nil || err != nil { // a rule that cannot be compiled was rejected before
		return nil
	}
	out := &outputs{set: set, texts: map[*sigma.Output]outputTexts{}}
	var add func(list []sigma.Output)
	add = func(list []sigma.Output) {
		for i := range list {
			o := &list[i]
			t := outputTexts{sentence: newTemplate(o.Sentence), advice: newTemplate(o.Advice)}
			for _, f := range o.Fields {
				t.fields = append(t.fields, newTemplate(detections.Text{ZH: f.Value}))
			}
			out.texts[o] = t
			add(o.Then)
		}
	}
	add(list)
	return out
}

// apply gives an occurrence what the outputs that count for it say.
func (s *outputs) apply(o *detections.Occurrence, count float64) {
	o.Rule.Output = s.set.Choose(o, func(out *sigma.Output) {
		t := s.texts[out]
		if out.Level != "" {
			o.Rule.Level = out.Level
		}
		if out.Title != (detections.Text{}) {
			o.Rule.Title = bothTexts(out.Title)
			if out.Sentence == (detections.Text{}) {
				o.Rule.Sentence = o.Rule.Title // the rule's own sentence tells of the other case
			}
		}
		if out.Sentence != (detections.Text{}) {
			o.Rule.Sentence = t.sentence.fill(o, count)
		}
		if out.Advice != (detections.Text{}) {
			o.Rule.Advice = t.advice.fill(o, count)
		}
		if out.Knowledge != "" {
			o.Rule.Knowledge = out.Knowledge
		}
		if len(out.Tags) > 0 {
			tags := slices.Clone(o.Rule.Tags) // the rule's own are shared
			for _, tag := range out.Tags {
				if !slices.Contains(tags, tag) {
					tags = append(tags, tag)
				}
			}
			o.Rule.Tags = tags
		}
		for i, f := range out.Fields {
			if o.Fields == nil {
				o.Fields = map[string]string{}
			}
			o.Fields[output.FieldPrefix+f.Name] = bounded(fill(t.fields[i].zh, o, count, ""))
		}
	})
}

func bothTexts(t detections.Text) detections.Text {
	if t.ZH == "" {
		t.ZH = t.EN
	}
	if t.EN == "" {
		t.EN = t.ZH
	}
	return t
}
