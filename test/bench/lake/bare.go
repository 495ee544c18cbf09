package main

import (
	"flag"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logstorage"
)

// bare puts the events' fields, without the raw text or an id, into the storage
// library in one loop: what the library alone can do.
func bare(c corpus, dir string, n uint64) error {
	if err := flag.CommandLine.Parse(nil); err != nil {
		return err
	}
	if err := flag.Set("loggerLevel", "ERROR"); err != nil {
		return err
	}
	store := logstorage.MustOpenStorage(filepath.Join(dir, "bare"), &logstorage.StorageConfig{Retention: 30 * 24 * time.Hour, FlushInterval: 5 * time.Second, FutureRetention: 48 * time.Hour})
	began := time.Now()
	rows := logstorage.GetLogRows(nil, nil, nil, nil, "")
	var e event
	fields := make([]logstorage.Field, fieldCount)
	for i := range n {
		c.event(i, &e)
		for k, v := range e.values {
			fields[k] = logstorage.Field{Name: fieldNames[k], Value: v}
		}
		stream := []logstorage.Field{fields[0], fields[4]}
		rows.MustAdd(logstorage.TenantID{AccountID: 1}, e.time, fields, stream)
		if rows.NeedFlush() {
			store.MustAddRows(rows)
			rows.ResetKeepSettings()
		}
	}
	store.MustAddRows(rows)
	took := time.Since(began)
	store.MustClose()
	fmt.Println(strconv.FormatFloat(took.Seconds(), 'f', 3, 64))
	return nil
}
