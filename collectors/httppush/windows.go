package httppush

import (
	"errors"

	"icewatch/collectors/wef"
	"icewatch/soc/intake"
)

// windowsEvents reads a document of Windows events, UTF-8 or UTF-16.
func windowsEvents(w *work, body []byte) error {
	var syntax *wef.SyntaxError
	doc, err := wef.UTF8(body)
	if errors.As(err, &syntax) {
		return &placed{int64(syntax.Offset), syntax.Reason}
	}
	err = wef.Split(doc, func(event []byte, _ int) error { return w.add(intake.Line, event, "", 0, nil) })
	if !errors.As(err, &syntax) {
		return err
	}
	at := int64(syntax.Offset)
	if w.events == 0 {
		return &placed{at, syntax.Reason}
	}
	return w.refuse(Fault{Offset: &at, Reason: syntax.Reason + "; what follows is not read"})
}
