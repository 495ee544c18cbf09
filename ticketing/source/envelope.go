package source

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // version 1 of Amazon's signatures is made with it
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// envelope is how the clouds' message services wrap what they send over HTTP:
// signed, and first of all an invitation that has to be accepted by a request to
// a URL in it. Sources of the formats:
// https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html,
// https://support.huaweicloud.com/intl/en-us/usermanual-smn/smn_ug_a9002.html and smn_ug_a9003.html.
type envelope struct {
	names  [11]string       // of its members, in the order of the constants below
	hosts  *regexp.Regexp   // that certificates come from
	accept *regexp.Regexp   // that invitations lead to
	signed map[string][]int // members that are signed, by type
}

// The members of an envelope.
const (
	mType = iota
	mID
	mTopic
	mSubject
	mMessage
	mTime
	mVersion
	mSignature
	mCert
	mConfirm
	mToken
)

const (
	typeNotification = "Notification"
	typeInvitation   = "SubscriptionConfirmation"
	typeFarewell     = "UnsubscribeConfirmation"
)

var envelopes = map[string]envelope{
	EnvelopeSNS: {
		names:  [11]string{"Type", "MessageId", "TopicArn", "Subject", "Message", "Timestamp", "SignatureVersion", "Signature", "SigningCertURL", "SubscribeURL", "Token"},
		hosts:  regexp.MustCompile(`^sns\.[a-z0-9-]{3,}\.amazonaws\.com(\.cn)?$`),
		accept: regexp.MustCompile(`^sns\.[a-z0-9-]{3,}\.amazonaws\.com(\.cn)?$`),
		signed: map[string][]int{
			typeNotification: {mMessage, mID, mSubject, mTime, mTopic, mType},
			typeInvitation:   {mMessage, mID, mConfirm, mTime, mToken, mTopic, mType},
			typeFarewell:     {mMessage, mID, mConfirm, mTime, mToken, mTopic, mType},
		},
	},
	EnvelopeSMN: {
		names:  [11]string{"type", "message_id", "topic_urn", "subject", "message", "timestamp", "signature_version", "signature", "signing_cert_url", "subscribe_url", ""},
		hosts:  regexp.MustCompile(`^smn\.[a-z0-9-]{3,}\.myhuaweicloud\.com$`),
		accept: regexp.MustCompile(`^(smn\.[a-z0-9-]{3,}\.myhuaweicloud\.com|([a-z0-9-]{3,}-)?console(-intl)?\.huaweicloud\.com)$`),
		signed: map[string][]int{
			typeNotification: {mMessage, mID, mSubject, mTime, mTopic, mType},
			typeInvitation:   {mMessage, mID, mConfirm, mTime, mTopic, mType},
			typeFarewell:     {mMessage, mID, mConfirm, mTime, mTopic, mType},
		},
	},
}

// open checks the seal of an envelope and returns what is inside; invited is the
// URL by which an invitation is accepted. A message with neither is none of an
// alert. Errors are of ErrSeal.
func (s *Service) open(ctx context.Context, kind string, cloud CloudOptions, body []byte) (inside []byte, invited string, err error) {
	refuse := func(format string, args ...any) ([]byte, string, error) {
		return nil, "", fmt.Errorf("%w: %s", ErrSeal, fmt.Sprintf(format, args...))
	}
	e := envelopes[kind]
	var members map[string]any
	if err := json.Unmarshal(body, &members); err != nil {
		return refuse("it is no message of %s: %s", kind, err)
	}
	get := func(m int) string {
		v, _ := members[e.names[m]].(string)
		return v
	}
	if get(mTopic) != cloud.Topic {
		return refuse("it is of the topic %q, and the source takes those of %q", clip(get(mTopic), 200), cloud.Topic)
	}
	signed, ok := e.signed[get(mType)]
	if !ok {
		return refuse("its type is %q: want %s or %s", clip(get(mType), 64), typeNotification, typeInvitation)
	}
	var text strings.Builder
	for _, m := range signed {
		if _, there := members[e.names[m]]; m == mSubject && !there {
			continue
		}
		text.WriteString(e.names[m] + "\n" + get(m) + "\n")
	}
	signature, err := base64.StdEncoding.DecodeString(get(mSignature))
	if err != nil {
		return refuse("its signature is no base64")
	}
	address, err := trusted(get(mCert), e.hosts, cloud.Hosts)
	if err != nil {
		return refuse("%s: %s", e.names[mCert], err)
	}
	key, err := s.certs.key(ctx, s.deps.Client, address, s.now())
	if err != nil {
		return nil, "", fmt.Errorf("the certificate of the message cannot be read now: %w", err)
	}
	if err := verify(key, kind, get(mVersion), text.String(), signature); err != nil {
		return refuse("its signature is not right: %s", err)
	}
	switch get(mType) {
	case typeInvitation:
		invited, err = trusted(get(mConfirm), e.accept, cloud.Hosts)
		if err != nil {
			return refuse("%s: %s", e.names[mConfirm], err)
		}
		return nil, invited, nil
	case typeFarewell:
		return nil, "", nil
	}
	return []byte(get(mMessage)), "", nil
}

func verify(key *rsa.PublicKey, kind, version, text string, signature []byte) error {
	if kind == EnvelopeSNS && version == "1" {
		sum := sha1.Sum([]byte(text)) //nolint:gosec // as the sender made it
		return rsa.VerifyPKCS1v15(key, crypto.SHA1, sum[:], signature)
	}
	if version != "2" && !strings.EqualFold(version, "v1") {
		return fmt.Errorf("its version is %q", clip(version, 16))
	}
	sum := sha256.Sum256([]byte(text))
	return rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature)
}

// trusted reads a URL of https whose host may be believed.
func trusted(raw string, hosts *regexp.Regexp, more []string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" || u.User != nil {
		return "", fmt.Errorf("%q is no URL of https", clip(raw, 200))
	}
	host := strings.ToLower(u.Hostname())
	if (!hosts.MatchString(host) || u.Port() != "" && u.Port() != "443") && !slices.Contains(more, strings.ToLower(u.Host)) {
		return "", fmt.Errorf("the host %q is none of the cloud's: a private cloud's is named in cloud.hosts", clip(u.Host, 100))
	}
	return u.String(), nil
}

// certificates remembers those of message services.
type certificates struct {
	mu   sync.Mutex
	keys map[string]certificate
}

type certificate struct {
	key    *rsa.PublicKey
	until  time.Time
	before time.Time
}

// Limits of certificates.
const (
	maxCertificate = 64 << 10
	certificateFor = 24 * time.Hour // that one is believed without looking again
	maxCertsKept   = 100
)

func (c *certificates) key(ctx context.Context, client *http.Client, address string, now time.Time) (*rsa.PublicKey, error) {
	c.mu.Lock()
	k, ok := c.keys[address]
	c.mu.Unlock()
	if ok && now.Before(k.before) && now.Before(k.until) {
		return k.key, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, maxCertificate))
	if err != nil || res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s: %v", address, res.Status, err)
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s is no certificate in PEM", address)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", address, err)
	}
	key, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%s: the key is no RSA key", address)
	}
	if now.After(cert.NotAfter) || now.Before(cert.NotBefore) {
		return nil, fmt.Errorf("%s: the certificate holds from %s to %s", address, cert.NotBefore.Format(time.RFC3339), cert.NotAfter.Format(time.RFC3339))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keys == nil || len(c.keys) >= maxCertsKept {
		c.keys = map[string]certificate{}
	}
	c.keys[address] = certificate{key, cert.NotAfter, now.Add(certificateFor)}
	return key, nil
}

// confirm accepts an invitation.
func (s *Service) confirm(ctx context.Context, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return fmt.Errorf("accept the invitation: %w", err)
	}
	res, err := s.deps.Client.Do(req)
	if err != nil {
		return fmt.Errorf("accept the invitation: %w", err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxCertificate))
	if res.StatusCode >= 300 {
		return fmt.Errorf("accept the invitation: %s answers %s", clip(address, 100), res.Status)
	}
	return nil
}
