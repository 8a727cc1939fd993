package recorder

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

const (
	firstDelay = 100 * time.Millisecond
	mostDelay  = 5 * time.Second
)

// backoff waits between tries: doubling from 0.1 s to 5 s, with jitter, for a limited time since things last went well.
type backoff struct {
	giveUpAfter  time.Duration
	failingSince time.Time
	next         time.Duration
}

func newBackoff(giveUpAfter time.Duration) *backoff {
	return &backoff{giveUpAfter: giveUpAfter, next: firstDelay}
}

// succeeded forgets the failures so far.
func (b *backoff) succeeded() {
	b.failingSince, b.next = time.Time{}, firstDelay
}

// wait sleeps before the next try: as long as the server asked for, or longer each time. It gives the failure back
// where a retry does not help or the time is up, and the context's cause where that ended.
func (b *backoff) wait(ctx context.Context, failure error) error {
	delay, retry := b.delay(time.Now(), failure)
	if !retry {
		return failure
	}
	return sleep(ctx, delay)
}

// delay says how long to wait after a failure, and whether to try again at all.
func (b *backoff) delay(now time.Time, failure error) (time.Duration, bool) {
	var known *Error
	if !errors.As(failure, &known) || !known.Retryable {
		return 0, false
	}
	if b.failingSince.IsZero() {
		b.failingSince = now
	}
	// Jitter keeps the calls of one media server from coming back in one burst.
	delay := max(time.Duration(float64(b.next)*(0.5+rand.Float64()/2)), known.RetryAfter)
	b.next = min(2*b.next, mostDelay)
	return delay, now.Add(delay).Sub(b.failingSince) <= b.giveUpAfter
}
