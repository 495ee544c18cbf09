package simulate

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"icewatch/soc/intake"
)

// TestMixIsOfAllKinds: the same seed gives the same messages, of each way in.
func TestMixIsOfAllKinds(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC)
	list, again := Mix(3, 2000, at), Mix(3, 2000, at)
	met := map[intake.Format]int{}
	for i := range list {
		met[list[i].Format]++
		if len(list[i].Data) == 0 || !bytes.Equal(list[i].Data, again[i].Data) {
			t.Fatalf("message %d is %q and then %q", i, list[i].Data, again[i].Data)
		}
	}
	for _, f := range []intake.Format{intake.Syslog, intake.JSON, intake.Line} {
		if met[f] < 100 {
			t.Errorf("%d messages of 2000 have format %d", met[f], f)
		}
	}
}

// TestNetFlowPackets: each packet has as many flows as asked for, and the first
// the template.
func TestNetFlowPackets(t *testing.T) {
	t.Parallel()
	for i, p := range NetFlow(3, 40, 24, time.Now()) {
		want := 24
		if i == 0 {
			want++
		}
		if got := int(binary.BigEndian.Uint16(p[2:])); binary.BigEndian.Uint16(p) != 9 || got != want {
			t.Fatalf("packet %d is of version %d with %d records, want %d of version 9", i, binary.BigEndian.Uint16(p), got, want)
		}
	}
}
