package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cespare/xxhash/v2"

	"icewatch/soc/pipeline/pack"
	"icewatch/soc/pipeline/parse"
)

// A small state is one JSON value and, in a line of its own, the checksum of
// what stands before it: a flipped bit in a number is still JSON.
const sumMark = "\n#xxh64 "

// writeJSON replaces a file so that a crash leaves the old or the new one.
func writeJSON(path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("engine: %s: %w", path, err)
	}
	b = fmt.Appendf(b, "%s%016x\n", sumMark, xxhash.Sum64(b))
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return fmt.Errorf("engine: write %s: %w", path, err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// readJSON reads a file into v. A file that is not there leaves v as it is; an
// error of another kind says that the file cannot be trusted. A file without a
// checksum was written by an earlier version.
func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	if body, sum, ok := bytes.Cut(b, []byte(sumMark)); ok {
		if want := fmt.Sprintf("%016x\n", xxhash.Sum64(body)); string(sum) != want {
			return fmt.Errorf("engine: %s: the content does not agree with its checksum", path)
		}
		b = body
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("engine: %s: %w", path, err)
	}
	return nil
}

func clone(s string) string { return strings.Clone(s) }

func parseOptions(opts Options, packs *pack.Live) parse.Options {
	return parse.Options{MaxFields: opts.FieldsMax, Packs: packs}
}
