"""Text that a client gives must be one that every database can keep.

PostgreSQL keeps no NUL in a text (its documentation, 8.3 "Character Types"), and many a program ends a text there. So
it is refused at the door, whichever database is behind it.
"""

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from recorder_service.errors import BadInput, Reason

_NUL = "\0"


def check_text(message: Message) -> None:
    """Refuse a message that holds a NUL character in any of its texts, however deep.

    Raises:
        BadInput: INVALID_FIELD, with the field's path.
    """
    for path, text in _texts(message, ""):
        if _NUL in text:
            said = f"{path} holds a NUL character (U+0000), which no text may: leave it out"
            raise BadInput(Reason.INVALID_FIELD, said, field=path, value=ascii(text))


def _texts(message: Message, path: str) -> Iterator[tuple[str, str]]:
    for field, value in message.ListFields():
        yield from _of_field(field, value, f"{path}.{field.name}" if path else field.name)


def _of_field(field: FieldDescriptor, value: Any, path: str) -> Iterator[tuple[str, str]]:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        for key in value:
            yield path, str(key)
            yield from _of_value(value[key], f"{path}[{key!a}]")
    elif isinstance(value, str | bytes | int | float | Message):
        yield from _of_value(value, path)
    else:
        for index, item in enumerate(value):
            yield from _of_value(item, f"{path}[{index}]")


def _of_value(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Message):
        yield from _texts(value, path)
