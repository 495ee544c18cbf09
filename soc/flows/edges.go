package flows

import (
	"context"
	"fmt"

	"icewatch/soc/flows/ledger"
	"icewatch/soc/reach"
)

// Edges are the services between the places and whoever they met, the largest
// first. They come from the ledger, which knows first and last seen of all time
// and edges last seen since the beginning of the range, whatever its end; or
// from the flows themselves, where exact asks for what lies in the range and no
// more, and where the range has a filter. ofRows tells which. more is true
// where there are others.
func (s *Service) Edges(ctx context.Context, r Range, places []ledger.Place, exact bool, limit int) (edges []ledger.Edge, ofRows, more bool, err error) {
	if len(places) > maxPlaces {
		return nil, false, false, fmt.Errorf("%w: %d places: want at most %d", ErrInvalid, len(places), maxPlaces)
	}
	ofRows = exact || needsRows(r)
	if ofRows {
		edges, more, err = s.edgesOfRows(ctx, r, places, limit)
	} else {
		edges, more, err = s.edges(ctx, r, places, limit)
	}
	return edges, ofRows, more, err
}

// Names looks up what peers are: whether their addresses are the city's, and
// their configuration items where these are within reach.
func (s *Service) Names(ctx context.Context, r reach.Reach, peers []*Peer) error {
	return s.names(ctx, r, peers)
}

// TransportOf names a protocol by its number, as rows of the lake do; it is
// empty where the number is negative.
func TransportOf(protocol int) string { return transportOf(protocol) }

// ServiceOf names the service of a port, "" where it has none.
func ServiceOf(port int, transport string) string { return portOf(port, transport).Name }
