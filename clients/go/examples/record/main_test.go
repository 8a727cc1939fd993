package main

import (
	"context"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/recorder-project/recorder/clients/go/internal/servertest"
	recorderv1 "github.com/recorder-project/recorder/clients/go/recorder/v1"
)

// writeTone makes a mono WAV file of 16 bit.
func writeTone(t *testing.T, name string, rate, milliseconds uint32) string {
	t.Helper()
	size := rate * milliseconds / 1000 * 2
	file := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00")
	file = binary.LittleEndian.AppendUint32(file, rate)
	file = binary.LittleEndian.AppendUint32(file, 2*rate)
	file = append(file, "\x02\x00\x10\x00data"...)
	file = binary.LittleEndian.AppendUint32(file, size)
	for frame := range size / 2 {
		sample := 8000 * math.Sin(2*math.Pi*440*float64(frame)/float64(rate))
		file = binary.LittleEndian.AppendUint16(file, uint16(int16(sample)))
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The example records files of different rates and lengths, as long as the longer one.
func TestExampleRecordsTwoFiles(t *testing.T) {
	server := servertest.Start(t)
	tenant := server.Tenant(&recorderv1.Application{Name: "example"})
	keyPath := filepath.Join(t.TempDir(), "private.pem")
	if err := os.WriteFile(keyPath, []byte(tenant.GetPrivateKeyPem()), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	paths := []string{writeTone(t, "caller.wav", 8000, 1500), writeTone(t, "callee.wav", 44100, 2010)}
	id := tenant.GetApplication().GetApplicationId()
	recording, err := record(ctx, server.Target, id, keyPath, paths, false)
	if err != nil {
		t.Fatal(err)
	}
	frames := recording.GetFile().GetFrames()
	if recording.GetState() != recorderv1.RecordingState_RECORDING_STATE_AVAILABLE || frames != 2010*16 {
		t.Errorf("%v", recording)
	}
}
