package recorder

import (
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/types/known/structpb"

	recorderv1 "github.com/recorder-project/recorder/clients/go/recorder/v1"
)

const recordActionName = "record"

// RecordAction is the NCCO `record` action. Fields left at zero are not sent: the server's defaults are those of Vonage.
type RecordAction struct {
	// Format is mp3 or wav.
	Format string `json:"format,omitempty"`
	// Split is conversation, or empty for everybody in one channel.
	Split string `json:"split,omitempty"`
	// Channels is 1 to 32; needs Split.
	Channels int `json:"channels,omitempty"`
	// EndOnSilence ends the recording after so many seconds of silence, 3 to 10.
	EndOnSilence int `json:"endOnSilence,omitempty"`
	// EndOnKey ends the recording on a key: 0-9, * or #.
	EndOnKey string `json:"endOnKey,omitempty"`
	// TimeOut ends the recording after so many seconds, 3 to 7200.
	TimeOut int `json:"timeOut,omitempty"`
	// BeepStart beeps when the recording begins.
	BeepStart bool `json:"beepStart,omitempty"`
	// EventURL is where the record event goes.
	EventURL []string `json:"eventUrl,omitempty"`
	// EventMethod is POST or GET.
	EventMethod string `json:"eventMethod,omitempty"`
	// Transcription is kept and echoed by the server.
	Transcription *TranscriptionSettings `json:"transcription,omitempty"`
}

// TranscriptionSettings are those of the action's `transcription` object.
type TranscriptionSettings struct {
	// Language is a BCP-47 tag.
	Language string `json:"language,omitempty"`
	// EventURL is where the transcription event shall go.
	EventURL []string `json:"eventUrl,omitempty"`
	// EventMethod is POST or GET.
	EventMethod string `json:"eventMethod,omitempty"`
	// SentimentAnalysis asks for sentiment to be scored.
	SentimentAnalysis bool `json:"sentimentAnalysis,omitempty"`
}

// MarshalJSON writes the action as it stands in an NCCO.
func (a RecordAction) MarshalJSON() ([]byte, error) {
	type fields RecordAction // without this method
	return json.Marshal(struct {
		Action string `json:"action"`
		fields
	}{recordActionName, fields(a)})
}

// Start gives the action as what recorderv1.StartCall.Options takes.
func (a RecordAction) Start() *recorderv1.StartCall_Ncco {
	// A value of these fields can always be written.
	text, _ := json.Marshal(a)
	options, _ := ParseNCCO(text)
	return options
}

// ParseNCCO finds the one `record` action in JSON, which holds that action or a whole NCCO, and gives it, as it is
// spelt, as what recorderv1.StartCall.Options takes.
func ParseNCCO(text []byte) (*recorderv1.StartCall_Ncco, error) {
	var actions []map[string]any
	if err := json.Unmarshal(text, &actions); err != nil {
		var action map[string]any
		if err := json.Unmarshal(text, &action); err != nil {
			return nil, fmt.Errorf("an NCCO is a JSON array of actions, or one action: %w", err)
		}
		actions = []map[string]any{action}
	}
	var found []map[string]any
	for _, action := range actions {
		if action["action"] == recordActionName {
			found = append(found, action)
		}
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("the NCCO has %d actions named record, not one", len(found))
	}
	options, err := structpb.NewStruct(found[0])
	if err != nil {
		return nil, fmt.Errorf("the record action cannot be sent: %w", err)
	}
	return &recorderv1.StartCall_Ncco{Ncco: options}, nil
}
