package recorder_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"

	"github.com/recorder-project/recorder/clients/go/recorder"
	recorderv1 "github.com/recorder-project/recorder/clients/go/recorder/v1"
)

// Records what a telephone line gives, from the application's key to the finished file.
func ExampleClient_RecordCall() {
	ctx := context.Background()
	key, err := os.ReadFile("private.pem")
	if err != nil {
		log.Fatal(err)
	}
	tokens, err := recorder.ApplicationTokens("2c4f0e1a-6d9e-4a5b-9f0e-9b8a1c2d3e4f", key)
	if err != nil {
		log.Fatal(err)
	}
	client, err := recorder.Connect("127.0.0.1:50051", recorder.Config{Token: tokens})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	leg := &recorderv1.Leg{
		LegId: "caller", Role: recorderv1.LegRole_LEG_ROLE_CALLER,
		Encoding: recorderv1.AudioEncoding_AUDIO_ENCODING_MULAW, SampleRateHz: 8000,
	}
	start := &recorderv1.StartCall{Legs: []*recorderv1.Leg{leg}, Options: recorder.RecordAction{EndOnSilence: 3}.Start()}
	call, err := client.RecordCall(ctx, start, recorder.CallOptions{})
	if err != nil {
		log.Panic(err)
	}
	defer call.Abandon()
	packet := make([]byte, 160)
	for call.Stopped() == nil {
		if _, err := io.ReadFull(os.Stdin, packet); err != nil {
			break
		}
		if err := call.Write(ctx, map[string][]byte{"caller": packet}); err != nil {
			log.Panic(err)
		}
	}
	if err := call.Close(ctx); err != nil {
		log.Panic(err)
	}
	recording, err := call.Completed(ctx)
	log.Println(recording.GetFile().GetUrl(), err)
}

// Refusals have a reason, facts, and say whether a retry helps.
func ExampleError() {
	err := fmt.Errorf("cannot record: %w", &recorder.Error{
		Reason: "TOO_MANY_RECORDINGS", Message: "1 recording runs", Retryable: true,
	})
	var refusal *recorder.Error
	if errors.As(err, &refusal) {
		fmt.Println(refusal.Reason, refusal.Retryable)
	}
	// Output: TOO_MANY_RECORDINGS true
}

// An action is written as it stands in an NCCO.
func ExampleRecordAction() {
	text, err := json.Marshal(recorder.RecordAction{Format: "wav", Split: "conversation", EndOnKey: "#"})
	fmt.Println(string(text), err)
	// Output: {"action":"record","format":"wav","split":"conversation","endOnKey":"#"} <nil>
}

// Events are kept track of by their cursor.
func ExampleClient_Subscribe() {
	client, err := recorder.Connect("127.0.0.1:50051", recorder.Config{Token: recorder.StaticToken("...")})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	feed := client.Subscribe(nil, recorder.SubscribeOptions{})
	for event, err := range feed.Events(context.Background()) {
		if err != nil {
			log.Printf("ended at %s: %v", feed.Cursor(), err)
			return
		}
		log.Print(event.GetType(), " ", event.GetRecording().GetRecordingId())
	}
}

// A webhook is only believed once its signature and its content were checked.
func ExampleWebhookVerifier() {
	verifier := recorder.WebhookVerifier{Secret: "the application's signature secret"}
	http.HandleFunc("/events", func(answer http.ResponseWriter, request *http.Request) {
		webhook, err := verifier.VerifyRequest(request)
		if err != nil {
			http.Error(answer, "unauthorized", http.StatusUnauthorized)
			return
		}
		log.Printf("%s: %s", webhook.DeliveryID, webhook.Body)
	})
}
