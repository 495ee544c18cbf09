package suppressing

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"icewatch/detections/suppression"
)

// FromFolder is who changes suppressions that a folder holds.
const FromFolder = "folder"

// maxFolderFiles bounds what is read of folders.
const maxFolderFiles = 5000

// ReadFolders reads the files of suppressions (.yml, .yaml) in folders and below
// them. found tells whether one of the folders is there: where none is, nothing is
// known about what they would hold. Of two with one id the later folder's counts.
func ReadFolders(dirs []string) (list []suppression.Suppression, faults []suppression.Fault, found bool, err error) {
	at, files := map[string]int{}, 0
	for _, dir := range dirs {
		if st, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) || err == nil && !st.IsDir() {
			continue
		}
		found = true
		here := map[string]string{} // ids of this folder, by their file
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			switch ext := strings.ToLower(filepath.Ext(path)); {
			case err != nil:
				return err
			case strings.HasPrefix(d.Name(), ".") && path != dir:
				if d.IsDir() {
					return fs.SkipDir
				}
				return nil
			case d.IsDir() || ext != ".yml" && ext != ".yaml":
				return nil
			}
			if files++; files > maxFolderFiles {
				return fmt.Errorf("more than %d files", maxFolderFiles)
			}
			if st, err := d.Info(); err != nil || st.Size() > suppression.MaxFile {
				faults = append(faults, suppression.Fault{Path: path, Reason: fmt.Sprintf("the file cannot be read or is larger than %d MiB", suppression.MaxFile>>20)})
				return nil
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			more, wrong := suppression.Parse(path, data)
			faults = append(faults, wrong...)
			for _, one := range more {
				if other, twice := here[one.ID]; twice {
					faults = append(faults, suppression.Fault{Path: path, ID: one.ID, Reason: "the id is that of a suppression of " + other})
					continue
				}
				here[one.ID] = path
				if n, there := at[one.ID]; there {
					list[n] = one
					continue
				}
				at[one.ID] = len(list)
				list = append(list, one)
			}
			return nil
		})
		if err != nil {
			return nil, faults, found, fmt.Errorf("suppressing: read folder %s: %w", dir, err)
		}
	}
	return list, faults, found, nil
}

// Differing tells what has to change for the suppressions that a folder made, or
// changed last, to be those that it holds now. What people made or changed since is
// left alone unless the folder holds it.
func Differing(kept []Kept, held []suppression.Suppression) (put []suppression.Suppression, gone []string) {
	known := map[string]*Kept{}
	for i := range kept {
		known[kept[i].ID] = &kept[i]
	}
	for _, one := range held {
		if k := known[one.ID]; k == nil || !same(k.Suppression, one) {
			put = append(put, one)
		}
	}
	for i := range kept {
		if k := &kept[i]; k.UpdatedBy == FromFolder && !slices.ContainsFunc(held, func(h suppression.Suppression) bool { return h.ID == k.ID }) {
			gone = append(gone, k.ID)
		}
	}
	return put, gone
}

// same tells whether two say the same, however they were written.
func same(a, b suppression.Suppression) bool {
	x, err := suppression.Format([]suppression.Suppression{a})
	y, again := suppression.Format([]suppression.Suppression{b})
	return err == nil && again == nil && reflect.DeepEqual(x, y)
}
