package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"

	"github.com/recorder-project/recorder/clients/go/recorder"
	recorderv1 "github.com/recorder-project/recorder/clients/go/recorder/v1"
)

const (
	bytesPerMs = 32 // 16 kHz, 16 bit
	pieceMs    = 20
)

type scenario struct {
	Start json.RawMessage              `json:"start"`
	Steps []map[string]json.RawMessage `json:"steps"`
}

// step is the union of what steps may hold.
type step struct {
	ToMs  int    `json:"toMs"`
	LegID string `json:"legId"`
	Digit string `json:"digit"`
	Frame *int64 `json:"frame"`
	Mode  string `json:"mode"`
	First int    `json:"first"`
}

func readScenario(path string) (*scenario, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var read scenario
	return &read, json.Unmarshal(text, &read)
}

type driver struct {
	client    *recorder.Client
	call      *recorder.Call
	audio     map[string][]byte
	stdin     *bufio.Reader
	writtenMs int
	events    []string
}

// run does the steps, waits for the recording's last state and downloads its file.
func (d *driver) run(ctx context.Context, steps []map[string]json.RawMessage) (*result, error) {
	plays := make(chan int, 1)
	go func() { plays <- d.countPlays(ctx) }()
	for _, named := range steps {
		for name, arguments := range named {
			if err := d.do(ctx, name, arguments); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	recording, err := d.call.Completed(ctx)
	if err != nil {
		return nil, err
	}
	downloaded := sha256.New()
	if recording.GetState() == recorderv1.RecordingState_RECORDING_STATE_AVAILABLE {
		if _, err := d.client.Download(ctx, recording.GetRecordingId(), downloaded, recorder.DownloadOptions{}); err != nil {
			return nil, err
		}
	}
	return &result{
		State:            recording.GetState().String(),
		StopReason:       recording.GetStopReason().String(),
		Frames:           recording.GetFile().GetFrames(),
		SHA256:           recording.GetFile().GetSha256(),
		DownloadedSHA256: hex.EncodeToString(downloaded.Sum(nil)),
		Plays:            <-plays,
		Events:           d.events,
	}, nil
}

func (d *driver) do(ctx context.Context, name string, arguments json.RawMessage) error {
	if name == "ask" {
		return d.ask(arguments)
	}
	var step step
	if err := json.Unmarshal(arguments, &step); err != nil {
		return err
	}
	var at []recorder.ControlOption
	if step.Frame != nil {
		at = append(at, recorder.At(*step.Frame))
	}
	switch name {
	case "write":
		return d.write(ctx, step.ToMs)
	case "dtmf":
		return d.call.DTMF(ctx, step.LegID, step.Digit, at...)
	case "pause":
		return d.call.Pause(ctx, recorderv1.PauseMode(recorderv1.PauseMode_value[step.Mode]), at...)
	case "resume":
		return d.call.Resume(ctx, at...)
	case "stop":
		return d.call.Stop(ctx, at...)
	case "close":
		return d.call.Close(ctx, at...)
	case "completed":
		_, err := d.call.Completed(ctx)
		return err
	case "events":
		return d.follow(ctx, step.First)
	default:
		return fmt.Errorf("unknown step")
	}
}

func (d *driver) write(ctx context.Context, toMs int) error {
	for ; d.writtenMs < toMs; d.writtenMs += pieceMs {
		payloads := make(map[string][]byte, len(d.audio))
		for legID, audio := range d.audio {
			payloads[legID] = audio[d.writtenMs*bytesPerMs : min(d.writtenMs+pieceMs, toMs)*bytesPerMs]
		}
		if err := d.call.Write(ctx, payloads); err != nil {
			return err
		}
	}
	return nil
}

func (d *driver) ask(what json.RawMessage) error {
	if err := json.NewEncoder(os.Stdout).Encode(map[string]json.RawMessage{"ask": what}); err != nil {
		return err
	}
	_, err := d.stdin.ReadString('\n')
	return err
}

func (d *driver) countPlays(ctx context.Context) int {
	plays := 0
	for message, err := range d.call.Events(ctx) {
		if err == nil && message.GetPlay() != nil {
			plays++
		}
	}
	return plays
}

// follow reads the recording's events in two subscriptions.
func (d *driver) follow(ctx context.Context, first int) error {
	request := &recorderv1.SubscribeEventsRequest{
		RecordingId: d.call.RecordingID(),
		Begin:       &recorderv1.SubscribeEventsRequest_FromOldest{FromOldest: true},
	}
	feed := d.client.Subscribe(request, recorder.SubscribeOptions{})
	for event, err := range feed.Events(ctx) {
		if err != nil {
			return err
		}
		if d.events = append(d.events, event.GetType().String()); len(d.events) == first {
			break
		}
	}
	request.Begin = &recorderv1.SubscribeEventsRequest_Cursor{Cursor: feed.Cursor()}
	for event, err := range d.client.Subscribe(request, recorder.SubscribeOptions{}).Events(ctx) {
		if err != nil {
			return err
		}
		d.events = append(d.events, event.GetType().String())
		if event.GetType() == recorderv1.EventType_EVENT_TYPE_RECORDING_COMPLETED {
			break
		}
	}
	return nil
}
