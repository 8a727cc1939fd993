package recorder

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"sync"
	"time"
)

const (
	minTokenTTL     = 30 * time.Second
	maxTokenTTL     = 24 * time.Hour
	defaultTokenTTL = 15 * time.Minute
	minKeyBits      = 2048
)

// TokenSource gives the token of the next request. It is asked before every request, from several goroutines.
type TokenSource func(ctx context.Context) (string, error)

// StaticToken is a source of one token that does not change: the admin's, say.
func StaticToken(token string) TokenSource {
	return func(context.Context) (string, error) { return token, nil }
}

// TokenOptions say what a token is good for.
type TokenOptions struct {
	// TTL is how long the token holds, 30 s to 24 h; 0 means 15 min.
	TTL time.Duration
	// ACL limits the token to some paths: {"paths": {"/*/files/**": {"methods": ["GET"]}}}, where `methods` may be left
	// out. `*` stands for one segment, `**` for the rest. nil means no limit.
	ACL map[string]any
	// Now is the time the token is made; zero means the clock's.
	Now time.Time
}

// ApplicationTokens is a source of an application's tokens: each is used for the first half of its life.
//
// privateKeyPEM is the application's private key, RSA of at least 2048 bits, as it was shown when the key was made.
func ApplicationTokens(applicationID string, privateKeyPEM []byte) (TokenSource, error) {
	signer, err := newTokenSigner(applicationID, privateKeyPEM)
	if err != nil {
		return nil, err
	}
	var (
		mu    sync.Mutex
		token string
		until time.Time
	)
	return func(context.Context) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		now := time.Now()
		if now.Before(until) {
			return token, nil
		}
		fresh, err := signer.sign(TokenOptions{Now: now})
		if err != nil {
			return "", err
		}
		token, until = fresh, now.Add(defaultTokenTTL/2)
		return token, nil
	}, nil
}

// ApplicationToken makes one token for an application, with the claims that the Vonage SDKs put into theirs.
//
// It is sent as `authorization: Bearer TOKEN`, with RPCs and with downloads. Make a new one well before it ends: it
// cannot be renewed. Whoever holds it has the application's rights until then.
func ApplicationToken(applicationID string, privateKeyPEM []byte, options TokenOptions) (string, error) {
	signer, err := newTokenSigner(applicationID, privateKeyPEM)
	if err != nil {
		return "", err
	}
	return signer.sign(options)
}

type tokenSigner struct {
	applicationID string
	key           *rsa.PrivateKey
}

type tokenClaims struct {
	ApplicationID string         `json:"application_id"`
	IssuedAt      int64          `json:"iat"`
	ID            string         `json:"jti"`
	ExpiresAt     int64          `json:"exp"`
	ACL           map[string]any `json:"acl,omitempty"`
}

func newTokenSigner(applicationID string, privateKeyPEM []byte) (*tokenSigner, error) {
	id := strings.ToLower(applicationID)
	if !isUUID(id) {
		return nil, fmt.Errorf("application id is %q but must be a UUID", applicationID)
	}
	key, err := privateKey(privateKeyPEM)
	if err != nil {
		return nil, err
	}
	return &tokenSigner{id, key}, nil
}

// sign makes a token. Source: RFC 7519; RFC 7515 section 3.1; RS256 of RFC 7518 section 3.3.
func (s *tokenSigner) sign(options TokenOptions) (string, error) {
	ttl := or(options.TTL, defaultTokenTTL)
	if ttl < minTokenTTL || ttl > maxTokenTTL {
		return "", fmt.Errorf("TTL is %s but must be %s to %s", ttl, minTokenTTL, maxTokenTTL)
	}
	issued := options.Now
	if issued.IsZero() {
		issued = time.Now()
	}
	claims, err := json.Marshal(tokenClaims{
		ApplicationID: s.applicationID,
		IssuedAt:      issued.Unix(),
		ID:            newUUID(),
		ExpiresAt:     issued.Add(ttl).Unix(),
		ACL:           options.ACL,
	})
	if err != nil {
		return "", fmt.Errorf("ACL cannot be written as JSON: %w", err)
	}
	signed := encodeSegment([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + encodeSegment(claims)
	hash := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, s.key, crypto.SHA256, hash[:])
	if err != nil {
		return "", fmt.Errorf("cannot sign the token: %w", err)
	}
	return signed + "." + encodeSegment(signature), nil
}

// privateKey reads PKCS #8 or PKCS #1. Source: RFC 5208; RFC 8017 appendix A.1.2.
func privateKey(text []byte) (*rsa.PrivateKey, error) {
	if block, _ := pem.Decode(text); block != nil {
		if parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
			if key, isRSA := parsed.(*rsa.PrivateKey); isRSA && key.N.BitLen() >= minKeyBits {
				return key, nil
			}
		}
		if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil && key.N.BitLen() >= minKeyBits {
			return key, nil
		}
	}
	return nil, fmt.Errorf("private key is not the PEM of an RSA private key without a passphrase, of at least %d bits", minKeyBits)
}

func encodeSegment(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

func isUUID(text string) bool {
	if len(text) != 36 {
		return false
	}
	for at, char := range []byte(text) {
		hyphen := at == 8 || at == 13 || at == 18 || at == 23
		if hyphen != (char == '-') || !hyphen && !strings.ContainsRune("0123456789abcdef", rune(char)) {
			return false
		}
	}
	return true
}

// newUUID makes a random UUID. Source: RFC 9562 section 5.4.
func newUUID() string {
	var id [16]byte
	// It never fails: the program ends where the system has no randomness.
	_, _ = rand.Read(id[:])
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
