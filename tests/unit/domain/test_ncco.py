"""The NCCO `record` action, field by field as published."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from tests.unit.domain.option_table import LIMITS, NO_URLS, URLS, actions, judge

from recorder_service.domain.ncco import parse_record_action
from recorder_service.domain.options import FileFormat, HttpMethod, RecordOptions, Transcription
from recorder_service.errors import BadInput, Reason

CASES: list[tuple[dict[str, Any], RecordOptions]] = [
    ({}, RecordOptions()),
    ({"action": "record"}, RecordOptions()),
    ({"action": None, "format": None, "endOnKey": None}, RecordOptions()),
    ({"format": "mp3"}, RecordOptions(format=FileFormat.MP3)),
    ({"format": "wav"}, RecordOptions(format=FileFormat.WAV)),
    ({"split": "conversation"}, RecordOptions(split=True)),
    ({"split": "conversation", "channels": 1}, RecordOptions(split=True, channels=1)),
    ({"split": "conversation", "channels": "2"}, RecordOptions(split=True, channels=2)),
    ({"split": "conversation", "channels": 32.0}, RecordOptions(split=True, channels=32)),
    ({"endOnSilence": 3}, RecordOptions(end_on_silence_s=3)),
    ({"endOnSilence": "3"}, RecordOptions(end_on_silence_s=3)),
    ({"endOnSilence": 3.0}, RecordOptions(end_on_silence_s=3)),
    ({"endOnSilence": " " * 20 + "10"}, RecordOptions(end_on_silence_s=10)),
    ({"endOnKey": "#"}, RecordOptions(end_on_key="#")),
    ({"endOnKey": "*"}, RecordOptions(end_on_key="*")),
    ({"endOnKey": 7}, RecordOptions(end_on_key="7")),
    ({"endOnKey": 0.0}, RecordOptions(end_on_key="0")),
    ({"timeOut": "60"}, RecordOptions(time_out_s=60)),
    ({"timeOut": 7200}, RecordOptions(time_out_s=7200)),
    ({"beepStart": True}, RecordOptions(beep_start=True)),
    ({"beepStart": "true"}, RecordOptions(beep_start=True)),
    ({"beepStart": "false"}, RecordOptions(beep_start=False)),
    ({"eventUrl": ["https://example.com/e"]}, RecordOptions(event_url="https://example.com/e")),
    ({"eventMethod": "get"}, RecordOptions(event_method=HttpMethod.GET)),
    ({"transcription": {}}, RecordOptions(transcription=Transcription())),
    (
        {
            "transcription": {
                "language": "en-US",
                "eventUrl": ["https://example.com/t"],
                "eventMethod": "GET",
                "sentimentAnalysis": "true",
            }
        },
        RecordOptions(transcription=Transcription("en-US", "https://example.com/t", HttpMethod.GET, True)),
    ),
]


@pytest.mark.parametrize(("action", "options"), CASES, ids=[str(case[0]) for case in CASES])
def test_action_means_what_the_table_says(action: dict[str, Any], options: RecordOptions) -> None:
    """Every field, with its default and the spellings that SDKs really send."""
    parsed = parse_record_action(action)
    assert parsed.options == options
    assert parsed.warnings == ()


@pytest.mark.parametrize(
    ("action", "field", "reason"),
    [
        ({"action": "talk"}, "action", Reason.INVALID_OPTION),
        ({"format": "ogg"}, "format", Reason.UNSUPPORTED_FORMAT),
        ({"format": "flac"}, "format", Reason.UNSUPPORTED_FORMAT),
        ({"format": 3}, "format", Reason.INVALID_OPTION),
        ({"format": "mp3", "split": "conversation", "channels": 3}, "format", Reason.UNSUPPORTED_FORMAT),
        ({"split": "none"}, "split", Reason.INVALID_OPTION),
        ({"split": True}, "split", Reason.INVALID_OPTION),
        ({"channels": 2}, "channels", Reason.INVALID_OPTION),
        ({"beepStart": "yes"}, "beepStart", Reason.INVALID_OPTION),
        ({"beepStart": 1}, "beepStart", Reason.INVALID_OPTION),
        ({"endOnKey": "12"}, "endOnKey", Reason.INVALID_OPTION),
        ({"endOnKey": "A"}, "endOnKey", Reason.INVALID_OPTION),
        ({"endOnKey": ""}, "endOnKey", Reason.INVALID_OPTION),
        ({"endOnKey": 10}, "endOnKey", Reason.INVALID_OPTION),
        ({"endOnKey": True}, "endOnKey", Reason.INVALID_OPTION),
        ({"eventUrl": "https://example.com/"}, "eventUrl", Reason.INVALID_URL),
        ({"eventUrl": []}, "eventUrl", Reason.INVALID_URL),
        ({"eventUrl": [URLS[0], URLS[1]]}, "eventUrl", Reason.INVALID_URL),
        ({"eventMethod": "PUT"}, "eventMethod", Reason.INVALID_OPTION),
        ({"transcription": True}, "transcription", Reason.INVALID_OPTION),
        ({"transcription": {"language": 1}}, "transcription.language", Reason.INVALID_OPTION),
        ({"transcription": {"eventUrl": ["x"]}}, "transcription.eventUrl", Reason.INVALID_URL),
        ({"transcription": {"sentimentAnalysis": 2}}, "transcription.sentimentAnalysis", Reason.INVALID_OPTION),
    ],
)
def test_value_that_the_table_forbids_is_refused(action: dict[str, Any], field: str, reason: Reason) -> None:
    """The refusal names the field by its path."""
    with pytest.raises(BadInput) as refused:
        parse_record_action(action, "here")
    assert refused.value.reason is reason
    assert refused.value.details["field"] == f"here.{field}"
    assert f"here.{field}" in refused.value.message


@pytest.mark.parametrize("url", NO_URLS)
def test_event_url_that_is_none_is_refused_in_few_words(url: str) -> None:
    """However long the URL is, the message stays short."""
    with pytest.raises(BadInput) as refused:
        parse_record_action({"eventUrl": [url]})
    assert refused.value.reason is Reason.INVALID_URL
    assert len(refused.value.message) < 400


@pytest.mark.parametrize("name", sorted(LIMITS))
def test_number_beyond_its_range_is_refused_with_the_range(name: str) -> None:
    """One below and one above: field, value and range are told."""
    low, high = LIMITS[name]
    for value in (low - 1, high + 1):
        with pytest.raises(BadInput) as refused:
            parse_record_action({"split": "conversation", name: value}, "ncco")
        assert refused.value.details == {"field": f"ncco.{name}", "value": str(value), "allowed": f"{low}..{high}"}
        assert f"{low} to {high}" in refused.value.message


@pytest.mark.parametrize("name", sorted(LIMITS))
def test_ends_of_a_range_are_within_it(name: str) -> None:
    """Ranges are inclusive."""
    for value in LIMITS[name]:
        parse_record_action({"split": "conversation", name: value})


@pytest.mark.parametrize("value", [3.5, "3.0", "three", "", "٣", True, [], {}, float("nan"), float("inf")])
def test_number_that_is_not_whole_is_refused(value: object) -> None:
    """Seconds are whole."""
    with pytest.raises(BadInput) as refused:
        parse_record_action({"timeOut": value})
    assert refused.value.details["field"] == "ncco.timeOut"


def test_unknown_keys_are_ignored_with_a_warning_each() -> None:
    """Sorted, so that the same action gives the same warnings."""
    parsed = parse_record_action({"zebra": 1, "Format": "wav", "k" * 100: None})
    assert parsed.options == RecordOptions()
    assert [warning.partition(" ")[0] for warning in parsed.warnings] == [
        "ncco.Format",
        "ncco." + "k" * 64,
        "ncco.zebra",
    ]


def test_refused_key_is_never_repeated() -> None:
    """It may be a digit of a card."""
    with pytest.raises(BadInput) as refused:
        parse_record_action({"endOnKey": "4711"})
    assert "4711" not in f"{refused.value.message}{refused.value.details}"
    assert refused.value.details["allowed"] == "0-9*#"


@given(action=actions)
@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_random_actions_are_taken_or_refused_as_the_table_says(action: dict[str, Any]) -> None:
    """1000 objects: the same verdict as the table, and every value as it means it."""
    verdict = judge(action)
    try:
        options = parse_record_action(action, "ncco").options
    except BadInput as refused:
        told = refused.details["field"].removeprefix("ncco."), refused.reason.name
        assert told in verdict.faults, f"{refused.message} but the table says {verdict}"  # noqa: PT017
        return
    assert verdict.accepted, f"{action} was taken but the table says {verdict.faults}"
    assert _as_json(options) == verdict.values | {
        name: default for name, default in _DEFAULTS.items() if name not in verdict.values
    }


_DEFAULTS = {
    "format": None,
    "split": False,
    "channels": None,
    "endOnSilence": None,
    "endOnKey": None,
    "timeOut": None,
    "beepStart": False,
    "eventUrl": "",
    "eventMethod": "POST",
    "transcription": None,
}


def _as_json(options: RecordOptions) -> dict[str, Any]:
    return {
        "format": options.format and options.format.value,
        "split": options.split,
        "channels": options.channels,
        "endOnSilence": options.end_on_silence_s,
        "endOnKey": options.end_on_key,
        "timeOut": options.time_out_s,
        "beepStart": options.beep_start,
        "eventUrl": options.event_url,
        "eventMethod": options.event_method.value,
        "transcription": None if options.transcription is None else _transcription_json(options.transcription),
    }


def _transcription_json(transcription: Transcription) -> dict[str, Any]:
    return {
        "language": transcription.language,
        "eventUrl": transcription.event_url,
        "eventMethod": transcription.event_method.value,
        "sentimentAnalysis": transcription.sentiment_analysis,
    }
