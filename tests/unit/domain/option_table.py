"""The record options as published, written down once more: what a service has to accept and what to refuse."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

Fault = tuple[str, str]
"""Name of the field at fault, and the reason it is refused with."""

URLS = ("http://a.example/event", "https://example.com:8443/e?x=1#y", "http://[2001:db8::1]/", "http://127.0.0.1:9")
NO_URLS = (
    "",
    "example.com/event",
    "ftp://example.com/",
    "http://",
    "https://user:pw@example.com/",
    "http://a b.example/",
    "http://example.com:0/",
    "http://example.com:99999/",
    "http://example.com:" + "9" * 5000,
    "http://[::1/",
    "http://example.com/\n",
    "https://example.com/" + "x" * 2048,
    "javascript:alert(1)",
)
LIMITS = {"endOnSilence": (3, 10), "timeOut": (3, 7200), "channels": (1, 32)}
KEYS = "0123456789*#"


@dataclass(slots=True)
class Verdict:
    """What the table says of one object: the values it means, or everything that is wrong with it."""

    values: dict[str, Any] = field(default_factory=dict)
    faults: set[Fault] = field(default_factory=set)

    @property
    def accepted(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults


def judge(action: Mapping[str, Any]) -> Verdict:
    """Say what the table says of an NCCO `record` action."""
    verdict = Verdict()
    given = {key: value for key, value in action.items() if value is not None}
    if "action" in given and given["action"] != "record":
        verdict.faults.add(("action", "INVALID_OPTION"))
    for name, read in _FIELDS.items():
        if name not in given:
            continue
        try:
            verdict.values[name] = read(name, given[name])
        except _Wrong as wrong:
            verdict.faults |= wrong.faults
    _judge_together(given, verdict)
    return verdict


def _judge_together(given: Mapping[str, Any], verdict: Verdict) -> None:
    channels = verdict.values.get("channels")
    if "channels" in given and "split" not in given:
        verdict.faults.add(("channels", "INVALID_OPTION"))
    if verdict.values.get("format") == "mp3" and isinstance(channels, int) and channels > 2:
        verdict.faults.add(("format", "UNSUPPORTED_FORMAT"))


class _Wrong(Exception):
    def __init__(self, name: str, reason: str = "INVALID_OPTION") -> None:
        super().__init__(name)
        self.faults: set[Fault] = {(name, reason)}


def _number(name: str, value: Any) -> int:
    low, high = LIMITS[name]
    if isinstance(value, str):
        text = value.strip()
        if not text or set(text) - set("0123456789"):
            raise _Wrong(name)
        value = int(text)
    if isinstance(value, bool) or not isinstance(value, int | float) or int(value) != value:
        raise _Wrong(name)
    if not low <= value <= high:
        raise _Wrong(name)
    return int(value)


def _flag(name: str, value: Any) -> bool:
    spelled = {"true": True, "false": False}
    if isinstance(value, str) and value.lower() in spelled:
        return spelled[value.lower()]
    if not isinstance(value, bool):
        raise _Wrong(name)
    return value


def _format(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _Wrong(name)
    if value not in {"mp3", "wav"}:
        raise _Wrong(name, "UNSUPPORTED_FORMAT")
    return value


def _split(name: str, value: Any) -> bool:
    if value != "conversation":
        raise _Wrong(name)
    return True


def _key(name: str, value: Any) -> str:
    text = (
        str(int(value)) if isinstance(value, int | float) and not isinstance(value, bool) and value % 1 == 0 else value
    )
    if not isinstance(text, str) or len(text) != 1 or text not in KEYS:
        raise _Wrong(name)
    return text


def _url(name: str, value: Any) -> str:
    if not isinstance(value, list) or len(value) != 1 or value[0] not in URLS:
        raise _Wrong(name, "INVALID_URL")
    return str(value[0])


def _method(name: str, value: Any) -> str:
    if not isinstance(value, str) or value.upper() not in {"GET", "POST"}:
        raise _Wrong(name)
    return value.upper()


def _transcription(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Wrong(name)
    read: dict[str, Any] = {"language": "", "eventUrl": "", "eventMethod": "POST", "sentimentAnalysis": False}
    parts: dict[str, Callable[[str, Any], Any]] = {
        "language": _text,
        "eventUrl": _url,
        "eventMethod": _method,
        "sentimentAnalysis": _flag,
    }
    faults: set[Fault] = set()
    for key, reader in parts.items():
        if value.get(key) is None:
            continue
        try:
            read[key] = reader(f"{name}.{key}", value[key])
        except _Wrong as wrong:
            faults |= wrong.faults
    if faults:
        several = _Wrong(name)
        several.faults = faults
        raise several
    return read


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _Wrong(name)
    return value


_FIELDS: dict[str, Callable[[str, Any], Any]] = {
    "format": _format,
    "split": _split,
    "channels": _number,
    "endOnSilence": _number,
    "endOnKey": _key,
    "timeOut": _number,
    "beepStart": _flag,
    "eventUrl": _url,
    "eventMethod": _method,
    "transcription": _transcription,
}


def _around(low: int, high: int) -> st.SearchStrategy[Any]:
    """Numbers in, at and beyond the edges of a range, in all the spellings that are sent."""
    whole = st.one_of(st.integers(low, high), st.sampled_from([low - 1, low, high, high + 1, 0, -1, 10**25]))
    spelled = st.one_of(whole, whole.map(float), whole.map(str), whole.map(lambda n: f" {n} "))
    return _mostly(spelled, st.sampled_from([low + 0.5, "", "three", "3.0", "٣", " " * 20 + "x", True, [], {}, [5]]))


def _mostly(good: st.SearchStrategy[Any], bad: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(good, good, good, st.none(), bad)


_flags = _mostly(st.sampled_from([True, False, "true", "false", "True", "FALSE"]), st.sampled_from([1, "yes", "", []]))
_urls = _mostly(
    st.sampled_from(URLS).map(lambda url: [url]),
    st.one_of(st.sampled_from(NO_URLS).map(lambda url: [url]), st.sampled_from(["http://a/", [], [*URLS[:2]], [3], 7])),
)
_methods = _mostly(st.sampled_from(["GET", "POST", "get", "Post"]), st.sampled_from(["PUT", "", 5, ["GET"]]))
_keys = _mostly(
    st.sampled_from([*KEYS, 0, 5, 9.0]), st.sampled_from(["", "##", "12", "A", "a", "+", 10, 5.5, -1, True])
)
_transcriptions = _mostly(
    st.fixed_dictionaries(
        {},
        optional={
            "language": _mostly(st.sampled_from(["en-US", ""]), st.just(7)),
            "eventUrl": _urls,
            "eventMethod": _methods,
            "sentimentAnalysis": _flags,
        },
    ),
    st.sampled_from([True, "en-US", []]),
)
_known: dict[str, st.SearchStrategy[Any]] = {
    "action": _mostly(st.just("record"), st.sampled_from(["talk", "", 3])),
    "format": _mostly(st.sampled_from(["mp3", "wav"]), st.sampled_from(["ogg", "flac", "", 3])),
    "split": _mostly(st.just("conversation"), st.sampled_from(["", "none", "Conversation", True])),
    "channels": _around(*LIMITS["channels"]),
    "endOnSilence": _around(*LIMITS["endOnSilence"]),
    "endOnKey": _keys,
    "timeOut": _around(*LIMITS["timeOut"]),
    "beepStart": _flags,
    "eventUrl": _urls,
    "eventMethod": _methods,
    "transcription": _transcriptions,
}
actions: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.fixed_dictionaries({}, optional=_known),
    # Most of a whole object is refused for something: small ones reach the rules that come late.
    st.lists(st.sampled_from(sorted(_known)), max_size=3, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: _known[name] for name in names})
    ),
    st.fixed_dictionaries(
        {"split": st.just("conversation"), "channels": _around(1, 32)}, optional={"format": _known["format"]}
    ),
)
