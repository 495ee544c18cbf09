package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// Token is what an enrolment token says. It is shown once.
type Token struct {
	URLs   []string `json:"u"` // of the agents' listener, https://host:port, tried in order
	CA     string   `json:"c"` // hex SHA-256 of the CA's certificate in DER: the server's chain must hold it
	Secret string   `json:"s"`
}

// TokenPrefix begins the text of a token, so that it is known for what it is
// where it leaks.
const TokenPrefix = "iwe_"

// maxToken bounds the text of a token.
const maxToken = 4096

// String writes the token as text.
func (t Token) String() string {
	return TokenPrefix + base64.RawURLEncoding.EncodeToString(Encode(t))
}

// ParseToken reads the text of a token. Its errors hold no part of the secret.
func ParseToken(text string) (Token, error) {
	var t Token
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), TokenPrefix)
	if !ok || len(text) > maxToken {
		return t, fmt.Errorf("this is no enrolment token: it begins with %s; copy the whole of it from the console", TokenPrefix)
	}
	data, err := base64.RawURLEncoding.DecodeString(rest)
	if err != nil {
		return t, fmt.Errorf("the enrolment token is damaged: copy the whole of it from the console")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&t); err != nil {
		return Token{}, fmt.Errorf("the enrolment token is damaged: copy the whole of it from the console")
	}
	if sum, err := hex.DecodeString(t.CA); err != nil || len(sum) != 32 || t.Secret == "" || len(t.URLs) == 0 {
		return Token{}, fmt.Errorf("the enrolment token is incomplete: copy the whole of it from the console")
	}
	for _, u := range t.URLs {
		if p, err := url.Parse(u); err != nil || p.Scheme != "https" || p.Host == "" {
			return Token{}, fmt.Errorf("the enrolment token names the server %q: want https://host:port", u)
		}
	}
	return t, nil
}

// Batch numbers what an agent sends, for each of logs, metrics and inventory by
// itself. Epoch is made at each start of the agent (ULID); Seq begins with 1 and
// grows by one, numbers may be left out. The server remembers how far each of the last
// epochs came: a batch that is not beyond is answered 200 and not stored again. A
// batch is sent again with the same bytes under the same number.
type Batch struct {
	Epoch string
	Seq   uint64
}

// String writes it as the header has it.
func (b Batch) String() string { return b.Epoch + "-" + strconv.FormatUint(b.Seq, 10) }

// ParseBatch reads the header.
func ParseBatch(text string) (Batch, error) {
	epoch, seq, ok := strings.Cut(text, "-")
	n, err := strconv.ParseUint(seq, 10, 63)
	if !ok || err != nil || n == 0 || len(epoch) < 8 || len(epoch) > 64 || strings.Trim(epoch, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") != "" {
		return Batch{}, fmt.Errorf("the header %s is %.80q: want EPOCH-NUMBER, letters and digits, and a number from 1", HeaderBatch, text)
	}
	return Batch{epoch, n}, nil
}
