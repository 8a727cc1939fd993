"""Names of stored files: which strings are keys."""

import re

from recorder_service.errors import BadInput, Reason

MAX_KEY_LENGTH = 512
# A part starts with a letter or a digit: neither `..` nor a hidden name can be one, on any kind of store.
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}(?:/[A-Za-z0-9][A-Za-z0-9._-]{0,127}){0,15}", re.ASCII)


def checked_key(key: str) -> str:
    """Return `key` if it is a plain relative path of letters, digits, dots, dashes and underscores.

    Raises:
        BadInput: INVALID_FIELD. It cannot leave the store's directory, name a hidden file or need quoting anywhere.
    """
    if len(key) > MAX_KEY_LENGTH or _KEY.fullmatch(key) is None:
        raise BadInput(
            Reason.INVALID_FIELD,
            f"object key must be 1 to 16 parts of A-Z a-z 0-9 . _ - joined by '/', each starting with a letter or a "
            f"digit, {MAX_KEY_LENGTH} characters at most",
            field="object_key",
            value=key,
        )
    return key
