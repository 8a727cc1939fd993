"""The plan of a recording's file, and how whoever carries it out is spoken to: here, or in another process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from recorder_service.audio.finished import Finished
from recorder_service.audio.steps import Step

Write = Callable[[bytes], None]
"""Takes the next bytes of a file."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a recording is to become.

    Attributes:
        channels: Of the file.
        limit_frame: Recording frame at which it ends at the latest.
        bitrate_kbps: Of the MP3 file; None makes a WAV file.
        quality: LAME's.
        silence_s: Silence that ends it; None for none.
        beeps: Whether it begins with a beep.
    """

    channels: int
    limit_frame: int
    bitrate_kbps: int | None = None
    quality: int = 0
    silence_s: int | None = None
    beeps: bool = False


class Progress(NamedTuple):
    """How far a rendition has come; a tuple, because one is sent for every second of every call.

    Attributes:
        end_frame: Recording frame up to which everything was given; where it ended, once it `ended`.
        output_frames: Frames given so far: `end_frame` without the cuts.
        ended: Whether it ended: by a rule of the recording, or because it was finished.
        silent_frame: Where silence ended it; None while it has not.
        silence_deadline_frame: Where silence will end it if nobody speaks before; None without that rule.
        encoder_s: Time spent in the encoder since the beginning.
    """

    end_frame: int = 0
    output_frames: int = 0
    ended: bool = False
    silent_frame: int | None = None
    silence_deadline_frame: int | None = None
    encoder_s: float = 0.0


class Rendering(Protocol):
    """Turns steps into the bytes of a file, here or elsewhere."""

    @property
    def progress(self) -> Progress:
        """How far it had come when it was begun."""

    @property
    def host(self) -> "Host | None":
        """What renders it; None: it does so itself."""

    def take(self, steps: Sequence[Step], write: Write) -> Progress:
        """Do the next steps and write what they make ready. Blocks."""

    def finish(self, steps: Sequence[Step], end_frame: int, write: Write) -> tuple[Finished, Progress]:
        """Do the last steps, write everything up to the end and return what the file still lacks. Blocks."""

    def release(self) -> None:
        """Give it up: nothing is asked of it any more."""


@dataclass(frozen=True, slots=True)
class Take:
    """Steps to be done for one rendering, and where the bytes go."""

    rendering: Rendering
    steps: Sequence[Step]
    write: Write


class Host(Protocol):
    """Renders for many recordings, one after the other; asked for several at once it costs less."""

    def take(self, takes: Sequence[Take]) -> Sequence[Progress | Exception]:
        """Do steps of some of its renderings, and return what came of each. Blocks."""
