package rulecli

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestProgress(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if p := newProgress(&b, &input{}); p.w != nil {
		t.Error("a file is told how far a run is")
	}
	in := &input{size: 200}
	in.read.Store(50)
	p := &progress{w: &b, in: in, began: time.Now()}
	p.show(10, 1)
	if p.done(); b.Len() > 0 {
		t.Errorf("a short run says %q", b.String())
	}
	p.began = time.Now().Add(-10 * time.Second)
	p.show(1000, 7)
	p.show(1001, 7)
	p.done()
	got := b.String()
	if !strings.HasPrefix(got, "\r 25 %, 1000 events, 7 matches, ") || strings.Contains(got, "1001") || !strings.HasSuffix(got, "\r\x1b[K") {
		t.Errorf("%q", got)
	}
}
