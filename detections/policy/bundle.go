package policy

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/keys"
)

// BundleSuffix ends the name of a file that is one of OPA's bundles.
const BundleSuffix = ".tar.gz"

// IsBundle tells whether a file of that path is a bundle.
func IsBundle(path string) bool { return strings.HasSuffix(path, BundleSuffix) }

// maxUnpacked bounds what a bundle unpacks to, in bytes.
const maxUnpacked = 64 << 20

// Key verifies the signatures of bundles.
type Key struct {
	PEM       string // a public key or a certificate
	Algorithm string // RS256, ES256, … as in JSON Web Signatures
}

// Keys says whose bundles are trusted. The zero Keys trust what is unsigned,
// and refuse what is signed, since nothing can be said of it.
type Keys struct {
	Keys map[string]Key // by name
	// Required refuses what is not signed: bundles without a signature, and
	// plain files of other sources than Trusted.
	Required bool
	Trusted  []string
	// Unverified takes bundles as they are. It is for trying policies out.
	Unverified bool
}

// algorithms are those of OPA's signatures that need no shared secret.
var algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"}

// Check says what is wrong with a key.
func (k Key) Check() error {
	if !slices.Contains(algorithms, k.Algorithm) {
		return fmt.Errorf("algorithm %q is none of %s", k.Algorithm, strings.Join(algorithms, ", "))
	}
	block, _ := pem.Decode([]byte(k.PEM))
	if block == nil {
		return errors.New("it is no PEM: a public key begins with -----BEGIN PUBLIC KEY-----")
	}
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		_, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		_, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		_, err = x509.ParseCertificate(block.Bytes)
	default:
		return fmt.Errorf("it is a %s: a PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE is needed, and no private key belongs here", block.Type)
	}
	if err != nil {
		return fmt.Errorf("the %s cannot be read: %w", strings.ToLower(block.Type), err)
	}
	return nil
}

var errUnsigned = errors.New("it is not signed, and rules.policy.require_signature demands a signature: build it by opa build --bundle --signing-key")

func (k *Keys) admitFile(f *File) error {
	if k.Required && !slices.Contains(k.Trusted, f.Source) {
		return errors.New("a plain file cannot be signed, and rules.policy.require_signature demands a signature: make a bundle by opa build --bundle --signing-key")
	}
	return nil
}

// opened is a bundle that was read and found good.
type opened struct {
	revision string
	signedBy string
	data     map[string]any
	modules  []module
}

// open reads a bundle and verifies its signature.
func open(f *File, k Keys) (*opened, error) {
	signed, err := hasSignature(f)
	switch {
	case err != nil:
		return nil, err
	case !signed && k.Required && !k.Unverified:
		return nil, errUnsigned
	case !signed || k.Unverified:
		b, err := readBundle(f, nil)
		if err != nil {
			return nil, err
		}
		return unpack(f, b, "")
	case len(k.Keys) == 0:
		return nil, errors.New("it is signed, but rules.policy.keys names no key to verify that with")
	}
	// OPA's tools put a key's id into a signature only where they are told to:
	// so each key is tried.
	var why error
	names := slices.Sorted(maps.Keys(k.Keys))
	for _, name := range names {
		key := k.Keys[name]
		conf := bundle.NewVerificationConfig(map[string]*keys.Config{name: {Key: key.PEM, Algorithm: key.Algorithm}}, name, "", nil)
		b, err := readBundle(f, conf)
		if err == nil {
			return unpack(f, b, name)
		}
		if !strings.Contains(err.Error(), "verify JWT signature") {
			return nil, err // the key is the right one, and the bundle is not what was signed
		}
		why = err
	}
	return nil, fmt.Errorf("no key of rules.policy.keys (%s) verifies its signature: %w", strings.Join(names, ", "), why)
}

// readBundle has OPA read a bundle, and verify it where conf is not nil.
func readBundle(f *File, conf *bundle.VerificationConfig) (bundle.Bundle, error) {
	return bundle.NewCustomReader(bundle.NewTarballLoader(bytes.NewReader(f.Data))).WithBundleName(f.Path).WithSizeLimitBytes(maxUnpacked).
		WithCapabilities(Capabilities()).WithSkipBundleVerification(conf == nil).WithBundleVerificationConfig(conf).Read()
}

// hasSignature tells whether there is a .signatures.json in a bundle. It reads
// the whole bundle and so finds one that would unfold without end before OPA
// reads it.
func hasSignature(f *File) (bool, error) {
	unzipped, err := gzip.NewReader(bytes.NewReader(f.Data))
	if err != nil {
		return false, fmt.Errorf("it is not a bundle, which is a tar archive packed by gzip: %w", err)
	}
	counted := &io.LimitedReader{R: unzipped, N: maxUnpacked + 1}
	list, signed := tar.NewReader(counted), false
	for {
		h, err := list.Next()
		if counted.N == 0 {
			return false, fmt.Errorf("it unpacks to more than %d MiB", maxUnpacked>>20)
		}
		if errors.Is(err, io.EOF) {
			return signed, nil
		}
		if err != nil {
			return false, fmt.Errorf("it is not a bundle, which is a tar archive packed by gzip: %w", err)
		}
		signed = signed || path.Base(h.Name) == "."+bundle.SignaturesFile
	}
}

func unpack(f *File, b bundle.Bundle, signedBy string) (*opened, error) {
	if b.Type() == bundle.DeltaBundleType {
		return nil, errors.New("it is a delta bundle: a whole one is needed")
	}
	if len(b.WasmModules) > 0 || len(b.PlanModules) > 0 {
		return nil, errors.New("it holds compiled policies (wasm or plan): Rego is needed, as opa build makes without --target")
	}
	o := &opened{revision: cmp.Or(b.Manifest.Revision, digest(f.Data)), signedBy: signedBy, data: b.Data}
	for _, m := range b.Modules {
		if strings.HasSuffix(m.Path, testSuffix) {
			continue
		}
		name := f.Path + "/" + strings.TrimPrefix(m.Path, "/")
		parsed, err := ast.ParseModuleWithOpts(name, string(m.Raw), ast.ParserOptions{Capabilities: Capabilities(), RegoVersion: m.Parsed.RegoVersion()})
		if err != nil {
			return nil, err
		}
		o.modules = append(o.modules, module{name: name, pkg: parsed.Package.Path.String(), ast: parsed})
	}
	if len(o.modules) == 0 {
		return nil, errors.New("there is no Rego in it")
	}
	return o, nil
}
