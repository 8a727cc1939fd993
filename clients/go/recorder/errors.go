package recorder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"time"

	rpccode "google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Reasons that the client itself acts on, or gives. The others are the values of recorderv1.ErrorReason.
const (
	reasonNotLive         = "RECORDING_NOT_LIVE"
	reasonInvalidMessage  = "INVALID_MESSAGE"
	reasonInvalidField    = "INVALID_FIELD"
	reasonUnknownLeg      = "UNKNOWN_LEG"
	reasonPartialFrame    = "PARTIAL_FRAME"
	reasonSequenceGap     = "SEQUENCE_GAP"
	reasonDamaged         = "DAMAGED"
	reasonSlowSubscriber  = "SUBSCRIBER_TOO_SLOW"
	reasonWindowExceeded  = "WINDOW_EXCEEDED"
	reasonCallAbandoned   = "CALL_ABANDONED"
	reasonClientShut      = "CLIENT_CLOSED"
	lostStreamDescription = "the server ended the stream before the recording was completed"
)

// Error is what the server refused, or what kept a request from reaching it. Get at it with [errors.As].
type Error struct {
	// Reason is a value of recorderv1.ErrorReason without its prefix. Where no Recorder answered (no connection, a
	// proxy) it is the canonical name of the gRPC status, UNAVAILABLE say.
	Reason string
	// Message says what is wrong and how to mend it, for people.
	Message string
	// Metadata holds facts for machines: `field` and `value` where one field is at fault, `expected_sequence`, ...
	Metadata map[string]string
	// Status is the gRPC status.
	Status codes.Code
	// Retryable says whether the same request may succeed later: the server is away, or said when to come back.
	Retryable bool
	// RetryAfter is how long the server asks to wait before a retry; 0 where it did not say.
	RetryAfter time.Duration

	cause error
}

// Error gives the message with the reason before it.
func (e *Error) Error() string { return e.Reason + ": " + e.Message }

// Unwrap gives the error of gRPC, where there was one.
func (e *Error) Unwrap() error { return e.cause }

// unavailable describes a connection that was lost without a status of its own.
func unavailable(retryAfter time.Duration, format string, arguments ...any) *Error {
	return &Error{
		Reason:     statusName(codes.Unavailable),
		Message:    fmt.Sprintf(format, arguments...),
		Status:     codes.Unavailable,
		Retryable:  true,
		RetryAfter: retryAfter,
	}
}

// refused describes a request that the client does not send, because the server would refuse it.
func refused(reason string, metadata map[string]string, format string, arguments ...any) *Error {
	return &Error{
		Reason:   reason,
		Message:  fmt.Sprintf(format, arguments...),
		Metadata: metadata,
		Status:   codes.InvalidArgument,
	}
}

// fromRPC reads the status and its details (google.rpc.ErrorInfo, RetryInfo) out of a failed RPC.
//
// The end of a context is given back as it is: that was the caller's doing.
func fromRPC(ctx context.Context, err error) error {
	var known *Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return known
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, io.EOF):
		return unavailable(0, lostStreamDescription)
	}
	state := status.Convert(err)
	failure := &Error{Reason: statusName(state.Code()), Message: state.Message(), Status: state.Code(), cause: err}
	waits := false
	for _, detail := range state.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			failure.Reason, failure.Metadata = detail.GetReason(), maps.Clone(detail.GetMetadata())
		case *errdetails.RetryInfo:
			waits, failure.RetryAfter = true, detail.GetRetryDelay().AsDuration()
		}
	}
	failure.Retryable = waits || state.Code() == codes.Unavailable ||
		failure.Reason == reasonSlowSubscriber || failure.Reason == reasonWindowExceeded
	return failure
}

// statusName gives the canonical name of a status: INVALID_ARGUMENT, not InvalidArgument.
func statusName(code codes.Code) string {
	return rpccode.Code(code).String()
}
