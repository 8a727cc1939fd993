"""`recorder check`: record a short call on a running server, download it and compare it with what was sent."""

import asyncio
import math
import struct
import time
import wave
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import typer

from recorder_service.cli.failures import CommandFailed, wrong_usage
from recorder_service.cli.session import Session, run, session_of

if TYPE_CHECKING:
    from recorder.channel import Client
    from recorder.v1.recording_pb2 import Recording

_RATE_HZ = 16_000
_LENGTH_S = 2
_TONE_HZ = 440
_AMPLITUDE = 8_000
_NCCO = {"action": "record", "format": "wav"}


def check(
    context: typer.Context,
    *,
    record_to: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Send the call there, where --server takes none.")
    ] = None,
    timeout_s: Annotated[float, typer.Option(min=1, help="Longest time for everything, s.")] = 60,
) -> None:
    """Record two seconds on the server, download them, compare, and remove them again.

    With the admin token it makes an application for that and removes it; with --application and --key it uses that
    one. Prints one line of JSON; the exit code is 1 if anything failed.
    """
    from recorder_service.cli.output import print_json

    print_json(run(_check(session_of(context), record_to, timeout_s)))


async def _check(session: Session, record_to: str | None, timeout_s: float) -> dict[str, Any]:
    from recorder.channel import connect

    tls = session.tls()
    try:
        async with (
            asyncio.timeout(timeout_s),
            _token(session) as token,
            connect(session.server, token=token, tls=tls) as reader,
            connect(record_to or session.server, token=token, tls=tls) as caller,
        ):
            return await _record_and_compare(caller, reader)
    except TimeoutError:
        raise CommandFailed(
            f"the check took longer than {timeout_s:g} s",
            reason="DEADLINE_EXCEEDED",
            hint="look at the server's log, or give it more with --timeout-s",
            retryable=True,
        ) from None


@asynccontextmanager
async def _token(session: Session) -> "AsyncIterator[Callable[[], str]]":
    """Give who acts for an application: the one that was named, or one made for the check."""
    from recorder.tokens import application_token
    from recorder.v1.application_pb2 import Application
    from recorder.v1.application_service_pb2 import CreateApplicationRequest, DeleteApplicationRequest

    if session.token is not None or session.key_file is not None:
        yield session.token_supplier()
        return
    if session.application_id is not None:
        raise wrong_usage("--application needs its key", "add --key FILE, or leave --application out")
    async with session.connect(as_admin=True) as admin:
        request = CreateApplicationRequest(application=Application(name=f"check {uuid4()}"))
        made = await admin.unary(admin.applications.CreateApplication, request)
        identifier, key = made.application.application_id, made.private_key_pem
        try:
            yield lambda: application_token(identifier, key)
        finally:
            await admin.unary(admin.applications.DeleteApplication, DeleteApplicationRequest(application_id=identifier))


async def _record_and_compare(caller: "Client", reader: "Client") -> dict[str, Any]:
    from recorder.v1.recording_pb2 import RECORDING_STATE_AVAILABLE, RecordingState

    sent = _tone()
    recording, available_s = await _call(caller, sent)
    if recording.state != RECORDING_STATE_AVAILABLE:
        state = RecordingState.Name(recording.state).removeprefix("RECORDING_STATE_").lower()
        raise CommandFailed(f"the recording ended as {state}: {recording.failure}", hint="look at the server's log")
    try:
        began_s = time.monotonic()
        received = await _download(reader, recording.recording_id)
        download_s = time.monotonic() - began_s
        _compare(sent, received)
    finally:
        await _remove(reader, recording.recording_id)
    return {
        "recording_id": recording.recording_id,
        "duration_ms": recording.file.duration.ToMilliseconds(),
        "size_bytes": recording.file.size_bytes,
        "identical": True,
        "available_after_hangup_ms": round(available_s * 1000),
        "download_ms": round(download_s * 1000),
    }


async def _call(client: "Client", samples: bytes) -> "tuple[Recording, float]":
    """Record the samples as fast as the server takes them; give the recording and how long it took after hang-up."""
    from recorder.v1.recorder_service_pb2 import StartCall
    from recorder.v1.recording_pb2 import AUDIO_ENCODING_LINEAR16, LEG_ROLE_CALLER, Leg

    leg = Leg(leg_id="caller", role=LEG_ROLE_CALLER, encoding=AUDIO_ENCODING_LINEAR16, sample_rate_hz=_RATE_HZ)
    start = StartCall(legs=[leg], metadata={"check": "yes"})
    start.ncco.update(_NCCO)
    async with client.record_call(start) as call:
        await call.write({"caller": samples})
        await call.close(len(samples) // 2)
        hung_up_s = time.monotonic()
        recording = await call.completed()
    return recording, time.monotonic() - hung_up_s


async def _download(client: "Client", recording_id: str) -> bytes:
    """Fetch the file, checked against its size and hash, and return its samples."""
    from pathlib import Path

    from recorder_service.cli.downloads import download_over_grpc

    with TemporaryDirectory() as directory:
        path = Path(directory) / "check.wav"
        await download_over_grpc(client, recording_id, path)
        with wave.open(str(path)) as file:
            samples: bytes = file.readframes(file.getnframes())
    return samples


async def _remove(client: "Client", recording_id: str) -> None:
    from recorder.v1.recording_service_pb2 import DeleteRecordingRequest

    await client.unary(client.recordings.DeleteRecording, DeleteRecordingRequest(recording_id=recording_id))


def _compare(sent: bytes, received: bytes) -> None:
    """Raise unless every sample came back as it was sent: one leg at the file's own rate is kept bit for bit."""
    if sent == received:
        return
    common = min(len(sent), len(received))
    first = next((index for index in range(common) if sent[index] != received[index]), common) // 2
    raise CommandFailed(
        f"the download has {len(received) // 2} frames, {len(sent) // 2} were sent, and they differ from frame {first}",
        reason="DAMAGED",
        hint="look at the server's log",
    )


def _tone() -> bytes:
    """Two seconds of a tone that grows louder, so that no part of it is like another; 16 bit, little-endian."""
    frames = _LENGTH_S * _RATE_HZ
    return struct.pack(
        f"<{frames}h",
        *(
            round(_AMPLITUDE * index / frames * math.sin(2 * math.pi * _TONE_HZ * index / _RATE_HZ))
            for index in range(frames)
        ),
    )
