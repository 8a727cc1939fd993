package recorder

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const testSecret = "a signature secret of at least 32 bytes"

func signedHeader(t *testing.T, body, header string, change func(claims map[string]any)) string {
	t.Helper()
	hash := sha256.Sum256([]byte(body))
	claims := map[string]any{
		"iat": 1_700_000_000, "jti": "bbbbbbbb-0000-4000-8000-000000000002", "iss": "Vonage",
		"payload_hash": hex.EncodeToString(hash[:]), "api_key": "12ab34cd", "application_id": "app",
	}
	if change != nil {
		change(claims)
	}
	text, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed := encodeSegment([]byte(header)) + "." + encodeSegment(text)
	mac := hmac.New(sha256.New, []byte(testSecret))
	mac.Write([]byte(signed))
	return "Bearer " + signed + "." + encodeSegment(mac.Sum(nil))
}

const hs256 = `{"alg":"HS256","typ":"JWT"}`

func testVerifier() WebhookVerifier {
	return WebhookVerifier{Secret: testSecret, Now: func() time.Time { return time.Unix(1_700_000_010, 0) }}
}

// A webhook that was signed with the secret, for this body, is trusted; its body can be read again.
func TestWebhookWithAGoodSignatureIsTrusted(t *testing.T) {
	body := `{"size":162558}`
	request := httptest.NewRequest(http.MethodPost, "/events", strings.NewReader(body))
	request.Header.Set("Authorization", signedHeader(t, body, hs256, nil))
	webhook, err := testVerifier().VerifyRequest(request)
	if err != nil || webhook.DeliveryID != "bbbbbbbb-0000-4000-8000-000000000002" || webhook.APIKey != "12ab34cd" {
		t.Fatalf("%+v, %v", webhook, err)
	}
	again := make([]byte, len(body))
	if _, err := request.Body.Read(again); err != nil || string(again) != body || string(webhook.Body) != body {
		t.Errorf("%s, %v", again, err)
	}
}

// Of a GET, the parameters are signed as one JSON object in their order, with no more escapes than JSON demands.
func TestWebhookOfAGetIsSignedAsJSON(t *testing.T) {
	signed := `{"b":"\"x\"\n<é\u0001` + "\u2028" + `>","a":"","c":"1 2"}`
	request := httptest.NewRequest(http.MethodGet, "/e?b=%22x%22%0A%3C%C3%A9%01%E2%80%A8%3E&a=&c=1+2", nil)
	request.Header.Set("Authorization", signedHeader(t, signed, hs256, nil))
	if _, err := testVerifier().VerifyRequest(request); err != nil {
		t.Error(err)
	}
}

// Everything that could be forged, changed or repeated is rejected with its reason.
func TestWebhookThatIsNotToBeTrustedIsRejected(t *testing.T) {
	body := "{}"
	set := func(name string, value any) func(map[string]any) {
		return func(claims map[string]any) { claims[name] = value }
	}
	other := testVerifier()
	other.Secret = "another"
	keyed := testVerifier()
	keyed.APIKey = "ffffffff"
	for name, check := range map[string]struct {
		reason, authorization, body string
		verifier                    WebhookVerifier
	}{
		"no header":       {"missing", "", body, testVerifier()},
		"no token":        {"malformed", "Bearer x", body, testVerifier()},
		"no algorithm":    {"malformed", signedHeader(t, body, `{"alg":"none"}`, nil), body, testVerifier()},
		"other algorithm": {"malformed", signedHeader(t, body, `{"alg":"HS512"}`, nil), body, testVerifier()},
		"other secret":    {"signature", signedHeader(t, body, hs256, nil), body, other},
		"other body":      {"payload", signedHeader(t, body, hs256, nil), "{ }", testVerifier()},
		"no hash":         {"payload", signedHeader(t, body, hs256, set("payload_hash", "")), body, testVerifier()},
		"old":             {"age", signedHeader(t, body, hs256, set("iat", 1_600_000_000)), body, testVerifier()},
		"from the future": {"age", signedHeader(t, body, hs256, set("iat", 1_700_000_100)), body, testVerifier()},
		"no time":         {"malformed", signedHeader(t, body, hs256, set("iat", nil)), body, testVerifier()},
		"no id":           {"malformed", signedHeader(t, body, hs256, set("jti", "")), body, testVerifier()},
		"other key":       {"api_key", signedHeader(t, body, hs256, nil), body, keyed},
	} {
		var rejection *WebhookRejected
		if _, err := check.verifier.VerifyBody(check.authorization, []byte(check.body)); !errors.As(err, &rejection) || rejection.Reason != check.reason {
			t.Errorf("%s: %v, not %s", name, err, check.reason)
		}
	}
	if _, err := (WebhookVerifier{}).VerifyBody("", nil); err == nil {
		t.Error("an empty secret was accepted")
	}
}
