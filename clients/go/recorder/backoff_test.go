package recorder

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// Waits double from 0.1 s to 5 s, each between half and all of that.
func TestBackoffDoublesWithJitter(t *testing.T) {
	waits := newBackoff(time.Hour)
	now := time.Now()
	for _, most := range []time.Duration{100, 200, 400, 800, 1600, 3200, 5000, 5000} {
		most *= time.Millisecond
		if delay, retry := waits.delay(now, unavailable(0, "away")); !retry || delay < most/2 || delay > most {
			t.Errorf("the wait is %s, not %s to %s", delay, most/2, most)
		}
	}
	waits.succeeded()
	if delay, _ := waits.delay(now, unavailable(0, "away")); delay > firstDelay {
		t.Errorf("after a success the wait is %s", delay)
	}
}

// A server that says when to come back is not asked before.
func TestBackoffWaitsAsLongAsTheServerAsks(t *testing.T) {
	if delay, retry := newBackoff(time.Hour).delay(time.Now(), unavailable(time.Minute, "full")); !retry || delay != time.Minute {
		t.Errorf("the wait is %s", delay)
	}
}

// What a retry does not mend is given back at once, and so is what failed for too long.
func TestBackoffGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waits := newBackoff(10 * time.Second)
		if wrong := refused("INVALID_FIELD", nil, "wrong"); waits.wait(t.Context(), wrong) != error(wrong) {
			t.Error("a refusal was tried again")
		}
		began, away := time.Now(), unavailable(0, "away")
		for waits.wait(t.Context(), away) == nil {
		}
		if took := time.Since(began); took < 5*time.Second || took > 10*time.Second {
			t.Errorf("it was tried for %s", took)
		}
	})
}

// An error of another kind is no reason to try again.
func TestBackoffDoesNotRetryOtherErrors(t *testing.T) {
	broken := errors.New("disk full")
	if err := newBackoff(time.Hour).wait(t.Context(), broken); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}
