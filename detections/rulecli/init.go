package rulecli

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
)

//go:embed skeleton
var skeleton embed.FS

// Init lays out a repository of rules in a folder: an example of a rule with its
// tests, the manifest, a hook for git and files for CI. What is there already is
// left as it is and named.
func Init(w io.Writer, dir string) error {
	made, kept := 0, 0
	err := fs.WalkDir(skeleton, "skeleton", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := skeleton.ReadFile(name)
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(name, "skeleton/")
		// The go command embeds no name with a dot before it.
		rel = strings.ReplaceAll(rel, "dot-", ".")
		text := strings.ReplaceAll(string(data), "NEW-UUID", uuid.NewString())
		to := filepath.Join(dir, filepath.FromSlash(rel))
		if _, err := os.Lstat(to); err == nil {
			kept++
			fmt.Fprintf(w, "kept     %s\n", rel)
			return nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		if err := os.WriteFile(to, []byte(text), mode); err != nil {
			return err
		}
		made++
		fmt.Fprintf(w, "created  %s\n", rel)
		return nil
	})
	if err != nil {
		return fmt.Errorf("rules init: %w", err)
	}
	fmt.Fprintf(w, "%d created, %d kept\nnext: git init; git config core.hooksPath hooks; icectl rules test %s --near --mutate\n", made, kept, dir)
	return nil
}
