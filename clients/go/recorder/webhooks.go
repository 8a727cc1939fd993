package recorder

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	defaultWebhookAge = 5 * time.Minute
	clockLeeway       = time.Minute
	maxWebhookBytes   = 1 << 20
)

// WebhookRejected says that a webhook is not to be trusted: answer 401 and do nothing else.
type WebhookRejected struct {
	// Reason is what is wrong, for programs: missing, malformed, signature, payload, age or api_key.
	Reason string
	// Message is the same for people.
	Message string
}

// Error gives the message.
func (r *WebhookRejected) Error() string { return r.Message }

// Webhook is what a good signature says.
type Webhook struct {
	// DeliveryID is the same on every try: remember it to recognise repeats.
	DeliveryID string
	// ApplicationID is the application it is about; empty where it names none.
	ApplicationID string
	// APIKey names the secret it was signed with.
	APIKey string
	// IssuedAt is when this try was signed.
	IssuedAt time.Time
	// Body is what was signed: that of a POST, or the JSON that stands for the query of a GET.
	Body []byte
}

// WebhookVerifier checks that webhooks come from Recorder, are whole, and fresh.
//
// A good signature alone proves nothing about the body: the hash in it does, and it is compared too.
type WebhookVerifier struct {
	// Secret is the application's signature secret.
	Secret string
	// MaxAge is that of the oldest signature that is accepted; 0 means 5 min. Each try is signed anew, so late retries
	// are fresh too.
	MaxAge time.Duration
	// APIKey is the key the webhook must name; empty means any.
	APIKey string
	// Now gives the time; nil means the clock.
	Now func() time.Time
}

// VerifyRequest checks a request, POST or GET. The request's body is read, and can be read again.
func (v WebhookVerifier) VerifyRequest(request *http.Request) (*Webhook, error) {
	authorization := request.Header.Get("Authorization")
	if request.Method == http.MethodGet {
		return v.VerifyQuery(authorization, request.URL.RawQuery)
	}
	body, err := io.ReadAll(io.LimitReader(request.Body, maxWebhookBytes+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read the webhook: %w", err)
	}
	if len(body) > maxWebhookBytes {
		return nil, rejected("payload", "the webhook has more than %d bytes", maxWebhookBytes)
	}
	request.Body = io.NopCloser(bytes.NewReader(body))
	return v.VerifyBody(authorization, body)
}

// VerifyQuery checks a GET: the Authorization header and the raw query.
func (v WebhookVerifier) VerifyQuery(authorization, rawQuery string) (*Webhook, error) {
	body, err := queryAsJSON(rawQuery)
	if err != nil {
		return nil, err
	}
	return v.VerifyBody(authorization, body)
}

// VerifyBody checks a POST: the Authorization header and the raw body, before any parsing.
//
// It fails with *[WebhookRejected], or at once where the verifier has no secret.
func (v WebhookVerifier) VerifyBody(authorization string, body []byte) (*Webhook, error) {
	if v.Secret == "" {
		return nil, errors.New("the secret is empty; pass the application's signature secret")
	}
	claims, err := v.signedClaims(authorization)
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256(body)
	if !same(strings.ToLower(claims.PayloadHash), hex.EncodeToString(hash[:])) {
		return nil, rejected("payload", "the webhook's content is not what was signed")
	}
	if claims.ID == "" || claims.IssuedAt == nil {
		return nil, rejected("malformed", "the webhook's signature has no jti or no iat")
	}
	issued := time.Unix(int64(*claims.IssuedAt), 0)
	if age := v.now().Sub(issued); age > or(v.MaxAge, defaultWebhookAge) || age < -clockLeeway {
		return nil, rejected("age", "the webhook was signed %s ago; at most %s are accepted", age, or(v.MaxAge, defaultWebhookAge))
	}
	if v.APIKey != "" && !same(claims.APIKey, v.APIKey) {
		return nil, rejected("api_key", "the webhook names another api_key")
	}
	return &Webhook{
		DeliveryID: claims.ID, ApplicationID: claims.ApplicationID, APIKey: claims.APIKey, IssuedAt: issued, Body: body,
	}, nil
}

type webhookClaims struct {
	ID            string   `json:"jti"`
	IssuedAt      *float64 `json:"iat"`
	PayloadHash   string   `json:"payload_hash"`
	APIKey        string   `json:"api_key"`
	ApplicationID string   `json:"application_id"`
}

// signedClaims reads the claims of a token whose signature is good. Source: RFC 7515 section 5.2; HS256 of RFC 7518
// section 3.2.
func (v WebhookVerifier) signedClaims(authorization string) (*webhookClaims, error) {
	scheme, token, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "bearer") {
		return nil, rejected("missing", "the webhook has no Authorization header with a Bearer token")
	}
	malformed := rejected("malformed", "the webhook's token is not one that Recorder makes")
	parts := strings.Split(strings.TrimSpace(token), ".")
	if len(parts) != 3 {
		return nil, malformed
	}
	var header struct {
		Algorithm string   `json:"alg"`
		Critical  []string `json:"crit"`
	}
	var claims webhookClaims
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	// The algorithm is the verifier's choice, never the token's.
	if err != nil || decodeSegment(parts[0], &header) != nil || header.Algorithm != "HS256" || header.Critical != nil {
		return nil, malformed
	}
	mac := hmac.New(sha256.New, []byte(v.Secret))
	mac.Write([]byte(parts[0] + "." + parts[1]))
	if !hmac.Equal(signature, mac.Sum(nil)) {
		return nil, rejected("signature", "the webhook was not signed with this secret")
	}
	if decodeSegment(parts[1], &claims) != nil {
		return nil, malformed
	}
	return &claims, nil
}

func (v WebhookVerifier) now() time.Time {
	if v.Now == nil {
		return time.Now()
	}
	return v.Now()
}

// queryAsJSON gives what is signed of a GET: its parameters as one JSON object, in the order they came.
func queryAsJSON(rawQuery string) ([]byte, error) {
	var names []string
	values := make(map[string]string)
	for parameter := range strings.SplitSeq(strings.TrimPrefix(rawQuery, "?"), "&") {
		if parameter == "" {
			continue
		}
		name, value, _ := strings.Cut(parameter, "=")
		plainName, nameErr := url.QueryUnescape(name)
		plainValue, valueErr := url.QueryUnescape(value)
		if nameErr != nil || valueErr != nil {
			return nil, rejected("malformed", "the webhook's query is not well formed")
		}
		if _, known := values[plainName]; !known {
			names = append(names, plainName)
		}
		values[plainName] = plainValue
	}
	text := []byte{'{'}
	for at, name := range names {
		if at > 0 {
			text = append(text, ',')
		}
		text = appendJSONString(text, name)
		text = append(text, ':')
		text = appendJSONString(text, values[name])
	}
	return append(text, '}'), nil
}

// appendJSONString escapes what RFC 8259 section 7 demands and nothing else: the hash is of these very bytes, and
// encoding/json escapes more.
func appendJSONString(text []byte, value string) []byte {
	short := map[byte]byte{'"': '"', '\\': '\\', '\b': 'b', '\f': 'f', '\n': 'n', '\r': 'r', '\t': 't'}
	text = append(text, '"')
	for _, char := range []byte(value) {
		switch letter, special := short[char]; {
		case special:
			text = append(text, '\\', letter)
		case char < 0x20:
			text = fmt.Appendf(text, `\u%04x`, char)
		default:
			text = append(text, char)
		}
	}
	return append(text, '"')
}

func decodeSegment(segment string, into any) error {
	data, err := base64.RawURLEncoding.DecodeString(segment)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

func same(one, other string) bool { return subtle.ConstantTimeCompare([]byte(one), []byte(other)) == 1 }

func rejected(reason, format string, arguments ...any) *WebhookRejected {
	return &WebhookRejected{Reason: reason, Message: fmt.Sprintf(format, arguments...)}
}
