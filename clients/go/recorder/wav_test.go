package recorder

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	recorderv1 "github.com/recorder-project/recorder/clients/go/recorder/v1"
)

func wavFile(tag, channels uint16, rate uint32, bits uint16, data []byte) []byte {
	file := []byte("RIFF\x00\x00\x00\x00WAVELIST\x03\x00\x00\x00abc\x00fmt \x10\x00\x00\x00")
	file = binary.LittleEndian.AppendUint16(file, tag)
	file = binary.LittleEndian.AppendUint16(file, channels)
	file = binary.LittleEndian.AppendUint32(file, rate)
	file = append(file, make([]byte, 6)...)
	file = binary.LittleEndian.AppendUint16(file, bits)
	file = append(file, "data"...)
	file = binary.LittleEndian.AppendUint32(file, uint32(len(data)))
	return append(file, data...)
}

// PCM of 16 bit and both laws of G.711 are read behind chunks of other kinds and odd sizes.
func TestReadWAVReadsTelephoneAudio(t *testing.T) {
	for encoding, format := range map[recorderv1.AudioEncoding][2]uint16{
		recorderv1.AudioEncoding_AUDIO_ENCODING_LINEAR16: {1, 16},
		recorderv1.AudioEncoding_AUDIO_ENCODING_ALAW:     {6, 8},
		recorderv1.AudioEncoding_AUDIO_ENCODING_MULAW:    {7, 8},
	} {
		path := filepath.Join(t.TempDir(), "leg.wav")
		if err := os.WriteFile(path, wavFile(format[0], 1, 8000, format[1], []byte("abcdef")), 0o600); err != nil {
			t.Fatal(err)
		}
		audio, err := ReadWAV(path)
		if err != nil {
			t.Fatal(err)
		}
		if audio.Encoding != encoding || audio.SampleRateHz != 8000 || !bytes.Equal(audio.Payload, []byte("abcdef")) {
			t.Errorf("%+v", audio)
		}
	}
}

// What no leg can be made of is refused with a reason; a file cut short gives what is there.
func TestReadWAVSaysWhatIsWrong(t *testing.T) {
	for wrong, file := range map[string][]byte{
		"not a WAV": []byte("ID3"),
		"channels":  wavFile(1, 2, 8000, 16, nil),
		"Hz":        wavFile(1, 1, 11025, 16, nil),
		"32 bit":    wavFile(3, 1, 8000, 32, nil),
		"no `data`": wavFile(1, 1, 8000, 16, nil)[:40],
	} {
		if _, err := parseWAV(file); err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), "no `fmt ` or ", ""), wrong) {
			t.Errorf("%s: %v", wrong, err)
		}
	}
	cut := wavFile(1, 1, 8000, 16, make([]byte, 100))
	if audio, err := parseWAV(cut[:len(cut)-51]); err != nil || len(audio.Payload) != 48 {
		t.Errorf("%v, %v", audio, err)
	}
}
