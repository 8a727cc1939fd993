package recorder

import (
	"context"
	"iter"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	recorderv1 "github.com/recorder-project/recorder/clients/go/recorder/v1"
)

const unreadMessages = 1024

// CallOptions say how a call is sent. A field left at zero has its default.
type CallOptions struct {
	// Message is the media time in one message, 1 ms to 5 s; default 100 ms. Longer costs less, shorter loses less when
	// the client dies.
	Message time.Duration
	// AckInterval is the longest wait for an acknowledgement, 50 ms to 10 s; default 500 ms.
	AckInterval time.Duration
	// BufferBytes is what may wait for acknowledgement; default 8 MiB. Call.Write waits while it is exceeded.
	BufferBytes int
	// ConnectFor is how long to go on trying to reach the server before the recording was opened; default 5 s.
	ConnectFor time.Duration
	// ReconnectFor is how long to go on trying after the line broke; default 2 min.
	ReconnectFor time.Duration
}

func (o CallOptions) withDefaults() CallOptions {
	return CallOptions{
		Message:      or(o.Message, 100*time.Millisecond),
		AckInterval:  or(o.AckInterval, 500*time.Millisecond),
		BufferBytes:  or(o.BufferBytes, 8<<20),
		ConnectFor:   or(o.ConnectFor, 5*time.Second),
		ReconnectFor: or(o.ReconnectFor, 2*time.Minute),
	}
}

func or[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

// Call is a recording that runs. Its methods may be called from several goroutines; let one goroutine write a leg.
//
// A line that breaks is taken up again by itself, and what is not acknowledged is sent again. A call that is abandoned
// without Close leaves its recording interrupted: the server waits for its resume window and then finishes it with what
// was acknowledged.
type Call struct {
	recordingID string
	message     time.Duration
	line        *line
	backlog     *backlog
	abandon     context.CancelCauseFunc
	messages    chan *recorderv1.RecordCallResponse
	ready       chan struct{}
	done        chan struct{}
	failure     error // read only once done is closed

	mu     sync.Mutex // guards what follows
	packer *packer
	flush  *time.Timer
}

// RecordingID is the id of the recording.
func (c *Call) RecordingID() string { return c.recordingID }

// Opened is the server's answer to the newest opening: the options in force, and warnings.
func (c *Call) Opened() *recorderv1.Opened { return c.line.opened.Load() }

// Stopped is what ended the recording, nil while it runs. From then on what is written is dropped.
func (c *Call) Stopped() *recorderv1.Stopped { return c.line.stopped.Load() }

// Write writes one or more legs' audio, of any length, each where its last audio ended.
//
// It waits while too much is unacknowledged. If ctx ends meanwhile, what was taken until then stays taken: Position
// tells how far. At most a message's length is taken without looking at ctx again.
func (c *Call) Write(ctx context.Context, payloads map[string][]byte) error {
	return c.WriteAt(ctx, payloads, nil)
}

// WriteAt is Write with positions: frames holds, for some or all legs, that of the first sample in the leg's own rate
// since the recording began, from the media clock (an RTP timestamp, say).
func (c *Call) WriteAt(ctx context.Context, payloads map[string][]byte, frames map[string]int64) error {
	if err := c.packer.check(payloads); err != nil {
		return err
	}
	for offset, more := 0, true; more; {
		if err := c.room(ctx); err != nil {
			return err
		}
		offset, more = c.pack(payloads, frames, offset)
	}
	return nil
}

// DTMF tells of a key press: one of 0-9, *, #, A-D. By default it was pressed where the leg's audio stands; At is in the
// leg's own rate.
func (c *Call) DTMF(ctx context.Context, legID, digit string, options ...ControlOption) error {
	frame, err := c.Position(legID)
	if err != nil {
		return err
	}
	chosen := choose(options)
	key := &recorderv1.Dtmf{LegId: legID, Digit: digit, Frame: frame}
	if chosen.frame != nil {
		key.Frame = *chosen.frame
	}
	if chosen.held > 0 {
		key.Duration = durationpb.New(chosen.held)
	}
	return c.send(ctx, &recorderv1.RecordCallRequest{Payload: &recorderv1.RecordCallRequest_Dtmf{Dtmf: key}})
}

// Pause stops keeping audio, from now or At a recording frame (16 kHz).
func (c *Call) Pause(ctx context.Context, mode recorderv1.PauseMode, options ...ControlOption) error {
	pause := &recorderv1.Pause{Mode: &mode, Frame: choose(options).frame}
	return c.control(ctx, &recorderv1.Control{Action: &recorderv1.Control_Pause{Pause: pause}})
}

// Resume keeps audio again, from now or At a recording frame (16 kHz).
func (c *Call) Resume(ctx context.Context, options ...ControlOption) error {
	resume := &recorderv1.Resume{Frame: choose(options).frame}
	return c.control(ctx, &recorderv1.Control{Action: &recorderv1.Control_Resume{Resume: resume}})
}

// Stop ends the recording at the last audio or At a recording frame (16 kHz).
func (c *Call) Stop(ctx context.Context, options ...ControlOption) error {
	stop := &recorderv1.Stop{Frame: choose(options).frame}
	return c.control(ctx, &recorderv1.Control{Action: &recorderv1.Control_Stop{Stop: stop}})
}

// Close hangs up at the last audio or At a recording frame (16 kHz), and waits until that and all audio is durable.
// Called again, it only waits.
func (c *Call) Close(ctx context.Context, options ...ControlOption) error {
	if !c.line.closing.Swap(true) {
		hangUp := &recorderv1.Close{Frame: choose(options).frame}
		c.enqueue(&recorderv1.RecordCallRequest{Payload: &recorderv1.RecordCallRequest_Close{Close: hangUp}})
	}
	if err := c.backlog.acknowledged(ctx); err != nil {
		return err
	}
	return c.failed()
}

// Completed waits for the recording's last state: available, empty or failed.
func (c *Call) Completed(ctx context.Context) (*recorderv1.Recording, error) {
	select {
	case <-c.done:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	return c.line.completed.Load(), c.failed()
}

// Events gives the server's messages except acknowledgements (opened, play, stopped, completed, drain) until the
// recording is completed, then the error that ended the call, if one did. Reading them is optional; only the newest
// 1024 are kept for a reader, and each is given once.
func (c *Call) Events(ctx context.Context) iter.Seq2[*recorderv1.RecordCallResponse, error] {
	return func(yield func(*recorderv1.RecordCallResponse, error) bool) {
		for {
			select {
			case message, more := <-c.messages:
				if !more {
					if err := c.failed(); err != nil {
						yield(nil, err)
					}
					return
				}
				if !yield(message, nil) {
					return
				}
			case <-ctx.Done():
				yield(nil, context.Cause(ctx))
				return
			}
		}
	}
}

// Position is the frame after the last one written of a leg, in the leg's own rate.
func (c *Call) Position(legID string) (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	leg, err := c.packer.leg(legID)
	if err != nil {
		return 0, err
	}
	return leg.nextFrame, nil
}

// Abandon leaves the call, whatever it does, and waits until nothing of it runs. It changes nothing once the recording
// is completed, so that it can be deferred.
func (c *Call) Abandon() {
	c.abandon(&Error{Reason: reasonCallAbandoned, Message: "the call was left before its recording was completed"})
	<-c.done
}

// run holds the line; the call's own goroutine.
func (c *Call) run(ctx context.Context) {
	failure := c.line.run(ctx)
	c.mu.Lock()
	if c.flush != nil {
		c.flush.Stop()
	}
	c.mu.Unlock()
	c.failure = failure
	close(c.done)
	// Whoever waits for room or for acknowledgements wakes now, and finds the failure.
	c.backlog.close()
	close(c.messages)
	c.abandon(nil)
}

// opening waits until the recording exists.
func (c *Call) opening() error {
	select {
	case <-c.ready:
		return nil
	case <-c.done:
		return c.failed()
	}
}

// keep holds a message for a reader; without one, the oldest makes place. Called by the line's goroutine alone.
func (c *Call) keep(message *recorderv1.RecordCallResponse) {
	if len(c.messages) == cap(c.messages) {
		select {
		case <-c.messages:
		default:
		}
	}
	c.messages <- message
	select {
	case <-c.ready:
	default:
		close(c.ready)
	}
}

// room waits until something may be written.
func (c *Call) room(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := c.backlog.room(ctx); err != nil {
		return err
	}
	return c.failed()
}

// pack takes the next piece of every leg: rounds counts the pieces taken before. It says whether there is more.
func (c *Call) pack(payloads map[string][]byte, frames map[string]int64, rounds int) (int, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	more := false
	for _, leg := range c.packer.legs {
		payload := payloads[leg.id]
		from := rounds * leg.pieceBytes()
		if from >= len(payload) {
			continue
		}
		if frame, given := frames[leg.id]; given && rounds == 0 {
			leg.nextFrame = frame
		}
		to := min(from+leg.pieceBytes(), len(payload))
		c.packer.add(leg, payload[from:to])
		more = more || to < len(payload)
	}
	if c.packer.due {
		c.flushHeld()
	} else if c.flush == nil && !c.packer.empty() {
		// Audio that stays alone must not wait for more: the recording may end with it.
		c.flush = time.AfterFunc(c.message, c.flushLate)
	}
	return rounds + 1, more
}

func (c *Call) flushLate() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flushHeld()
}

func (c *Call) flushHeld() {
	if c.flush != nil {
		c.flush.Stop()
		c.flush = nil
	}
	if !c.packer.empty() {
		audio := &recorderv1.RecordCallRequest_Audio{Audio: c.packer.take()}
		c.backlog.add(&recorderv1.RecordCallRequest{Payload: audio})
	}
}

func (c *Call) control(ctx context.Context, control *recorderv1.Control) error {
	return c.send(ctx, &recorderv1.RecordCallRequest{Payload: &recorderv1.RecordCallRequest_Control{Control: control}})
}

// send takes a request behind the audio written so far, then waits while too much is unacknowledged. A pause must not
// wait for room: the request is taken even where the wait fails.
func (c *Call) send(ctx context.Context, request *recorderv1.RecordCallRequest) error {
	if err := c.failed(); err != nil {
		return err
	}
	c.enqueue(request)
	return c.room(ctx)
}

func (c *Call) enqueue(request *recorderv1.RecordCallRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flushHeld()
	c.backlog.add(request)
}

// failed gives what ended the call for good; nil while it runs, and after its recording was completed.
func (c *Call) failed() error {
	select {
	case <-c.done:
		return c.failure
	default:
		return nil
	}
}

// ControlOption says more about a key press, a pause, a resume, a stop or a hang-up.
type ControlOption func(*controlOptions)

type controlOptions struct {
	frame *int64
	held  time.Duration
}

// At says where in the recording it happened: in recording frames (16 kHz), for DTMF in the leg's own rate.
func At(frame int64) ControlOption {
	return func(chosen *controlOptions) { chosen.frame = &frame }
}

// HeldFor says how long a key was held.
func HeldFor(held time.Duration) ControlOption {
	return func(chosen *controlOptions) { chosen.held = held }
}

func choose(options []ControlOption) controlOptions {
	var chosen controlOptions
	for _, option := range options {
		option(&chosen)
	}
	return chosen
}
