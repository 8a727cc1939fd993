package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestMessagesAreReadByTheirLengths(t *testing.T) {
	path := filepath.Join(t.TempDir(), "messages")
	if err := os.WriteFile(path, []byte("\x02\x00\x00\x00ab\x00\x00\x00\x00\x01\x00\x00\x00c"), 0o600); err != nil {
		t.Fatal(err)
	}
	messages, err := readMessages(path)
	if err != nil || len(messages) != 3 || string(messages[0]) != "ab" || string(messages[2]) != "c" {
		t.Fatalf("read %q, %v", messages, err)
	}
}

func TestFileThatIsCutOffIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "messages")
	if err := os.WriteFile(path, []byte("\x02\x00\x00\x00a"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readMessages(path); err == nil {
		t.Fatal("a cut-off message was read")
	}
}

func TestAcknowledgementCoversEveryMessageUpToIt(t *testing.T) {
	call := newCall(&Plan{}, 0, nil, make([][]byte, 4))
	began := time.Now()
	call.sent = append(call.sent, began, began.Add(time.Millisecond), began.Add(2*time.Millisecond))
	kind, content := kindOf([]byte{0x12, 2, 0x08, 3})
	if kind != 2 {
		t.Fatalf("the response is of kind %d", kind)
	}
	call.acknowledged(sequenceOf(content), began.Add(5*time.Millisecond))
	if call.acked != 2 || call.waits[0] != 5*time.Millisecond || call.waits[1] != 4*time.Millisecond {
		t.Fatalf("%d acknowledged after %v", call.acked, call.waits)
	}
}

func TestQuantilesAreOfTheNearestRank(t *testing.T) {
	var durations []time.Duration
	for i := range 100 {
		durations = append(durations, time.Duration(100-i)*time.Millisecond)
	}
	if found := quantilesOf(durations); found != (Quantiles{P50: 50, P99: 99, Max: 100}) {
		t.Fatalf("%+v", found)
	}
}
