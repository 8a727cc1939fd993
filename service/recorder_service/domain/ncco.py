"""The NCCO `record` action as JSON, with the spellings that published SDKs really send."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from recorder_service.domain.options import FileFormat, HttpMethod, RecordOptions, Transcription, check_options
from recorder_service.errors import BadInput, Reason

T = TypeVar("T")

_MAX_WARNINGS = 16

_KEYS = frozenset(
    {
        "action",
        "format",
        "split",
        "channels",
        "endOnSilence",
        "endOnKey",
        "timeOut",
        "beepStart",
        "eventUrl",
        "eventMethod",
        "transcription",
    }
)
_TRANSCRIPTION_KEYS = frozenset({"language", "eventUrl", "eventMethod", "sentimentAnalysis"})


@dataclass(frozen=True, slots=True)
class RecordAction:
    """A parsed action.

    Attributes:
        options: The checked options.
        warnings: What was accepted but ignored, for people.
    """

    options: RecordOptions
    warnings: tuple[str, ...]


def parse_record_action(action: Mapping[str, object], field: str = "ncco") -> RecordAction:
    """Read a `record` action.

    Numbers may come as strings of digits, booleans as "true" and "false" (the PHP, .NET and Node SDKs send them so);
    a number must be whole; null is the same as absent. Unknown keys are ignored with a warning.

    Args:
        action: The JSON object as Python values.
        field: Path of the object in the request, for errors.

    Raises:
        BadInput: A value has the wrong type or is out of its range; names field, value and range.
    """
    given = {key: value for key, value in action.items() if value is not None}
    if given.get("action", "record") != "record":
        raise _invalid(f"{field}.action", given["action"], 'must be "record"')
    read = _Reader(given, field)
    options = RecordOptions(
        format=read.value("format", _format),
        split=read.value("split", _split) or False,
        channels=read.value("channels", _integer),
        end_on_silence_s=read.value("endOnSilence", _integer),
        end_on_key=read.value("endOnKey", _key),
        time_out_s=read.value("timeOut", _integer),
        beep_start=read.value("beepStart", _boolean) or False,
        event_url=read.value("eventUrl", _url) or "",
        event_method=read.value("eventMethod", _method) or HttpMethod.POST,
        transcription=read.value("transcription", _transcription),
    )
    unknown = sorted({*(set(action) - _KEYS), *_unknown_transcription_keys(given.get("transcription"))})
    warnings = tuple(
        f"{field}.{key[:64]} is not a key of the record action and was ignored" for key in unknown[:_MAX_WARNINGS]
    )
    return RecordAction(check_options(options, field), warnings)


def _unknown_transcription_keys(transcription: object) -> list[str]:
    if not isinstance(transcription, Mapping):
        return []
    return [f"transcription.{key}" for key in transcription if key not in _TRANSCRIPTION_KEYS]


class _Reader:
    """Reads keys of one JSON object, naming the key in errors."""

    def __init__(self, values: Mapping[str, object], field: str) -> None:
        self._values = values
        self._field = field

    def value(self, key: str, convert: Callable[[object, str], T]) -> T | None:
        if key not in self._values:
            return None
        return convert(self._values[key], f"{self._field}.{key}")


def _invalid(field: str, value: object, rule: str, reason: Reason = Reason.INVALID_OPTION) -> BadInput:
    return BadInput(reason, f"{field} {rule}, not {str(value)[:40]!r}", field=field, value=value)


def _integer(value: object, field: str) -> int:
    if isinstance(value, str) and value.isascii() and value.strip().isdigit():
        # More digits than any range has; the rest of an endless number is not read.
        return int(value.strip()[:20])
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value // 1:
        raise _invalid(field, value, "must be a whole number")
    return int(value)


def _boolean(value: object, field: str) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    raise _invalid(field, value, "must be true or false")


def _string(value: object, field: str) -> str:
    if not isinstance(value, str):
        raise _invalid(field, value, "must be a string")
    return value


def _format(value: object, field: str) -> FileFormat:
    try:
        return FileFormat(_string(value, field))
    except ValueError:
        raise _invalid(field, value, "must be mp3 or wav", Reason.UNSUPPORTED_FORMAT) from None


def _split(value: object, field: str) -> bool:
    if value != "conversation":
        raise _invalid(field, value, 'must be "conversation" or left out')
    return True


def _key(value: object, field: str) -> str:
    # A key may be a card digit: it is never repeated in an error.
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise BadInput(
            Reason.INVALID_OPTION,
            f"{field} must be one of 0-9, * and #",
            field=field,
            value="(not shown)",
            allowed="0-9*#",
        )
    return value if isinstance(value, str) else f"{value:g}"


def _url(value: object, field: str) -> str:
    if not isinstance(value, (list, tuple)) or len(value) != 1 or not isinstance(value[0], str) or not value[0]:
        raise _invalid(field, value, "must be an array of one URL", Reason.INVALID_URL)
    return value[0]


def _method(value: object, field: str) -> HttpMethod:
    try:
        return HttpMethod(_string(value, field).upper())
    except ValueError:
        raise _invalid(field, value, "must be GET or POST") from None


def _transcription(value: object, field: str) -> Transcription:
    if not isinstance(value, Mapping):
        raise _invalid(field, value, "must be an object")
    read = _Reader(
        {str(key): item for key, item in value.items() if item is not None and key in _TRANSCRIPTION_KEYS}, field
    )
    return Transcription(
        language=read.value("language", _string) or "",
        event_url=read.value("eventUrl", _url) or "",
        event_method=read.value("eventMethod", _method) or HttpMethod.POST,
        sentiment_analysis=read.value("sentimentAnalysis", _boolean) or False,
    )
