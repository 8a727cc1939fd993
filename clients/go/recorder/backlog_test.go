package recorder

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	recorderv1 "github.com/recorder-project/recorder/clients/go/recorder/v1"
)

func request(size int) *recorderv1.RecordCallRequest {
	audio := &recorderv1.Audio{Chunks: []*recorderv1.AudioChunk{{LegId: "caller", Payload: make([]byte, size)}}}
	return &recorderv1.RecordCallRequest{Payload: &recorderv1.RecordCallRequest_Audio{Audio: audio}}
}

// What follows the opening has the numbers 2, 3, 4, and keeps them when it is sent again.
func TestBacklogNumbersWithoutHoles(t *testing.T) {
	kept := newBacklog(1 << 20)
	for range 3 {
		kept.add(request(10))
	}
	kept.acknowledge(2)
	if first, next := kept.bounds(); first != 3 || next != 5 {
		t.Errorf("bounds are %d and %d, not 3 and 5", first, next)
	}
	for sequence := uint64(3); sequence < 5; sequence++ {
		if found, err := kept.get(t.Context(), sequence); err != nil || found.GetSequence() != sequence {
			t.Errorf("number %d is %v, %v", sequence, found, err)
		}
	}
}

// An acknowledgement beyond what was sent, or before what was acknowledged, changes nothing else.
func TestBacklogSurvivesOddAcknowledgements(t *testing.T) {
	kept := newBacklog(1 << 20)
	kept.add(request(10))
	kept.acknowledge(0)
	kept.acknowledge(99)
	kept.acknowledge(1)
	if first, next := kept.bounds(); first != 3 || next != 3 || kept.sizeBytes != 0 {
		t.Errorf("bounds are %d and %d with %d bytes, not 3 and 3 with none", first, next, kept.sizeBytes)
	}
}

// Whoever writes waits while too much is kept, until some of it is acknowledged.
func TestBacklogRoomWaitsForAcknowledgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := newBacklog(100)
		kept.add(request(200))
		had := make(chan error, 1)
		go func() { had <- kept.room(t.Context()) }()
		synctest.Wait()
		select {
		case err := <-had:
			t.Fatalf("there was room at once: %v", err)
		default:
		}
		kept.acknowledge(2)
		if err := <-had; err != nil {
			t.Error(err)
		}
	})
}

// A context ends every wait, with its own cause.
func TestBacklogWaitsEndWithTheContext(t *testing.T) {
	kept := newBacklog(100)
	kept.add(request(200))
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(enough)
	_, getting := kept.get(ctx, 3)
	for _, err := range []error{kept.room(ctx), kept.acknowledged(ctx), getting} {
		if !errors.Is(err, enough) {
			t.Errorf("the wait ended with %v", err)
		}
	}
}

// Once closed it keeps nothing, and nobody waits.
func TestClosedBacklogKeepsNothing(t *testing.T) {
	kept := newBacklog(100)
	kept.add(request(200))
	kept.close()
	kept.add(request(200))
	if err := errors.Join(kept.room(t.Context()), kept.acknowledged(t.Context())); err != nil || kept.sizeBytes != 0 {
		t.Errorf("%d bytes are kept, %v", kept.sizeBytes, err)
	}
}
