// Command record records WAV files, one a party, as a call would be, and prints the recording.
//
//	record --target 127.0.0.1:50051 --application ID --key private.pem caller.wav [callee.wav]
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/recorder-project/recorder/clients/go/recorder"
	recorderv1 "github.com/recorder-project/recorder/clients/go/recorder/v1"
)

const packetMs = 20

func main() {
	target := flag.String("target", "127.0.0.1:50051", "HOST:PORT of the server")
	application := flag.String("application", "", "id of the application")
	keyPath := flag.String("key", "private.pem", "file of its private key")
	realTime := flag.Bool("real-time", false, "send as a telephone line would, 20 ms at a time")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	recording, err := record(ctx, *target, *application, *keyPath, flag.Args(), *realTime)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(protojson.Format(recording))
}

func record(
	ctx context.Context, target, application, keyPath string, paths []string, realTime bool,
) (*recorderv1.Recording, error) {
	key, err := os.ReadFile(keyPath)
	if err != nil {
		return nil, err
	}
	tokens, err := recorder.ApplicationTokens(application, key)
	if err != nil {
		return nil, err
	}
	client, err := recorder.Connect(target, recorder.Config{Token: tokens})
	if err != nil {
		return nil, err
	}
	defer client.Close()

	legs, audio, err := readLegs(paths)
	if err != nil {
		return nil, err
	}
	call, err := client.RecordCall(ctx, &recorderv1.StartCall{Legs: legs}, recorder.CallOptions{})
	if err != nil {
		return nil, err
	}
	defer call.Abandon()
	if err := send(ctx, call, audio, realTime); err != nil {
		return nil, err
	}
	if err := call.Close(ctx); err != nil {
		return nil, err
	}
	return call.Completed(ctx)
}

func readLegs(paths []string) ([]*recorderv1.Leg, map[string]*recorder.WAVAudio, error) {
	names := []string{"caller", "callee"}
	roles := []recorderv1.LegRole{recorderv1.LegRole_LEG_ROLE_CALLER, recorderv1.LegRole_LEG_ROLE_CALLEE}
	if len(paths) < 1 || len(paths) > len(names) {
		return nil, nil, fmt.Errorf("give the caller's WAV file, and the callee's if there is one, not %d files", len(paths))
	}
	var legs []*recorderv1.Leg
	audio := make(map[string]*recorder.WAVAudio)
	for at, path := range paths {
		wav, err := recorder.ReadWAV(path)
		if err != nil {
			return nil, nil, err
		}
		legs = append(legs, wav.Leg(names[at], roles[at]))
		audio[names[at]] = wav
	}
	return legs, audio, nil
}

// send writes all legs side by side until the longest has ended, or the recording has.
func send(ctx context.Context, call *recorder.Call, audio map[string]*recorder.WAVAudio, realTime bool) error {
	begin := time.Now()
	for sentMs := 0; call.Stopped() == nil; sentMs += packetMs {
		packets := make(map[string][]byte)
		for legID, wav := range audio {
			if from := wav.Bytes(sentMs); from < len(wav.Payload) {
				packets[legID] = wav.Payload[from:min(wav.Bytes(sentMs+packetMs), len(wav.Payload))]
			}
		}
		if len(packets) == 0 {
			return nil
		}
		if err := call.Write(ctx, packets); err != nil {
			return err
		}
		if realTime {
			time.Sleep(time.Until(begin.Add(time.Duration(sentMs+packetMs) * time.Millisecond)))
		}
	}
	return nil
}
