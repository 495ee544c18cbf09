package remote

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/VictoriaMetrics/VictoriaMetrics/app/vlstorage/netselect"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/encoding/zstd"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logstorage"

	"icewatch/soc/lake"
	"icewatch/soc/node"
	"icewatch/soc/search"
)

var _ lake.Source = (*member)(nil)

// Bounds of what a node may answer, against one that is none.
const (
	maxBlock = 256 << 20 // bytes of one block of an answer
	maxNames = 64 << 20  // bytes of a list of names
)

// ask sends a query to a node. It goes as a form in the body, since the filter
// of a data scope is longer than a URL may be.
func (m *member) ask(ctx context.Context, call, version string, tenants []logstorage.TenantID, q *logstorage.Query) (*http.Response, error) {
	form := url.Values{
		"version":    {version},
		"tenant_ids": {string(logstorage.MarshalTenantIDs(nil, tenants))},
		"query":      {q.String()}, "timestamp": {strconv.FormatInt(q.GetTimestamp(), 10)},
		"disable_compression": {"false"},
	}
	resp, err := m.Do(ctx, http.MethodPost, "/internal/select/"+call, nil, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, m.failed(ctx, err)
	}
	return resp, nil
}

// failed says of an error of a node whether the query is at fault or the node.
func (m *member) failed(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	var answered *node.Error
	if errors.As(err, &answered) && answered.Status == http.StatusBadRequest {
		return errors.New(answered.Body)
	}
	return &search.UnavailableError{Reason: err.Error()}
}

// RunQuery implements lake.Source. An answer is blocks, each a length of eight
// bytes and as many bytes of zstd.
func (m *member) RunQuery(ctx context.Context, tenants []logstorage.TenantID, q *logstorage.Query, write logstorage.WriteDataBlockFunc) error {
	resp, err := m.ask(ctx, "query", netselect.QueryProtocolVersion, tenants, q)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	broke := func(err error) error {
		return m.failed(ctx, fmt.Errorf("the answer of the server %s broke off: %w", m.Name(), err))
	}
	var packed, plain []byte
	var values []string
	var db logstorage.DataBlock
	for {
		var size [8]byte
		if _, err := io.ReadFull(resp.Body, size[:]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return broke(err)
		}
		n := binary.BigEndian.Uint64(size[:])
		if n > maxBlock {
			return broke(fmt.Errorf("a block would have %d bytes", n))
		}
		if uint64(cap(packed)) < n {
			packed = make([]byte, n)
		}
		packed = packed[:n]
		if _, err := io.ReadFull(resp.Body, packed); err != nil {
			return broke(err)
		}
		if plain, err = zstd.Decompress(plain[:0], packed); err != nil {
			return broke(err)
		}
		for rest := plain; len(rest) > 0; {
			if rest, values, err = db.UnmarshalInplace(rest, values[:0]); err != nil {
				return broke(err)
			}
			write(0, &db)
			clear(values)
		}
	}
}

// GetFieldNames implements lake.Source.
func (m *member) GetFieldNames(ctx context.Context, tenants []logstorage.TenantID, q *logstorage.Query) ([]logstorage.ValueWithHits, error) {
	resp, err := m.ask(ctx, "field_names", netselect.FieldNamesProtocolVersion, tenants, q)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	packed, err := io.ReadAll(io.LimitReader(resp.Body, maxNames))
	if err != nil {
		return nil, m.failed(ctx, fmt.Errorf("the answer of the server %s broke off: %w", m.Name(), err))
	}
	rest, err := zstd.Decompress(nil, packed)
	if err != nil {
		return nil, m.failed(ctx, fmt.Errorf("the answer of the server %s broke off: %w", m.Name(), err))
	}
	var list []logstorage.ValueWithHits
	for len(rest) > 0 {
		var v logstorage.ValueWithHits
		if rest, err = v.UnmarshalInplace(rest); err != nil {
			return nil, m.failed(ctx, fmt.Errorf("the answer of the server %s is none: %w", m.Name(), err))
		}
		v.Value = strings.Clone(v.Value)
		list = append(list, v)
	}
	return list, nil
}
