package rules

import "embed"

// AlertSources holds the templates of alert sources at alertsources/ID.yml: how
// the messages of other systems are read as alerts.
//
//go:embed alertsources/*.yml
var AlertSources embed.FS
