"""Messages of the contract as JSON for people and scripts."""

import base64
from collections.abc import Iterable, Sequence
from typing import Any, cast

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

_UNSPECIFIED = "_UNSPECIFIED"


def to_json(message: Message) -> dict[str, Any]:
    """Give a message as JSON values under the proto's own field names.

    Unlike the protobuf JSON mapping, integers of 64 bits are numbers, enum values lose their prefix (`AVAILABLE`), and
    fields without presence are there even when they are zero.
    """
    fields = cast("Sequence[FieldDescriptor]", message.DESCRIPTOR.fields)
    return {field.name: _field(message, field) for field in fields if _is_shown(message, field)}


def enum_value(descriptor: EnumDescriptor, short_name: str) -> int | None:
    """Give the number of a value by its name without prefix, in any case; None where there is none but UNSPECIFIED."""
    name = f"{_prefix(descriptor)}{short_name.strip().replace('-', '_').upper()}"
    value = descriptor.values_by_name.get(name)
    return value.number if value is not None and value.number else None


def short_names(descriptor: EnumDescriptor) -> list[str]:
    """Give the names of an enum's values without prefix, except UNSPECIFIED."""
    return [_short_name(descriptor, value.number) for value in descriptor.values if value.number]


def _is_shown(message: Message, field: FieldDescriptor) -> bool:
    return not field.has_presence or message.HasField(field.name)


def _field(message: Message, field: FieldDescriptor) -> Any:
    value = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return dict(sorted(value.items()))
    if field.is_repeated:
        return _repeated(field, value)
    return _single(field, value)


def _repeated(field: FieldDescriptor, values: Iterable[Any]) -> list[Any]:
    return [_single(field, value) for value in values]


def _single(field: FieldDescriptor, value: Any) -> Any:
    if isinstance(value, Timestamp | Duration):
        return value.ToJsonString()
    if isinstance(value, Struct):
        return dict(value)
    if isinstance(value, Message):
        return to_json(value)
    if field.enum_type is not None:
        return _short_name(field.enum_type, value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value


def _short_name(descriptor: EnumDescriptor, number: int) -> str:
    known = descriptor.values_by_number.get(number)
    return str(number) if known is None else known.name.removeprefix(_prefix(descriptor))


def _prefix(descriptor: EnumDescriptor) -> str:
    return descriptor.values[0].name.removesuffix(_UNSPECIFIED) + "_"
