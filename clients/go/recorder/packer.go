package recorder

import (
	"maps"
	"slices"
	"strings"
	"time"

	recorderv1 "github.com/recorder-project/recorder/clients/go/recorder/v1"
)

const (
	maxChunkBytes     = 64 * 1024
	shortestMessage   = time.Millisecond
	longestMessage    = 5 * time.Second
	linear16FrameSize = 2
)

// packer collects the chunks of all legs until one leg holds a message's length, and keeps every leg's position.
//
// Consecutive chunks of a leg become one; a jump in its frames, or 64 KiB, begins another. It keeps copies: callers may
// use their buffers again at once.
type packer struct {
	legs []*legPacker // in the order of StartCall
	byID map[string]*legPacker
	due  bool
}

type legPacker struct {
	id         string
	frameBytes int
	dueBytes   int
	nextFrame  int64
	heldBytes  int
	held       []*recorderv1.AudioChunk
}

// newPacker begins at frame 0 of every leg.
func newPacker(legs []*recorderv1.Leg, message time.Duration) (*packer, error) {
	if message < shortestMessage || message > longestMessage {
		return nil, refused(reasonInvalidField, map[string]string{"field": "Settings.Message", "value": message.String()},
			"Settings.Message is %s; %s to %s are possible", message, shortestMessage, longestMessage)
	}
	if len(legs) == 0 {
		return nil, refused(reasonInvalidField, map[string]string{"field": "legs", "value": "[]"},
			"legs is empty; give at least the caller's")
	}
	p := &packer{byID: make(map[string]*legPacker, len(legs))}
	for _, leg := range legs {
		packed := newLegPacker(leg, message)
		p.legs = append(p.legs, packed)
		p.byID[packed.id] = packed
	}
	return p, nil
}

func newLegPacker(leg *recorderv1.Leg, message time.Duration) *legPacker {
	frameBytes := 1
	if leg.GetEncoding() == recorderv1.AudioEncoding_AUDIO_ENCODING_LINEAR16 {
		frameBytes = linear16FrameSize
	}
	frames := max(1, int(int64(leg.GetSampleRateHz())*message.Milliseconds()/1000))
	return &legPacker{id: leg.GetLegId(), frameBytes: frameBytes, dueBytes: frames * frameBytes}
}

// leg gives one leg's packer, or says which legs there are.
func (p *packer) leg(legID string) (*legPacker, error) {
	if leg, known := p.byID[legID]; known {
		return leg, nil
	}
	names := slices.Sorted(maps.Keys(p.byID))
	return nil, refused(reasonUnknownLeg, map[string]string{"field": "leg_id", "value": legID},
		"leg %q is not one of this call's: %s", legID, strings.Join(names, ", "))
}

// check says whether payloads can be taken: legs are known and frames are whole.
func (p *packer) check(payloads map[string][]byte) error {
	for legID, payload := range payloads {
		leg, err := p.leg(legID)
		if err != nil {
			return err
		}
		if len(payload)%leg.frameBytes != 0 {
			return refused(reasonPartialFrame, map[string]string{"field": "payload", "leg_id": legID},
				"the payload of leg %s has %d bytes; a LINEAR16 frame has 2", legID, len(payload))
		}
	}
	return nil
}

// empty says whether nothing is held.
func (p *packer) empty() bool {
	for _, leg := range p.legs {
		if len(leg.held) > 0 {
			return false
		}
	}
	return true
}

// add holds a piece, which follows the leg's last one.
func (p *packer) add(leg *legPacker, payload []byte) {
	leg.hold(payload)
	p.due = p.due || leg.heldBytes >= leg.dueBytes
}

// take gives everything held as one message and holds nothing.
func (p *packer) take() *recorderv1.Audio {
	audio := &recorderv1.Audio{}
	for _, leg := range p.legs {
		audio.Chunks = append(audio.Chunks, leg.held...)
		leg.held, leg.heldBytes = nil, 0
	}
	p.due = false
	return audio
}

// pieceBytes is the most that one message should get of the leg.
func (l *legPacker) pieceBytes() int { return min(l.dueBytes, maxChunkBytes) }

func (l *legPacker) hold(payload []byte) {
	last := len(l.held) - 1
	follows := last >= 0 && l.nextFrame == l.held[last].GetStartFrame()+l.frames(l.held[last].GetPayload())
	if follows && len(l.held[last].GetPayload())+len(payload) <= maxChunkBytes {
		l.held[last].Payload = append(l.held[last].Payload, payload...)
	} else {
		l.held = append(l.held, &recorderv1.AudioChunk{
			LegId: l.id, StartFrame: l.nextFrame, Payload: append(make([]byte, 0, l.pieceBytes()), payload...),
		})
	}
	l.heldBytes += len(payload)
	l.nextFrame += l.frames(payload)
}

func (l *legPacker) frames(payload []byte) int64 { return int64(len(payload) / l.frameBytes) }
