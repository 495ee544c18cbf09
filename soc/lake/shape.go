package lake

import (
	"errors"
	"fmt"
	"slices"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logstorage"
)

// Shape is what a query is made of, for whoever wants to run it in pieces.
type Shape struct {
	Pipes  bool // it does something to the rows that its filter finds
	Slices bool // over two stretches of time it answers what it answers over each
}

// ShapeOf reads a query. A wrong one comes back as *search.QueryError.
func ShapeOf(query string) (Shape, error) {
	if query == "" {
		query = "*"
	}
	p, err := logstorage.ParseQuery(query)
	if err != nil {
		return Shape{}, queryError(query, "it is not valid LogsQL: %s", err)
	}
	list := pipes(p.String())
	inner := slices.ContainsFunc(list, func(x pipe) bool { return x.inner })
	return Shape{Pipes: len(list) > 0, Slices: p.CanReturnLastNResults() && !inner}, nil
}

// CheckFilter reads a filter that is to stand inside of every query of
// somebody, and returns it as it must be written there. Queries inside of it
// are refused: they would run over rows that nobody looked at.
func CheckFilter(filter string) (canonical string, err error) {
	p, err := logstorage.ParseQuery(filter)
	if err != nil {
		return "", fmt.Errorf("it is not valid LogsQL: %w", err)
	}
	if len(pipes(p.String())) > 0 {
		return "", errors.New("it holds a pipe or a query inside of it: a filter alone is right")
	}
	f, err := logstorage.ParseFilter(filter)
	if err != nil {
		return "", fmt.Errorf("it is no LogsQL filter: %w", err)
	}
	return f.String(), nil
}
