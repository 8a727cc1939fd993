package recorder

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

// The reason, the facts and the wait are read out of the status's details; the status itself can still be had.
func TestErrorCarriesReasonFactsAndWait(t *testing.T) {
	state, err := status.New(codes.ResourceExhausted, "too many").WithDetails(
		&errdetails.ErrorInfo{Reason: "TOO_MANY_RECORDINGS", Metadata: map[string]string{"value": "1"}},
		&errdetails.RetryInfo{RetryDelay: durationpb.New(3 * time.Second)},
	)
	if err != nil {
		t.Fatal(err)
	}
	var got *Error
	if !errors.As(fromRPC(t.Context(), state.Err()), &got) {
		t.Fatal("not an *Error")
	}
	if got.Reason != "TOO_MANY_RECORDINGS" || got.Metadata["value"] != "1" || got.RetryAfter != 3*time.Second || !got.Retryable {
		t.Errorf("%+v", got)
	}
	if status.Code(errors.Unwrap(got)) != codes.ResourceExhausted || got.Status != codes.ResourceExhausted {
		t.Errorf("the status is %s", got.Status)
	}
}

// Where no Recorder answered, the reason is the status's canonical name.
func TestErrorWithoutDetailsIsNamedAfterItsStatus(t *testing.T) {
	for err, want := range map[error]string{
		status.Error(codes.Unavailable, "refused"):    "UNAVAILABLE",
		status.Error(codes.InvalidArgument, "no way"): "INVALID_ARGUMENT",
		io.EOF: "UNAVAILABLE",
	} {
		var got *Error
		if !errors.As(fromRPC(t.Context(), err), &got) || got.Reason != want || got.Retryable != (want == "UNAVAILABLE") {
			t.Errorf("%v became %v", err, got)
		}
	}
}

// A caller who cancels gets back the cause given, not a status.
func TestErrorOfACancelledContextIsItsCause(t *testing.T) {
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(enough)
	if err := fromRPC(ctx, status.Error(codes.Canceled, "context canceled")); !errors.Is(err, enough) {
		t.Errorf("%v", err)
	}
}
