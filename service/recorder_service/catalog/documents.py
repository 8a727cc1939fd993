"""Domain values to JSON text and back.

The shape follows the fields of the values: names are keys, enums their values, times microseconds, bytes base64. A key
that is missing takes the field's default and one that is unknown is passed over, so documents of older and of slightly
newer versions can be read. A None whose field defaults to None is left out.
"""

import base64
import collections.abc
import dataclasses
import enum
import functools
import json
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from recorder_service.catalog.times import from_microseconds, to_microseconds
from recorder_service.domain.recording import Recording
from recorder_service.errors import Damaged, Reason

T = TypeVar("T")

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class _Codec:
    """How values of one type become JSON values and back."""

    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]


def dump(value: Any) -> str:
    """Write a domain value as JSON text."""
    kind: Any = type(value)
    return _text(_codec(kind).encode(value))


def load(kind: type[T], text: str) -> T:
    """Read what `dump` wrote of a value of the type `kind`.

    Raises:
        Damaged: The text is not such a value.
    """
    return typing.cast("T", _decode(kind, _parse(kind, text)))


def dump_recording(recording: Recording) -> str:
    """Write a recording without `event_count`, which has a column of its own: the database counts it."""
    document = _codec(Recording).encode(recording)
    del document["event_count"]
    return _text(document)


def load_recording(text: str, event_count: int) -> Recording:
    """Read what `dump_recording` wrote.

    Raises:
        Damaged: The text is not a recording.
    """
    recording: Recording = _decode(Recording, {**_parse(Recording, text), "event_count": event_count})
    return recording


def _text(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def _parse(kind: type[object], text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise _damaged(kind, "is not JSON") from error
    if not isinstance(document, dict):
        raise _damaged(kind, "is not an object")
    return document


def _decode(kind: Any, document: dict[str, Any]) -> Any:
    try:
        return _codec(kind).decode(document)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        # The cause may hold a stored value: only its type is told.
        raise _damaged(kind, f"does not fit ({type(error).__name__})") from None


def _damaged(kind: type[object], fault: str) -> Damaged:
    return Damaged(Reason.DAMAGED, f"a stored {kind.__name__} {fault}; restore the catalog from its backup")


_PLAIN = _Codec(lambda value: value, lambda value: value)

_SIMPLE: dict[object, _Codec] = {
    str: _PLAIN,
    int: _PLAIN,
    bool: _PLAIN,
    UUID: _Codec(str, UUID),
    datetime: _Codec(to_microseconds, from_microseconds),
    timedelta: _Codec(lambda value: value // _MICROSECOND, lambda value: timedelta(microseconds=value)),
    bytes: _Codec(lambda value: base64.b64encode(value).decode("ascii"), base64.b64decode),
}


@functools.cache
def _codec(kind: Any) -> _Codec:
    if kind in _SIMPLE:
        return _SIMPLE[kind]
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return _Codec(lambda value: value.value, kind)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _object_codec(kind)
    return _generic_codec(kind)


def _generic_codec(kind: Any) -> _Codec:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in {types.UnionType, typing.Union} and len(arguments) == 2 and arguments[1] is types.NoneType:
        inner = _codec(arguments[0])
        return _Codec(
            lambda value: None if value is None else inner.encode(value),
            lambda value: None if value is None else inner.decode(value),
        )
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        item = _codec(arguments[0])
        return _Codec(
            lambda value: [item.encode(entry) for entry in value],
            lambda value: tuple(item.decode(entry) for entry in value),
        )
    if origin is collections.abc.Mapping and arguments == (str, str):
        return _Codec(dict, dict)
    raise TypeError(f"documents cannot hold {kind}; teach documents.py how")


def _object_codec(kind: type[Any]) -> _Codec:
    hints = typing.get_type_hints(kind)
    fields = tuple((field.name, _codec(hints[field.name]), field.default is None) for field in dataclasses.fields(kind))

    def encode(value: Any) -> dict[str, Any]:
        document = {}
        for name, codec, optional in fields:
            part = getattr(value, name)
            if part is not None or not optional:
                document[name] = codec.encode(part)
        return document

    def decode(document: dict[str, Any]) -> Any:
        return kind(**{name: codec.decode(document[name]) for name, codec, _ in fields if name in document})

    return _Codec(encode, decode)
