package recorder

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"slices"

	recorderv1 "github.com/recorder-project/recorder/clients/go/recorder/v1"
)

const (
	wavPCM        = 1
	wavALaw       = 6
	wavMuLaw      = 7
	wavExtensible = 0xFFFE
	// Size of a chunk whose writer could not seek back: the data goes on to the end of the file.
	wavUnknownSize = 0xFFFF_FFFF
)

// WAVAudio is one leg's samples, as it would come from a telephone line.
type WAVAudio struct {
	Encoding     recorderv1.AudioEncoding
	SampleRateHz uint32
	// Payload holds the samples in that encoding.
	Payload []byte
}

// Leg describes the audio as a leg of a call.
func (a *WAVAudio) Leg(legID string, role recorderv1.LegRole) *recorderv1.Leg {
	return &recorderv1.Leg{LegId: legID, Role: role, Encoding: a.Encoding, SampleRateHz: a.SampleRateHz}
}

// Bytes is the size of so many milliseconds.
func (a *WAVAudio) Bytes(milliseconds int) int {
	frames := int(a.SampleRateHz) * milliseconds / 1000
	if a.Encoding == recorderv1.AudioEncoding_AUDIO_ENCODING_LINEAR16 {
		return frames * linear16FrameSize
	}
	return frames
}

// ReadWAV reads a mono WAV file of 16 bit PCM or G.711, at a rate that Recorder takes.
//
// Source: Microsoft/IBM Multimedia Programming Interface 1.0 (RIFF, WAVE), WAVEFORMATEXTENSIBLE.
func ReadWAV(path string) (*WAVAudio, error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	audio, err := parseWAV(file)
	if err != nil {
		return nil, fmt.Errorf("%s %w; convert it, as with: ffmpeg -i %s -ac 1 -ar 16000 -c:a pcm_s16le leg.wav", path, err, path)
	}
	return audio, nil
}

func parseWAV(file []byte) (*WAVAudio, error) {
	if len(file) < 12 || !bytes.Equal(file[:4], []byte("RIFF")) || !bytes.Equal(file[8:12], []byte("WAVE")) {
		return nil, fmt.Errorf("is not a WAV file")
	}
	format, data := wavChunk(file, "fmt "), wavChunk(file, "data")
	if len(format) < 16 || data == nil {
		return nil, fmt.Errorf("has no `fmt ` or no `data` chunk")
	}
	tag, channels := binary.LittleEndian.Uint16(format), binary.LittleEndian.Uint16(format[2:])
	rate, bits := binary.LittleEndian.Uint32(format[4:]), binary.LittleEndian.Uint16(format[14:])
	if tag == wavExtensible && len(format) >= 26 {
		tag = binary.LittleEndian.Uint16(format[24:])
	}
	if channels != 1 {
		return nil, fmt.Errorf("has %d channels, a leg is mono", channels)
	}
	if rates := []uint32{8000, 16000, 24000, 32000, 44100, 48000}; !slices.Contains(rates, rate) {
		return nil, fmt.Errorf("has %d Hz, not one of %d", rate, rates)
	}
	audio := &WAVAudio{SampleRateHz: rate, Payload: data}
	switch {
	case tag == wavPCM && bits == 16:
		audio.Encoding = recorderv1.AudioEncoding_AUDIO_ENCODING_LINEAR16
		audio.Payload = data[:len(data)&^1]
	case tag == wavALaw && bits == 8:
		audio.Encoding = recorderv1.AudioEncoding_AUDIO_ENCODING_ALAW
	case tag == wavMuLaw && bits == 8:
		audio.Encoding = recorderv1.AudioEncoding_AUDIO_ENCODING_MULAW
	default:
		return nil, fmt.Errorf("holds format %d of %d bit, neither 16 bit PCM nor G.711", tag, bits)
	}
	return audio, nil
}

// wavChunk gives a chunk's content; nil where there is none.
func wavChunk(file []byte, name string) []byte {
	for at := 12; at+8 <= len(file); {
		size, begin := int(binary.LittleEndian.Uint32(file[at+4:])), at+8
		end := min(begin+size, len(file))
		if size == wavUnknownSize {
			end = len(file)
		}
		if string(file[at:at+4]) == name {
			return file[begin:end]
		}
		// Chunks begin at even offsets.
		at = begin + size + size%2
	}
	return nil
}
