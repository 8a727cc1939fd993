"""What an encoder gives when its audio ends."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finished:
    """The last bytes of an encoded file.

    Attributes:
        tail: Bytes to append after everything `encode` gave; may be empty.
        header: Bytes to write over the file's first ones (offset 0); exactly as long as the encoder's placeholder.
    """

    tail: bytes
    header: bytes
