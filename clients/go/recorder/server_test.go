package recorder_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/recorder-project/recorder/clients/go/internal/servertest"
	"github.com/recorder-project/recorder/clients/go/recorder"
	recorderv1 "github.com/recorder-project/recorder/clients/go/recorder/v1"
)

const testTimeout = 90 * time.Second

// One real server, killed and started again as the tests need it.
func TestAgainstServer(t *testing.T) {
	server := servertest.Start(t)
	client := server.Client()
	for _, test := range []struct {
		fact  string
		check func(*testing.T, *servertest.Server, *recorder.Client)
	}{
		{"a killed server leaves the undisturbed file", killedServerLeavesTheUndisturbedFile},
		{"a draining server is followed", drainingServerIsFollowed},
		{"writing waits for a server that is away, and nothing is lost", writingWaits},
		{"what nothing was sent for is silence", gapIsSilence},
		{"a stop from within ends the recording where it says", stopEndsWhereItSays},
		{"an abandoned call says so and runs no further", abandonedCallSaysSo},
		{"refusals are one typed error", refusalsAreTyped},
		{"events go on at the cursor after a crash", eventsGoOnAfterACrash},
		{"a download goes on after a crash, and from a file", downloadGoesOn},
		{"the end is told although the recording ended while nobody could hear it", endIsToldLate},
	} {
		t.Run(test.fact, func(t *testing.T) { test.check(t, server, client) })
	}
}

func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	t.Cleanup(cancel)
	return ctx
}

// must ends the test where a pair of a value and an error holds an error.
func must[T any](value T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func linear(legID string, role recorderv1.LegRole) *recorderv1.Leg {
	return &recorderv1.Leg{
		LegId: legID, Role: role, Encoding: recorderv1.AudioEncoding_AUDIO_ENCODING_LINEAR16, SampleRateHz: 16000,
	}
}

// wavStart records the caller as WAV.
func wavStart() *recorderv1.StartCall {
	format := recorderv1.FileFormat_FILE_FORMAT_WAV
	return &recorderv1.StartCall{
		Legs:    []*recorderv1.Leg{linear("caller", recorderv1.LegRole_LEG_ROLE_CALLER)},
		Options: &recorderv1.StartCall_Typed{Typed: &recorderv1.RecordOptions{Format: &format}},
	}
}

// noise is 16 kHz audio of which no 20 ms are like others.
func noise(seconds int) []byte {
	samples := make([]byte, 32000*seconds)
	state := uint32(1)
	for at := range samples {
		state = state*1664525 + 1013904223
		samples[at] = byte(state >> 24)
		if at%2 == 1 {
			samples[at] &= 0x0f // not too loud
		}
	}
	return samples
}

// record writes audio in packets of 20 ms, does something at every second, and hangs up.
func record(t *testing.T, client *recorder.Client, audio []byte, at func(call *recorder.Call, second int)) (*recorder.Call, *recorderv1.Recording) {
	t.Helper()
	ctx := limited(t)
	call := must(client.RecordCall(ctx, wavStart(), recorder.CallOptions{}))(t)
	for from := 0; from < len(audio); from += 640 {
		if at != nil && from%32000 == 0 {
			at(call, from/32000)
		}
		if err := call.Write(ctx, map[string][]byte{"caller": audio[from : from+640]}); err != nil {
			t.Fatal(err)
		}
	}
	if err := call.Close(ctx); err != nil {
		t.Fatal(err)
	}
	return call, must(call.Completed(ctx))(t)
}

func killedServerLeavesTheUndisturbedFile(t *testing.T, server *servertest.Server, client *recorder.Client) {
	audio := noise(6)
	_, reference := record(t, client, audio, nil)
	_, disturbed := record(t, client, audio, func(call *recorder.Call, second int) {
		if second == 2 || second == 4 {
			awaitOpened(t, call)
			server.KillAndRun()
		}
	})
	if reference.GetFile().GetFrames() != 6*16000 || disturbed.GetFile().GetSha256() != reference.GetFile().GetSha256() {
		t.Errorf("%v is not %v", disturbed.GetFile(), reference.GetFile())
	}
}

// awaitOpened waits until the line stands, the next time.
func awaitOpened(t *testing.T, call *recorder.Call) {
	t.Helper()
	for message, err := range call.Events(limited(t)) {
		if err != nil {
			t.Fatal(err)
		}
		if message.GetOpened() != nil {
			return
		}
	}
}

func drainingServerIsFollowed(t *testing.T, server *servertest.Server, client *recorder.Client) {
	audio := noise(3)
	_, reference := record(t, client, audio, nil)
	call, drained := record(t, client, audio, func(_ *recorder.Call, second int) {
		if second == 1 {
			server.TerminateAndRun()
		}
	})
	if drained.GetFile().GetSha256() != reference.GetFile().GetSha256() {
		t.Errorf("%v is not %v", drained.GetFile(), reference.GetFile())
	}
	told := 0
	for message := range call.Events(limited(t)) {
		if message.GetDrain() != nil || message.GetOpened() != nil {
			told++
		}
	}
	if told != 3 {
		t.Errorf("%d messages of opened, drain and opened again", told)
	}
}

func writingWaits(t *testing.T, server *servertest.Server, client *recorder.Client) {
	ctx := limited(t)
	call := must(client.RecordCall(ctx, wavStart(), recorder.CallOptions{BufferBytes: 64 << 10}))(t)
	server.Kill()
	audio := noise(10)
	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := call.Write(short, map[string][]byte{"caller": audio}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("writing without a server ended with %v", err)
	}
	taken := int(must(call.Position("caller"))(t)) * 2
	if taken < 64<<10 || taken > (64<<10)+2*3200 {
		t.Errorf("%d bytes were taken into a buffer of 64 KiB", taken)
	}
	server.Run()
	if err := errors.Join(call.Write(ctx, map[string][]byte{"caller": audio[taken:]}), call.Close(ctx)); err != nil {
		t.Fatal(err)
	}
	recording := must(call.Completed(ctx))(t)
	if recording.GetFile().GetFrames() != 10*16000 || recording.GetLegs()[0].GetGapFrames() != 0 {
		t.Errorf("%v", recording)
	}
}

func gapIsSilence(t *testing.T, _ *servertest.Server, client *recorder.Client) {
	ctx := limited(t)
	call := must(client.RecordCall(ctx, wavStart(), recorder.CallOptions{}))(t)
	packet := map[string][]byte{"caller": noise(1)}
	err := errors.Join(call.Write(ctx, packet), call.WriteAt(ctx, packet, map[string]int64{"caller": 32000}), call.Close(ctx))
	recording := must(call.Completed(ctx))(t)
	if err != nil || recording.GetFile().GetFrames() != 3*16000 || recording.GetLegs()[0].GetGapFrames() != 16000 {
		t.Errorf("%v, %v", recording, err)
	}
}

func stopEndsWhereItSays(t *testing.T, _ *servertest.Server, client *recorder.Client) {
	ctx := limited(t)
	call := must(client.RecordCall(ctx, wavStart(), recorder.CallOptions{}))(t)
	packet := map[string][]byte{"caller": noise(1)}
	cut := recorderv1.PauseMode_PAUSE_MODE_CUT
	err := errors.Join(
		call.Write(ctx, packet), call.Pause(ctx, cut, recorder.At(16000)), call.Write(ctx, packet),
		call.Resume(ctx, recorder.At(32000)), call.Write(ctx, packet), call.Stop(ctx, recorder.At(40000)),
	)
	recording := must(call.Completed(ctx))(t)
	if err != nil || recording.GetFile().GetFrames() != 24000 {
		t.Errorf("%v, %v", recording, err)
	}
	stopped := call.Stopped()
	if stopped.GetReason() != recorderv1.StopReason_STOP_REASON_REQUESTED || stopped.GetFrame() != 40000 {
		t.Errorf("%v", stopped)
	}
	// What is written after the end is dropped, and no error.
	if err := call.Write(ctx, packet); err != nil {
		t.Error(err)
	}
}

func abandonedCallSaysSo(t *testing.T, _ *servertest.Server, client *recorder.Client) {
	ctx := limited(t)
	call := must(client.RecordCall(ctx, wavStart(), recorder.CallOptions{}))(t)
	call.Abandon()
	_, completing := call.Completed(ctx)
	for _, err := range []error{completing, call.Write(ctx, map[string][]byte{"caller": noise(1)}), call.Close(ctx)} {
		checkError(t, err, "CALL_ABANDONED", false)
	}
	cancelled, cancel := context.WithCancel(ctx)
	call = must(client.RecordCall(cancelled, wavStart(), recorder.CallOptions{}))(t)
	cancel()
	if _, err := call.Completed(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("the cancelled call ended with %v", err)
	}
}

func refusalsAreTyped(t *testing.T, server *servertest.Server, _ *recorder.Client) {
	ctx := limited(t)
	tenant := server.Tenant(&recorderv1.Application{Name: "full", MaxLiveRecordings: 1})
	id := tenant.GetApplication().GetApplicationId()
	key := must(rsa.GenerateKey(rand.Reader, 2048))(t)
	other := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	forged := must(recorder.ApplicationTokens(id, other))(t)
	past := recorder.TokenOptions{TTL: time.Minute, Now: time.Now().Add(-time.Hour)}
	expired := must(recorder.ApplicationToken(id, []byte(tenant.GetPrivateKeyPem()), past))(t)

	refuse := func(client *recorder.Client, reason string, retryable bool) {
		t.Helper()
		_, err := client.RecordCall(ctx, wavStart(), recorder.CallOptions{ConnectFor: 200 * time.Millisecond})
		checkError(t, err, reason, retryable)
	}
	refuse(server.Connect(recorder.Config{Token: forged}), "INVALID_TOKEN", false)
	refuse(server.Connect(recorder.Config{Token: recorder.StaticToken(expired)}), "TOKEN_EXPIRED", false)
	refuse(server.Connect(recorder.Config{}), "MISSING_TOKEN", false)
	full := server.Connect(recorder.Config{Token: server.Tokens(tenant)})
	call := must(full.RecordCall(ctx, wavStart(), recorder.CallOptions{}))(t)
	refuse(full, "TOO_MANY_RECORDINGS", true)
	call.Abandon()

	listener := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	nowhere := listener.Addr().String()
	_ = listener.Close()
	lost := must(recorder.Connect(nowhere, recorder.Config{}))(t)
	defer lost.Close()
	refuse(lost, "UNAVAILABLE", true)
	_, err := full.Recording(ctx, "00000000-0000-4000-8000-000000000000")
	checkError(t, err, "RECORDING_NOT_FOUND", false)
}

func checkError(t *testing.T, err error, reason string, retryable bool) {
	t.Helper()
	var failure *recorder.Error
	if !errors.As(err, &failure) || failure.Reason != reason || failure.Retryable != retryable {
		t.Errorf("the error is %v, not %s", err, reason)
	}
}

func eventsGoOnAfterACrash(t *testing.T, server *servertest.Server, client *recorder.Client) {
	ctx := limited(t)
	subscribed := make(chan struct{})
	feed := client.Subscribe(nil, recorder.SubscribeOptions{OnSubscribed: func() { close(subscribed) }})
	var ids []string
	events := make(chan *recorderv1.Event, 100)
	go func() {
		defer close(events)
		for event, err := range feed.Events(ctx) {
			if err != nil {
				return
			}
			events <- event
		}
	}()
	await := func(recording *recorderv1.Recording) {
		for event := range events {
			ids = append(ids, event.GetEventId())
			done := event.GetType() == recorderv1.EventType_EVENT_TYPE_RECORDING_COMPLETED
			if done && event.GetRecording().GetRecordingId() == recording.GetRecordingId() {
				return
			}
		}
		t.Fatal("the feed ended")
	}
	<-subscribed
	_, first := record(t, client, noise(1), nil)
	await(first)
	server.KillAndRun()
	_, second := record(t, client, noise(1), nil)
	await(second)
	if len(ids) != 6 || len(slices.Compact(slices.Sorted(slices.Values(ids)))) != 6 {
		t.Errorf("%d events came, not 6 different ones", len(ids))
	}
	again := client.Subscribe(&recorderv1.SubscribeEventsRequest{
		Begin: &recorderv1.SubscribeEventsRequest_Cursor{Cursor: "no cursor"},
	}, recorder.SubscribeOptions{})
	for _, err := range again.Events(ctx) {
		checkError(t, err, "INVALID_CURSOR", false)
	}
}

func downloadGoesOn(t *testing.T, server *servertest.Server, client *recorder.Client) {
	ctx := limited(t)
	_, recording := record(t, client, noise(30), nil)
	id, size := recording.GetRecordingId(), recording.GetFile().GetSizeBytes()
	var whole bytes.Buffer
	killed := false
	crash := func(done, total int64) {
		if !killed && done > total/4 {
			killed = true
			server.KillAndRun()
		}
	}
	file := must(client.Download(ctx, id, &whole, recorder.DownloadOptions{OnProgress: crash}))(t)
	if int64(whole.Len()) != size || file.GetSha256() != recording.GetFile().GetSha256() || !killed {
		t.Errorf("%d bytes of %d, killed %t", whole.Len(), size, killed)
	}

	path := filepath.Join(t.TempDir(), "call.wav")
	if err := os.WriteFile(path+".part", whole.Bytes()[:size/2], 0o600); err != nil {
		t.Fatal(err)
	}
	var first int64
	note := func(done, _ int64) {
		if first == 0 {
			first = done
		}
	}
	must(client.DownloadFile(ctx, id, path, recorder.DownloadOptions{OnProgress: note}))(t)
	if got := must(os.ReadFile(path))(t); !bytes.Equal(got, whole.Bytes()) || first <= size/2 {
		t.Errorf("the file has %d bytes, the first progress was %d", len(got), first)
	}

	// A beginning that is another file's, or is longer, is no reason to fail.
	for _, wrong := range []int64{size / 2, size + 100} {
		if err := os.WriteFile(path+".part", make([]byte, wrong), 0o600); err != nil {
			t.Fatal(err)
		}
		must(client.DownloadFile(ctx, id, path, recorder.DownloadOptions{}))(t)
		if got := must(os.ReadFile(path))(t); !bytes.Equal(got, whole.Bytes()) {
			t.Errorf("after a wrong beginning of %d bytes the file is not the recording's", wrong)
		}
	}
}

func endIsToldLate(t *testing.T, server *servertest.Server, client *recorder.Client) {
	ctx := limited(t)
	call := must(client.RecordCall(ctx, wavStart(), recorder.CallOptions{AckInterval: 50 * time.Millisecond}))(t)
	if err := call.Write(ctx, map[string][]byte{"caller": noise(2)}); err != nil {
		t.Fatal(err)
	}
	server.KillAndRun("--resume-window-s", "0")
	recording := must(call.Completed(ctx))(t)
	if recording.GetStopReason() != recorderv1.StopReason_STOP_REASON_INTERRUPTED {
		t.Errorf("%v", recording)
	}
	stopped := call.Stopped()
	if stopped.GetReason() != recording.GetStopReason() || stopped.GetFrame() != recording.GetFile().GetFrames() {
		t.Errorf("%v is not the end of %v", stopped, recording)
	}
}
