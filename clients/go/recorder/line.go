package recorder

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	recorderv1 "github.com/recorder-project/recorder/clients/go/recorder/v1"
)

const (
	answerTimeout  = 10 * time.Second
	goodbyeTimeout = time.Second
	outcomePoll    = 500 * time.Millisecond
)

type (
	callStream   = grpc.BidiStreamingClient[recorderv1.RecordCallRequest, recorderv1.RecordCallResponse]
	openStream   = func(ctx context.Context) (callStream, error)
	getRecording = func(ctx context.Context, recordingID string) (*recorderv1.Recording, error)
)

// line sends what is in the backlog over one stream after another, and hands on what the server says.
type line struct {
	start     *recorderv1.StartCall
	options   CallOptions
	backlog   *backlog
	open      openStream
	recording getRecording
	onMessage func(*recorderv1.RecordCallResponse)
	log       *slog.Logger

	reconnecting *backoff

	// What other goroutines may look at.
	opened    atomic.Pointer[recorderv1.Opened]
	stopped   atomic.Pointer[recorderv1.Stopped]
	completed atomic.Pointer[recorderv1.Recording]
	// closing is set once hang-up was asked for: the line then stays with a server that is going down.
	closing atomic.Bool
}

// run holds the line until the recording is completed. It fails if the server refused the call, could not be reached
// for too long, or the context ended.
func (l *line) run(ctx context.Context) error {
	l.reconnecting = newBackoff(l.options.ReconnectFor)
	connecting := newBackoff(l.options.ConnectFor)
	for {
		err := l.connect(ctx)
		var failure *Error
		switch {
		case l.completed.Load() != nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case l.opened.Load() == nil:
			err = connecting.wait(ctx, err)
		case errors.As(err, &failure) && failure.Reason == reasonNotLive:
			return l.catchUp(ctx)
		default:
			l.tellLost(ctx, err)
			err = l.reconnecting.wait(ctx, err)
		}
		if err != nil {
			return err
		}
	}
}

// tellLost logs a lost line once, and the tries after that only for debugging.
func (l *line) tellLost(ctx context.Context, err error) {
	level := slog.LevelWarn
	if !l.reconnecting.failingSince.IsZero() {
		level = slog.LevelDebug
	}
	l.log.Log(ctx, level, "line lost, resuming", "recording_id", l.start.GetRecordingId(), "error", err)
}

// connect holds one stream until the recording is completed or the stream breaks, and says why it broke.
func (l *line) connect(parent context.Context) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	stream, sequence, err := l.greet(ctx, cancel)
	if err != nil {
		return err
	}
	sending, stopSending := context.WithCancel(ctx)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		l.replay(sending, stream, sequence)
	}()
	err = l.receive(ctx, stream)
	stopSending()
	if l.completed.Load() != nil {
		part(stream, sent, cancel)
	}
	// A sender that flow control holds back is freed by the end of its stream.
	cancel(nil)
	<-sent
	return err
}

// greet opens a stream and gives the sequence to send from.
func (l *line) greet(ctx context.Context, cancel context.CancelCauseFunc) (callStream, uint64, error) {
	patience := time.AfterFunc(answerTimeout, func() {
		cancel(unavailable(0, "the server did not answer within %s", answerTimeout))
	})
	defer patience.Stop()
	stream, err := l.open(ctx)
	if err != nil {
		return nil, 0, fromRPC(ctx, err)
	}
	// Sending to a stream that has ended fails without saying why; receiving tells.
	_ = stream.Send(l.opening())
	answer, err := stream.Recv()
	if err != nil {
		return nil, 0, fromRPC(ctx, err)
	}
	sequence, err := l.accept(answer)
	return stream, sequence, err
}

func (l *line) opening() *recorderv1.RecordCallRequest {
	open := &recorderv1.OpenCall{AckInterval: durationpb.New(l.options.AckInterval)}
	request := &recorderv1.RecordCallRequest{Payload: &recorderv1.RecordCallRequest_Open{Open: open}}
	if l.opened.Load() == nil {
		request.Sequence = 1
		open.Target = &recorderv1.OpenCall_Start{Start: l.start}
	} else {
		resume := &recorderv1.ResumeCall{RecordingId: l.start.GetRecordingId()}
		open.Target = &recorderv1.OpenCall_Resume{Resume: resume}
	}
	return request
}

// accept takes the answer to the opening and gives the sequence to send from.
func (l *line) accept(answer *recorderv1.RecordCallResponse) (uint64, error) {
	opened := answer.GetOpened()
	if opened == nil {
		return 0, refused(reasonInvalidMessage, nil, "the server answered `open` with %T", answer.GetPayload())
	}
	expected := opened.GetNextSequence()
	first, next := l.backlog.bounds()
	if l.stopped.Load() == nil && expected > next {
		return 0, refused(reasonSequenceGap, nil,
			"the server expects message %d of %s, but %d to %d are at hand; does another client write to it?",
			expected, l.start.GetRecordingId(), first, next)
	}
	if l.opened.Swap(opened) != nil {
		l.log.Info("line resumed", "recording_id", l.start.GetRecordingId(), "next_sequence", expected)
	}
	l.reconnecting.succeeded()
	l.onMessage(answer)
	// What was acknowledged is gone here. If damage took it there, the server goes on without it.
	return max(expected, first), nil
}

// replay sends the backlog from a sequence on. When the stream breaks it ends; whoever receives from it learns why.
func (l *line) replay(ctx context.Context, stream callStream, sequence uint64) {
	for ; ; sequence++ {
		request, err := l.backlog.get(ctx, sequence)
		if err != nil || stream.Send(request) != nil {
			return
		}
	}
}

// receive takes messages until the recording is completed (nil) or the stream has to be left.
func (l *line) receive(ctx context.Context, stream callStream) error {
	for l.completed.Load() == nil {
		message, err := stream.Recv()
		if err != nil {
			return fromRPC(ctx, err)
		}
		if err := l.take(message); err != nil {
			return err
		}
	}
	return nil
}

func (l *line) take(message *recorderv1.RecordCallResponse) error {
	switch payload := message.GetPayload().(type) {
	case *recorderv1.RecordCallResponse_Ack:
		l.backlog.acknowledge(payload.Ack.GetSequence())
		return nil
	case *recorderv1.RecordCallResponse_Stopped:
		l.stopped.Store(payload.Stopped)
		l.backlog.close()
	case *recorderv1.RecordCallResponse_Completed:
		l.completed.Store(payload.Completed.GetRecording())
		l.backlog.close()
	}
	l.onMessage(message)
	if drain := message.GetDrain(); drain != nil && !l.closing.Load() && l.stopped.Load() == nil {
		return unavailable(drain.GetRetryAfter().AsDuration(), "the server is going down")
	}
	return nil
}

// catchUp waits for the last state of a recording whose stream is gone for good, and tells what the server told while
// nobody could hear it.
func (l *line) catchUp(ctx context.Context) error {
	l.backlog.close()
	recording, err := l.outcome(ctx)
	if err != nil {
		return err
	}
	if l.stopped.Load() == nil {
		stopped := &recorderv1.RecordCallResponse_Stopped{Stopped: endOf(recording)}
		_ = l.take(&recorderv1.RecordCallResponse{Payload: stopped})
	}
	completed := &recorderv1.RecordCallResponse_Completed{Completed: &recorderv1.Completed{Recording: recording}}
	return l.take(&recorderv1.RecordCallResponse{Payload: completed})
}

func (l *line) outcome(ctx context.Context) (*recorderv1.Recording, error) {
	for {
		recording, err := l.recording(ctx, l.start.GetRecordingId())
		switch {
		case err != nil:
			err = l.reconnecting.wait(ctx, err)
		case !running(recording):
			return recording, nil
		default:
			l.reconnecting.succeeded()
			err = sleep(ctx, outcomePoll)
		}
		if err != nil {
			return nil, err
		}
	}
}

func running(recording *recorderv1.Recording) bool {
	switch recording.GetState() {
	case recorderv1.RecordingState_RECORDING_STATE_RECORDING,
		recorderv1.RecordingState_RECORDING_STATE_PAUSED,
		recorderv1.RecordingState_RECORDING_STATE_FINISHING:
		return true
	default:
		return false
	}
}

// endOf says as `stopped` would have where a recording ended: what cut pauses took out of its file counts too.
func endOf(recording *recorderv1.Recording) *recorderv1.Stopped {
	frame := recording.GetFile().GetFrames()
	for _, pause := range recording.GetPauses() {
		if pause.GetMode() == recorderv1.PauseMode_PAUSE_MODE_CUT {
			frame += pause.GetEndFrame() - pause.GetStartFrame()
		}
	}
	return &recorderv1.Stopped{Reason: recording.GetStopReason(), Frame: frame}
}

// part lets a stream end by itself; nothing depends on it any more.
func part(stream callStream, sent <-chan struct{}, cancel context.CancelCauseFunc) {
	patience := time.AfterFunc(goodbyeTimeout, func() { cancel(nil) })
	defer patience.Stop()
	// gRPC forbids half-closing while another goroutine sends.
	<-sent
	_ = stream.CloseSend()
	for {
		if _, err := stream.Recv(); err != nil {
			return
		}
	}
}

func sleep(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
