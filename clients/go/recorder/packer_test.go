package recorder

import (
	"bytes"
	"errors"
	"testing"
	"time"

	recorderv1 "github.com/recorder-project/recorder/clients/go/recorder/v1"
)

func twoLegs() []*recorderv1.Leg {
	return []*recorderv1.Leg{
		{LegId: "caller", Encoding: recorderv1.AudioEncoding_AUDIO_ENCODING_LINEAR16, SampleRateHz: 16000},
		{LegId: "callee", Encoding: recorderv1.AudioEncoding_AUDIO_ENCODING_MULAW, SampleRateHz: 8000},
	}
}

func mustPack(t *testing.T, message time.Duration) *packer {
	t.Helper()
	packed, err := newPacker(twoLegs(), message)
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

// Both legs' packets of the same instants become one chunk each, due once one leg has a message's length.
func TestPackerJoinsPacketsOfAllLegs(t *testing.T) {
	packed := mustPack(t, 100*time.Millisecond)
	caller, callee := packed.byID["caller"], packed.byID["callee"]
	for packet := range 5 {
		if packed.due {
			t.Fatalf("due after %d packets", packet)
		}
		packed.add(caller, make([]byte, 640))
		packed.add(callee, make([]byte, 160))
	}
	if !packed.due {
		t.Fatal("not due after 100 ms")
	}
	chunks := packed.take().GetChunks()
	if len(chunks) != 2 || len(chunks[0].GetPayload()) != 3200 || len(chunks[1].GetPayload()) != 800 {
		t.Errorf("the message is %v", chunks)
	}
	if caller.nextFrame != 1600 || callee.nextFrame != 800 || !packed.empty() || packed.due {
		t.Errorf("the legs stand at %d and %d", caller.nextFrame, callee.nextFrame)
	}
}

// A jump in a leg's frames begins another chunk, at the position it jumped to.
func TestPackerBeginsAnotherChunkAtAJump(t *testing.T) {
	packed := mustPack(t, time.Second)
	leg := packed.byID["callee"]
	packed.add(leg, make([]byte, 160))
	leg.nextFrame = 8000
	packed.add(leg, make([]byte, 160))
	chunks := packed.take().GetChunks()
	if len(chunks) != 2 || chunks[0].GetStartFrame() != 0 || chunks[1].GetStartFrame() != 8000 {
		t.Errorf("the chunks are %v", chunks)
	}
}

// No chunk is longer than the contract allows, and no sample is lost on the way.
func TestPackerCutsAt64KiB(t *testing.T) {
	packed := mustPack(t, 5*time.Second)
	leg := packed.byID["caller"]
	sent := bytes.Repeat([]byte{1, 2}, 80_000)
	for from := 0; from < len(sent); from += leg.pieceBytes() {
		packed.add(leg, sent[from:min(from+leg.pieceBytes(), len(sent))])
	}
	var got []byte
	for _, chunk := range packed.take().GetChunks() {
		if len(chunk.GetPayload()) > maxChunkBytes || chunk.GetStartFrame() != int64(len(got)/2) {
			t.Errorf("a chunk of %d bytes stands at %d", len(chunk.GetPayload()), chunk.GetStartFrame())
		}
		got = append(got, chunk.GetPayload()...)
	}
	if !bytes.Equal(got, sent) {
		t.Errorf("%d bytes came out of %d", len(got), len(sent))
	}
}

// The caller's buffer is free once a piece was taken.
func TestPackerKeepsCopies(t *testing.T) {
	packed := mustPack(t, time.Second)
	buffer := []byte{7}
	packed.add(packed.byID["callee"], buffer)
	buffer[0] = 0
	if got := packed.take().GetChunks()[0].GetPayload(); got[0] != 7 {
		t.Errorf("the chunk changed to %v", got)
	}
}

// What the server would refuse is refused before anything is taken, with the server's reason.
func TestPackerRefusesWhatTheServerWould(t *testing.T) {
	packed := mustPack(t, time.Second)
	_, noLegs := newPacker(nil, time.Second)
	_, tooLong := newPacker(twoLegs(), time.Minute)
	for reason, err := range map[string]error{
		"UNKNOWN_LEG":   packed.check(map[string][]byte{"nobody": nil}),
		"PARTIAL_FRAME": packed.check(map[string][]byte{"caller": make([]byte, 3)}),
		"INVALID_FIELD": errors.Join(noLegs, tooLong),
	} {
		var refusal *Error
		if !errors.As(err, &refusal) || refusal.Reason != reason || refusal.Retryable {
			t.Errorf("%s: %v", reason, err)
		}
	}
}
