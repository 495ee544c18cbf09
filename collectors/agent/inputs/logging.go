package inputs

import (
	"bytes"
	"context"
	"log/slog"
	"regexp"

	telegrafconfig "github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/logger"
)

// Setup sets what telegraf keeps for a whole process: where its plug-ins' own
// messages go, and how it holds secrets in memory. It is called once, before the
// first Build.
func Setup(log *slog.Logger) {
	// Locked memory is more than a service may take; who can read this process's
	// memory can read its files, too.
	telegrafconfig.DisableSecretProtection()
	logger.RedirectLogging(&lines{log})
}

// lineHead is what telegraf begins a line with: a time and a level.
var lineHead = regexp.MustCompile(`^(?:\S+ )?([DIWET])! `)

// lines turns telegraf's lines into records.
type lines struct{ log *slog.Logger }

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	text := scrub(string(bytes.TrimSpace(p)))
	level := "I"
	if m := lineHead.FindStringSubmatch(text); m != nil {
		level, text = m[1], text[len(m[0]):]
	}
	if len(text) > 2000 {
		text = text[:2000]
	}
	at := slog.LevelDebug
	switch level {
	case "E":
		at = slog.LevelWarn
	case "W":
		at = slog.LevelInfo
	}
	l.log.Log(context.Background(), at, text, "from", "plug-in")
	return len(p), nil
}
