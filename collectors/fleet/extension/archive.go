package extension

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"icewatch/collectors/fleet/release"
)

// Bounds of an archive.
const (
	MaxSize     = 64 << 20  // bytes as it is uploaded
	MaxUnpacked = 256 << 20 // bytes of all files
	MaxFiles    = 1000
	maxPath     = 200
	headSize    = 4096
)

// Contents are what an archive has.
type Contents struct {
	Manifest *PluginManifest
	Files    int
	Bytes    int64 // of all files
}

// Walk reads an archive to its end and gives each file to visit, in the order of the archive. What an
// archive may not have (links, devices, paths that lead out, too much of anything) is an
// error; visit has seen what came before it then. The manifest and the programs that
// it names are checked at the end.
func Walk(r io.Reader, visit func(name string, size int64, body io.Reader) error) (*Contents, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("it is no gzip: want a tar archive that is packed with gzip (.tar.gz): %w", err)
	}
	// Headers count, too: a bomb can be made of them alone.
	limit := &bounded{r: z, left: MaxUnpacked + MaxFiles*4096}
	t := tar.NewReader(limit)
	c := &Contents{}
	var manifest []byte
	heads := map[string][]byte{}
	seen := map[string]bool{}
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("the tar archive cannot be read: %w", err)
		}
		switch h.Typeflag {
		case tar.TypeDir:
			if strings.Trim(h.Name, "./") != "" {
				if _, err := cleanPath(strings.TrimSuffix(h.Name, "/")); err != nil {
					return nil, err
				}
			}
			if c.Files++; c.Files > 2*MaxFiles {
				return nil, fmt.Errorf("more than %d files and folders", 2*MaxFiles)
			}
			continue
		case tar.TypeReg:
		case tar.TypeSymlink, tar.TypeLink:
			return nil, fmt.Errorf("%.100q is a link: files and folders alone are taken", h.Name)
		default:
			return nil, fmt.Errorf("%.100q is neither a file nor a folder", h.Name)
		}
		name, err := cleanPath(h.Name)
		if err != nil {
			return nil, err
		}
		key := strings.ToLower(name) // as Windows sees it
		if seen[key] {
			return nil, fmt.Errorf("%q stands twice", name)
		}
		seen[key] = true
		if c.Files = c.Files + 1; len(seen) > MaxFiles {
			return nil, fmt.Errorf("more than %d files", MaxFiles)
		}
		if c.Bytes += h.Size; h.Size < 0 || c.Bytes > MaxUnpacked {
			return nil, fmt.Errorf("the files have more than %d MiB together", MaxUnpacked>>20)
		}
		body := io.Reader(t)
		if name == ManifestName {
			if h.Size > maxManifest {
				return nil, fmt.Errorf("%s has %d bytes; at most %d are taken", ManifestName, h.Size, maxManifest)
			}
			if manifest, err = io.ReadAll(t); err != nil {
				return nil, fmt.Errorf("the tar archive cannot be read: %s: %w", ManifestName, err)
			}
			body = bytes.NewReader(manifest)
		} else {
			head := make([]byte, min(h.Size, headSize))
			if _, err := io.ReadFull(t, head); err != nil {
				return nil, fmt.Errorf("the tar archive cannot be read: %s: %w", name, err)
			}
			heads[name] = head
			body = io.MultiReader(bytes.NewReader(head), t)
		}
		if visit != nil {
			if err := visit(name, h.Size, body); err != nil {
				return nil, err
			}
		}
	}
	// What stands behind the end of the tar archive is read, too: it is part of what is signed.
	if _, err := io.Copy(io.Discard, limit); err != nil {
		return nil, fmt.Errorf("the archive cannot be read to its end: %w", err)
	}
	if manifest == nil {
		return nil, fmt.Errorf("the archive has no %s at its top", ManifestName)
	}
	if c.Manifest, err = ParseManifest(manifest); err != nil {
		return nil, err
	}
	c.Files = len(seen)
	for platform, file := range c.Manifest.Programs {
		head, ok := heads[file]
		if !ok {
			return nil, fmt.Errorf("%s: programs: %s: there is no file %s in the archive", ManifestName, platform, file)
		}
		if err := runs(head, platform); err != nil {
			return nil, fmt.Errorf("%s: programs: %s: %s: %w", ManifestName, platform, file, err)
		}
	}
	return c, nil
}

// runs tells whether a file that begins so can be a program of a platform.
func runs(head []byte, platform string) error {
	system, arch, _ := strings.Cut(platform, "/")
	if bytes.HasPrefix(head, []byte("#!")) {
		if system == "windows" {
			return errors.New("a script does not run on Windows without a shell: want an executable")
		}
		if first, _, _ := bytes.Cut(head[2:], []byte("\n")); !bytes.HasPrefix(bytes.TrimSpace(first), []byte("/")) {
			return errors.New("its first line names no program by its whole path, such as #!/bin/sh")
		}
		return nil
	}
	foundOS, foundArch, err := release.Platform(head)
	if err != nil {
		return errors.New("it is neither an executable (ELF, PE) nor a script that begins with #!")
	}
	if foundOS != system || arch != "" && foundArch != arch {
		return fmt.Errorf("it is an executable of %s/%s", foundOS, foundArch)
	}
	if arch == "" {
		return fmt.Errorf("it is an executable of %s/%s: name that platform", foundOS, foundArch)
	}
	return nil
}

// cleanPath checks a path in an archive; what it returns has '/' between its parts, none of them "..".
func cleanPath(p string) (string, error) {
	p = strings.TrimPrefix(p, "./")
	switch {
	case p == "" || len(p) > maxPath:
		return "", fmt.Errorf("the path %.100q: want 1 to %d bytes", p, maxPath)
	case strings.HasPrefix(p, "/") || path.Clean(p) != p || p == ".." || strings.HasPrefix(p, "../"):
		return "", fmt.Errorf("the path %.100q leads out of the package or is not plain", p)
	}
	for _, r := range p {
		if r < ' ' || r == 0x7f || strings.ContainsRune(`\:*?"<>|`, r) || r == '\uFFFD' {
			return "", fmt.Errorf("the path %.100q has a character that is not taken", p)
		}
	}
	for _, part := range strings.Split(p, "/") {
		if strings.HasSuffix(part, ".") || strings.HasSuffix(part, " ") {
			return "", fmt.Errorf("the path %.100q has a part that ends in a dot or a space", p)
		}
	}
	return p, nil
}

// bounded fails where more is read than there may be; io.LimitReader would end quietly.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("it unpacks to more than %d MiB", MaxUnpacked>>20)
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}
