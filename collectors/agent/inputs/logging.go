package inputs

import (
	"bytes"
	"log/slog"
	"strings"

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

// lines turns telegraf's lines into records.
type lines struct{ log *slog.Logger }

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	text := scrub(string(bytes.TrimSpace(p)))
	if len(text) > 2000 {
		text = text[:2000]
	}
	switch {
	case strings.Contains(text, " E! ") || strings.HasPrefix(text, "E! "):
		l.log.Warn(text, "from", "plug-in")
	case strings.Contains(text, " W! ") || strings.HasPrefix(text, "W! "):
		l.log.Info(text, "from", "plug-in")
	default:
		l.log.Debug(text, "from", "plug-in")
	}
	return len(p), nil
}
