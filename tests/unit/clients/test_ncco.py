"""Record actions and the start of a call."""

import pytest
from google.protobuf import json_format

from recorder.ncco import callee, caller, find_record_action, record_action, start_call
from recorder.v1.recording_pb2 import AUDIO_ENCODING_ALAW, LEG_ROLE_CALLEE


def test_every_field_has_its_spelling() -> None:
    """The keys are those of the NCCO reference."""
    action = record_action(
        file_format="wav",
        split=True,
        channels=2,
        end_on_silence_s=3,
        end_on_key="#",
        time_out_s=60,
        beep_start=True,
        event_url="https://example.com/events",
        event_method="GET",
        transcription={"language": "en-US"},
    )
    assert action == {
        "action": "record",
        "format": "wav",
        "split": "conversation",
        "channels": 2,
        "endOnSilence": 3,
        "endOnKey": "#",
        "timeOut": 60,
        "beepStart": True,
        "eventUrl": ["https://example.com/events"],
        "eventMethod": "GET",
        "transcription": {"language": "en-US"},
    }


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"file_format": "ogg"}, "file_format is 'ogg'"),
        ({"channels": 33, "split": True}, "channels is 33"),
        ({"channels": 2}, "channels is 2 but needs split=True"),
        ({"end_on_silence_s": 2}, "end_on_silence_s is 2"),
        ({"end_on_key": "A"}, "end_on_key is 'A'"),
        ({"end_on_key": "12"}, "end_on_key is '12'"),
        ({"time_out_s": 7201}, "time_out_s is 7201"),
        ({"event_method": "PUT"}, "event_method is 'PUT'"),
    ],
)
def test_what_the_server_would_refuse_is_refused_here(fields: dict[str, object], message: str) -> None:
    """The text names the argument and its value."""
    with pytest.raises(ValueError, match=message):
        record_action(**fields)  # type: ignore[arg-type] # one of them at a time


def test_first_record_action_is_found() -> None:
    """An NCCO without one gives None."""
    assert find_record_action([{"action": "talk"}]) is None
    actions = [{"action": "talk"}, {"action": "record", "format": "wav"}, {"action": "record"}]
    assert find_record_action(actions) == {"action": "record", "format": "wav"}


def test_start_holds_legs_action_and_labels() -> None:
    """The action is handed over as it is."""
    start = start_call([caller(), callee("alaw", 8000)], {"action": "record", "beepStart": "true"}, metadata={"a": "b"})
    assert json_format.MessageToDict(start.ncco) == {"action": "record", "beepStart": "true"}
    assert (start.legs[1].role, start.legs[1].encoding) == (LEG_ROLE_CALLEE, AUDIO_ENCODING_ALAW)
    assert dict(start.metadata) == {"a": "b"}


def test_unknown_encoding_is_refused() -> None:
    """The message lists what there is."""
    with pytest.raises(ValueError, match="encoding is 'opus' but must be one of linear16, mulaw, alaw"):
        caller("opus")
