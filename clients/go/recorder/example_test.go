package recorder_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"

	"github.com/recorder-project/recorder/clients/go/recorder"
	recorderv1 "github.com/recorder-project/recorder/clients/go/recorder/v1"
)

type packet struct {
	timestamp int64
	payload   []byte
}

// Five lines record a call, once there is a client.
func ExampleClient_RecordCall() {
	record := func(ctx context.Context, client *recorder.Client, packets <-chan packet) (*recorderv1.Recording, error) {
		leg := &recorderv1.Leg{
			LegId: "caller", Role: recorderv1.LegRole_LEG_ROLE_CALLER,
			Encoding: recorderv1.AudioEncoding_AUDIO_ENCODING_MULAW, SampleRateHz: 8000,
		}
		start := &recorderv1.StartCall{Legs: []*recorderv1.Leg{leg}, Options: recorder.RecordAction{EndOnSilence: 3}.Start()}
		call, err := client.RecordCall(ctx, start, recorder.CallOptions{})
		if err != nil {
			return nil, err
		}
		defer call.Abandon()
		for packet := range packets {
			frames := map[string]int64{"caller": packet.timestamp}
			if err := call.WriteAt(ctx, map[string][]byte{"caller": packet.payload}, frames); err != nil {
				return nil, err
			}
		}
		if err := call.Close(ctx); err != nil {
			return nil, err
		}
		return call.Completed(ctx)
	}
	_ = record
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
	follow := func(ctx context.Context, client *recorder.Client) {
		feed := client.Subscribe(nil, recorder.SubscribeOptions{})
		for event, err := range feed.Events(ctx) {
			if err != nil {
				log.Printf("ended at %s: %v", feed.Cursor(), err)
				return
			}
			log.Print(event.GetType(), " ", event.GetRecording().GetRecordingId())
		}
	}
	_ = follow
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
