"""The demonstration's course: a call of two voices is recorded, told of, fetched and checked."""

import asyncio
import json
import sys
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recorder.channel import Client, connect
from recorder.tokens import application_token
from recorder.v1.application_pb2 import Application
from recorder.v1.application_service_pb2 import CreateApplicationRequest, CreateApplicationResponse
from recorder.v1.event_pb2 import EVENT_TYPE_RECORDING_COMPLETED, EVENT_TYPE_WEBHOOK_DELIVERED, EventType
from recorder.v1.recorder_service_pb2 import StartCall
from recorder.v1.recording_pb2 import RECORDING_STATE_AVAILABLE, Recording
from recorder.webhooks import WebhookRejected, verify_webhook
from recorder_service.cli.call_player import Script, play
from recorder_service.cli.demo.mp3_length import measure
from recorder_service.cli.demo.server_process import ServerFailed, running_server
from recorder_service.cli.demo.webhook_receiver import STATUS, Received, WebhookReceiver, receiving
from recorder_service.cli.downloads import download_over_http
from recorder_service.cli.message_json import to_json
from recorder_service.cli.record import announced, read_legs

VOICES = Path(__file__).parent / "voices"
_NCCO = {"action": "record", "split": "conversation", "format": "mp3"}
_TOTAL_S = 120.0
_WEBHOOK_S = 15.0
_EVENTS_S = 15.0
_LAST_EVENTS = {EVENT_TYPE_RECORDING_COMPLETED, EVENT_TYPE_WEBHOOK_DELIVERED}


class DemoFailed(Exception):
    """A check did not pass; the message says which."""


@dataclass(slots=True)
class Feed:
    """The events seen so far, by the names of their types."""

    types: list[str] = field(default_factory=list)
    subscribed: asyncio.Event = field(default_factory=asyncio.Event)
    complete: asyncio.Event = field(default_factory=asyncio.Event)


async def demonstrate(out: Path) -> dict[str, Any]:
    """Run the demonstration and give its facts.

    Args:
        out: Folder that the recording and the server's log are kept in.

    Raises:
        DemoFailed: If a check did not pass.
        RecorderError: If the server refused something.
    """
    try:
        async with asyncio.timeout(_TOTAL_S), receiving() as receiver, running_server(out / "server.log") as server:
            _tell(f"serving on {server.target} after {server.start_s:.2f} s")
            async with connect(server.target, token=server.admin_token) as admin:
                application = await _make_application(admin, receiver.url)
            return await _record(server.target, application, receiver, out)
    except TimeoutError:
        raise DemoFailed(f"it took longer than {_TOTAL_S:.0f} s") from None
    except ServerFailed as error:
        raise DemoFailed(str(error)) from None


async def _make_application(admin: Client, event_url: str) -> CreateApplicationResponse:
    request = CreateApplicationRequest(application=Application(name="Demonstration", event_url=event_url))
    made = await admin.unary(admin.applications.CreateApplication, request)
    _tell(f"made application {made.application.application_id}; its webhooks go to {event_url}")
    return made


async def _record(
    target: str, application: CreateApplicationResponse, receiver: WebhookReceiver, out: Path
) -> dict[str, Any]:
    def token() -> str:
        return application_token(application.application.application_id, application.private_key_pem)

    async with connect(target, token=token) as client, _events(client) as feed:
        script = Script(read_legs(VOICES / "caller.wav", VOICES / "callee.wav", None))
        recording, hung_up_s = await _call(client, script)
        webhook = await _webhook(receiver, application, recording)
        path = out / f"{recording.recording_id}.mp3"
        await _fetch(recording, token(), path)
        _check_length(path, script, recording)
        await _all_events(feed)
    file = recording.file
    return {
        "recording_uuid": recording.recording_id,
        "recording_url": file.url,
        "file": str(path),
        "format": to_json(file)["format"].lower(),
        "channels": file.channels,
        "duration_ms": file.duration.ToMilliseconds(),
        "size_bytes": file.size_bytes,
        "sha256": file.sha256,
        "webhook": {
            "status": STATUS,
            "signature_verified": True,
            "after_hangup_ms": round((webhook.time_s - hung_up_s) * 1000),
        },
        "events": feed.types,
    }


async def _call(client: Client, script: Script) -> tuple[Recording, float]:
    """Record the script in real time; give the recording and the moment of hang-up."""
    start = StartCall(legs=announced(dict(script.legs)), metadata={"demo": "yes"})
    start.ncco.update(_NCCO)
    _tell(f"recording {script.length_ms / 1000:.1f} s of conversation in real time")
    sent_s = deque[float](maxlen=1)
    async with client.record_call(start) as call:
        await play(call, script, asyncio.Event(), lambda _: sent_s.append(time.monotonic()))
        recording = await call.completed()
    if recording.state != RECORDING_STATE_AVAILABLE:
        raise DemoFailed(f"the recording ended as {to_json(recording)['state']}: {recording.failure}")
    # Hang-up follows the last audio at once.
    return recording, sent_s[0]


async def _webhook(receiver: WebhookReceiver, application: CreateApplicationResponse, recording: Recording) -> Received:
    try:
        async with asyncio.timeout(_WEBHOOK_S):
            webhook = await receiver.next()
    except TimeoutError:
        raise DemoFailed(f"no webhook came within {_WEBHOOK_S:.0f} s") from None
    try:
        verify_webhook(
            authorization=webhook.authorization,
            secret=application.signature_secret,
            body=webhook.body,
            api_key=application.application.api_key,
        )
    except WebhookRejected as error:
        raise DemoFailed(str(error)) from None
    told = json.loads(webhook.body)
    _equal("recording_uuid of the webhook", told["recording_uuid"], recording.recording_id)
    _equal("recording_url of the webhook", told["recording_url"], recording.file.url)
    _equal("size of the webhook", told["size"], recording.file.size_bytes)
    _tell(f"webhook arrived, signature verified: {webhook.body.decode()}")
    return webhook


async def _fetch(recording: Recording, token: str, path: Path) -> None:
    file = recording.file
    await asyncio.to_thread(download_over_http, file.url, token, path, size_bytes=file.size_bytes, sha256=file.sha256)
    _tell(f"downloaded {file.url}: {file.size_bytes} bytes, hash as told")


def _check_length(path: Path, script: Script, recording: Recording) -> None:
    length = measure(path.read_bytes())
    _equal("frames of the file", length.frames, script.end_frame)
    _equal("frames of the recording", recording.file.frames, script.end_frame)
    _equal("channels of the file", length.channels, recording.file.channels)
    _equal("duration in ms", recording.file.duration.ToMilliseconds(), script.length_ms)


async def _all_events(feed: Feed) -> None:
    try:
        async with asyncio.timeout(_EVENTS_S):
            await feed.complete.wait()
    except TimeoutError:
        raise DemoFailed(f"of the events only {', '.join(feed.types)} came within {_EVENTS_S:.0f} s") from None


@asynccontextmanager
async def _events(client: Client) -> AsyncIterator[Feed]:
    """Follow the feed while the block runs; what happens within it is not missed."""
    feed = Feed()
    task = asyncio.create_task(_follow(client, feed))
    waiting = asyncio.create_task(feed.subscribed.wait())
    try:
        await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        yield feed
    finally:
        for unfinished in (task, waiting):
            unfinished.cancel()
        await asyncio.gather(task, waiting, return_exceptions=True)


async def _follow(client: Client, feed: Feed) -> None:
    missing = set(_LAST_EVENTS)
    async for event in client.subscribe(on_subscribed=feed.subscribed.set):
        name = EventType.Name(event.type).removeprefix("EVENT_TYPE_")
        feed.types.append(name)
        _tell(f"event {name} at {event.time.ToJsonString()}")
        missing.discard(event.type)
        if not missing:
            feed.complete.set()


def _equal(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise DemoFailed(f"{what}: {found}, expected {expected}")


def _tell(line: str) -> None:
    sys.stderr.write(f"demo: {line}\n")
