// Command conformance does one scenario of tests/clients/scenarios.json over the public interface of the client, as
// tests/clients/README.md describes.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	rpccode "google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/recorder-project/recorder/clients/go/recorder"
	recorderv1 "github.com/recorder-project/recorder/clients/go/recorder/v1"
)

type settings struct {
	target, key, application, audio, recordingID, scenario string
}

func main() {
	var given settings
	flag.StringVar(&given.target, "target", "", "HOST:PORT of the server")
	flag.StringVar(&given.key, "key", "", "file of the application's private key, PEM")
	flag.StringVar(&given.application, "application", "", "id of the application")
	flag.StringVar(&given.audio, "audio", "", "folder with LEG_ID.raw: 16 kHz, 16 bit, little-endian, mono")
	flag.StringVar(&given.recordingID, "recording-id", "", "id of the recording to make")
	flag.StringVar(&given.scenario, "scenario", "", "file of the scenario")
	flag.Parse()
	line, err := outcome(context.Background(), given)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(line)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type result struct {
	State            string   `json:"state"`
	StopReason       string   `json:"stopReason"`
	Frames           int64    `json:"frames"`
	SHA256           string   `json:"sha256"`
	DownloadedSHA256 string   `json:"downloadedSha256"`
	Plays            int      `json:"plays"`
	Events           []string `json:"events"`
}

type refusal struct {
	Reason    string `json:"reason"`
	Status    string `json:"status"`
	Retryable bool   `json:"retryable"`
}

// outcome gives the last line: what was recorded, or the typed error that the client gave.
func outcome(ctx context.Context, given settings) (map[string]any, error) {
	made, err := record(ctx, given)
	var failure *recorder.Error
	switch {
	case errors.As(err, &failure):
		status := rpccode.Code(failure.Status).String()
		return map[string]any{"error": refusal{failure.Reason, status, failure.Retryable}}, nil
	case err != nil:
		return nil, err
	default:
		return map[string]any{"result": made}, nil
	}
}

func record(ctx context.Context, given settings) (*result, error) {
	scenario, err := readScenario(given.scenario)
	if err != nil {
		return nil, err
	}
	start := &recorderv1.StartCall{}
	if err := protojson.Unmarshal(scenario.Start, start); err != nil {
		return nil, err
	}
	start.RecordingId = given.recordingID
	client, err := connect(given)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	call, err := client.RecordCall(ctx, start, recorder.CallOptions{})
	if err != nil {
		return nil, err
	}
	defer call.Abandon()
	audio := make(map[string][]byte)
	for _, leg := range start.GetLegs() {
		if audio[leg.GetLegId()], err = os.ReadFile(filepath.Join(given.audio, leg.GetLegId()+".raw")); err != nil {
			return nil, err
		}
	}
	driver := &driver{client: client, call: call, audio: audio, stdin: bufio.NewReader(os.Stdin)}
	return driver.run(ctx, scenario.Steps)
}

func connect(given settings) (*recorder.Client, error) {
	key, err := os.ReadFile(given.key)
	if err != nil {
		return nil, err
	}
	tokens, err := recorder.ApplicationTokens(given.application, key)
	if err != nil {
		return nil, err
	}
	return recorder.Connect(given.target, recorder.Config{Token: tokens})
}
