// Package grafana holds the dashboards that Grafana loads of the suite, in
// Chinese and English, and what provisions them with the suite's endpoints as
// data sources. They are made from dashboards/grafana/source by make dashboards;
// docs/grafana.md says how to load them.
package grafana

import (
	"archive/zip"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

//go:generate go run ./generate

//go:embed zh-CN/*.json en-US/*.json provisioning
var files embed.FS

// Files are the dashboards, in folders by language, and the folder provisioning.
func Files() fs.FS { return files }

// Export writes the files into a folder, which is made where it is not there,
// over those of earlier exports, and tells how many they are. Other files there
// are left alone.
func Export(dir string) (n int, err error) {
	err = fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(dir, filepath.FromSlash(name))
		if d.IsDir() {
			return os.MkdirAll(to, 0o755)
		}
		text, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		n++
		return os.WriteFile(to, text, 0o644)
	})
	if err != nil {
		return n, fmt.Errorf("write Grafana's dashboards into %s: %w", dir, err)
	}
	return n, nil
}

// Zip writes the files as an archive.
func Zip(w io.Writer) error {
	z := zip.NewWriter(w)
	if err := z.AddFS(files); err != nil {
		return fmt.Errorf("pack Grafana's dashboards: %w", err)
	}
	return z.Close()
}
