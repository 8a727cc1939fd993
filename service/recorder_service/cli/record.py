"""`recorder record`: record a call whose legs are WAV files."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recorder_service.cli.failures import CommandFailed, wrong_usage
from recorder_service.cli.session import run, session_of

if TYPE_CHECKING:
    from recorder.v1.recorder_service_pb2 import StartCall
    from recorder.v1.recording_pb2 import Leg
    from recorder.wav import WavAudio
    from recorder_service.cli.call_player import KeyPress

_KEYS = frozenset("0123456789*#ABCD")


def record(
    context: typer.Context,
    *,
    caller: Annotated[Path, typer.Option(help="WAV file of the caller: mono, PCM or G.711.")],
    callee: Annotated[Path | None, typer.Option(help="WAV file of the other party.")] = None,
    ncco: Annotated[
        str | None, typer.Option(help="The NCCO record action as JSON, or @FILE that holds it. Default: all defaults.")
    ] = None,
    conversation: Annotated[str, typer.Option(help="Conversation id, CON- and a UUID; default: a new one.")] = "",
    recording_id: Annotated[str, typer.Option(help="Id of the recording, a UUID; default: a new one.")] = "",
    dtmf: Annotated[
        list[str] | None, typer.Option(metavar="S:KEY", help="Key press of the caller, as 12.5:#; may be repeated.")
    ] = None,
    speed: Annotated[str, typer.Option(help="realtime, max, or a factor such as 4.")] = "realtime",
    audio_per_message: Annotated[int, typer.Option(min=1, max=5000, help="Media time in one message, ms.")] = 100,
    encoding: Annotated[
        str | None, typer.Option(help="Send as linear16, mulaw or alaw; default: as the file is.")
    ] = None,
    metadata: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="Label; may be repeated.")] = None,
    mp3_bitrate_kbps: Annotated[int | None, typer.Option(help="Bit rate of the MP3 file.")] = None,
    mp3_quality: Annotated[int | None, typer.Option(min=0, max=9, help="LAME quality, 0 best to 9 fastest.")] = None,
) -> None:
    """Record a call and print the recording as one line of JSON. Ctrl-C hangs up."""
    from recorder.v1.recorder_service_pb2 import StartCall
    from recorder_service.cli.call_player import Script
    from recorder_service.cli.message_json import to_json
    from recorder_service.cli.output import print_json
    from recorder_service.cli.recording_run import record_script

    session = session_of(context)
    legs = read_legs(caller, callee, encoding)
    start = StartCall(
        recording_id=recording_id,
        conversation_id=conversation,
        application_id=session.application_id or "",
        legs=announced(legs),
        metadata=_labels(metadata or []),
    )
    if ncco is not None:
        start.ncco.update(record_action(ncco))
    _set_encoder(start, mp3_bitrate_kbps, mp3_quality)
    keys = [_key_press(text) for text in dtmf or []]
    script = Script(legs, keys, message_ms=audio_per_message, speed=_factor(speed))
    recording = run(record_script(session, start, script))
    print_json(to_json(recording))
    if recording.failure:
        raise CommandFailed(f"recording {recording.recording_id} failed: {recording.failure}", hint="")


def read_legs(caller: Path, callee: Path | None, encoding: str | None) -> "dict[str, WavAudio]":
    """Read the legs' files, re-encoded where asked for.

    Raises:
        CommandFailed: If a file cannot be used; the message says what to do.
    """
    from recorder.wav import ENCODINGS, UnreadableWav, read_wav

    if encoding is not None and encoding not in ENCODINGS:
        raise wrong_usage(f"--encoding is {encoding}", f"give one of {', '.join(ENCODINGS)}")
    legs: dict[str, WavAudio] = {}
    for leg_id, path in (("caller", caller), ("callee", callee)):
        if path is None:
            continue
        try:
            audio = read_wav(path)
        except UnreadableWav as error:
            raise wrong_usage(str(error)) from None
        except OSError as error:
            raise wrong_usage(f"cannot read {path}: {error.strerror}", f"give a WAV file with --{leg_id}") from None
        legs[leg_id] = audio if encoding is None else audio.encoded(encoding)
    return legs


def announced(legs: "dict[str, WavAudio]") -> "list[Leg]":
    """Describe the legs to the server: the first is the caller."""
    from recorder.v1.recording_pb2 import LEG_ROLE_CALLEE, LEG_ROLE_CALLER, AudioEncoding, Leg

    return [
        Leg(
            leg_id=leg_id,
            role=LEG_ROLE_CALLEE if number else LEG_ROLE_CALLER,
            encoding=AudioEncoding.Value(f"AUDIO_ENCODING_{audio.encoding.upper()}"),
            sample_rate_hz=audio.sample_rate_hz,
        )
        for number, (leg_id, audio) in enumerate(legs.items())
    ]


def record_action(text: str) -> dict[str, Any]:
    """Read a record action from JSON or from the file after `@`; of a whole NCCO, take its record action.

    Raises:
        CommandFailed: If there is none.
    """
    try:
        found = json.loads(Path(text[1:]).read_text() if text.startswith("@") else text)
    except OSError as error:
        raise wrong_usage(f"cannot read {text[1:]}: {error.strerror}", "give --ncco JSON or --ncco @FILE") from None
    except ValueError as error:
        raise wrong_usage(f"--ncco is not JSON: {error}", """write it as --ncco '{"action":"record"}'""") from None
    if isinstance(found, list):
        actions = [action for action in found if isinstance(action, dict) and action.get("action") == "record"]
        found = actions[0] if actions else None
    if not isinstance(found, dict):
        raise wrong_usage("--ncco holds no record action", """write it as --ncco '{"action":"record"}'""")
    return found


def _labels(pairs: list[str]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise wrong_usage(f"--metadata is {pair}", "write it as --metadata KEY=VALUE")
        labels[key] = value
    return labels


def _set_encoder(start: "StartCall", bitrate_kbps: int | None, quality: int | None) -> None:
    if bitrate_kbps is not None:
        start.encoder.mp3_bitrate_kbps = bitrate_kbps
    if quality is not None:
        start.encoder.mp3_quality = quality


def _key_press(text: str) -> "KeyPress":
    from recorder_service.cli.call_player import KeyPress

    time, _, digit = text.partition(":")
    try:
        at_ms = round(float(time) * 1000)
    except ValueError:
        at_ms = -1
    if at_ms < 0 or digit not in _KEYS:
        raise wrong_usage(f"--dtmf is {text}", "write seconds and a key of 0-9, *, #, as --dtmf 12.5:#")
    return KeyPress(at_ms, digit)


def _factor(speed: str) -> float | None:
    if speed == "max":
        return None
    try:
        factor = 1.0 if speed == "realtime" else float(speed)
    except ValueError:
        factor = 0.0
    if not 0 < factor < float("inf"):
        raise wrong_usage(f"--speed is {speed}", "give realtime, max, or a factor such as 4")
    return factor
