package recorder

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"strings"
	"testing"
	"time"
)

const testApplication = "2c4f0e1a-6d9e-4a5b-9f0e-9b8a1c2d3e4f"

func testKey(t *testing.T, bits int) (*rsa.PrivateKey, []byte) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// A token has the claims that the Vonage SDKs send, and a signature that the public key verifies.
func TestTokenIsSignedAndHasTheClaims(t *testing.T) {
	key, text := testKey(t, 2048)
	token, err := ApplicationToken(strings.ToUpper(testApplication), text, TokenOptions{TTL: time.Minute, Now: time.Unix(1_700_000_000, 0)})
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(token, ".")
	var claims tokenClaims
	if err := decodeSegment(parts[1], &claims); err != nil {
		t.Fatal(err)
	}
	if claims.ApplicationID != testApplication || claims.IssuedAt != 1_700_000_000 || claims.ExpiresAt != 1_700_000_060 || !isUUID(claims.ID) {
		t.Errorf("%+v", claims)
	}
	signature, _ := base64.RawURLEncoding.DecodeString(parts[2])
	hash := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err := rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, hash[:], signature); err != nil {
		t.Error(err)
	}
}

// Both ways of writing an RSA key are read; one that is short, or none, is refused without being shown.
func TestTokenKeyIsChecked(t *testing.T) {
	key, text := testKey(t, 2048)
	older := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	if _, err := ApplicationTokens(testApplication, older); err != nil {
		t.Error(err)
	}
	_, short := testKey(t, 1024)
	for _, wrong := range [][]byte{nil, []byte("secret"), short} {
		if _, err := ApplicationTokens(testApplication, wrong); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v", err)
		}
	}
	if _, err := ApplicationTokens("me", text); err == nil {
		t.Error("an application id that is no UUID was accepted")
	}
	if _, err := ApplicationToken(testApplication, text, TokenOptions{TTL: time.Second}); err == nil {
		t.Error("a second's life was accepted")
	}
}

// A source makes a token once, and hands it out for the first half of its life.
func TestTokenSourceReusesTokens(t *testing.T) {
	_, text := testKey(t, 2048)
	source, err := ApplicationTokens(testApplication, text)
	if err != nil {
		t.Fatal(err)
	}
	first, _ := source(t.Context())
	if second, err := source(t.Context()); err != nil || second != first || first == "" {
		t.Errorf("%q, %v", second, err)
	}
}
