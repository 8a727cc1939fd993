package recorder

import (
	"encoding/json"
	"testing"
)

// An action is written as Vonage spells it, without what was not set.
func TestRecordActionIsSpeltAsInAnNCCO(t *testing.T) {
	text, err := json.Marshal(RecordAction{EndOnSilence: 3, EndOnKey: "#", BeepStart: true, EventURL: []string{"https://example.com/e"}})
	want := `{"action":"record","endOnSilence":3,"endOnKey":"#","beepStart":true,"eventUrl":["https://example.com/e"]}`
	if err != nil || string(text) != want {
		t.Errorf("%s, %v", text, err)
	}
	if got := (RecordAction{EndOnSilence: 3}).Start().Ncco.GetFields()["endOnSilence"].GetNumberValue(); got != 3 {
		t.Errorf("endOnSilence is sent as %v", got)
	}
}

// The record action is found in a whole NCCO, and its spellings are left as they are.
func TestParseNCCOFindsTheAction(t *testing.T) {
	found, err := ParseNCCO([]byte(`[{"action":"talk","text":"hi"},{"action":"record","timeOut":"60"}]`))
	if err != nil || found.Ncco.GetFields()["timeOut"].GetStringValue() != "60" {
		t.Errorf("%v, %v", found, err)
	}
	for _, text := range []string{`[]`, `{"action":"talk"}`, `7`, `[{"action":"record"},{"action":"record"}]`} {
		if found, err := ParseNCCO([]byte(text)); err == nil {
			t.Errorf("%s gave %v", text, found)
		}
	}
}
