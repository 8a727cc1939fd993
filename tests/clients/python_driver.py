"""The Python client's driver: one scenario through its public interface, as tests/clients/README.md describes it."""

import argparse
import asyncio
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from recorder.calls import Call
from recorder.channel import Client, connect
from recorder.errors import RecorderError
from recorder.tokens import application_token
from recorder.v1.event_pb2 import EVENT_TYPE_RECORDING_COMPLETED, Event, EventType
from recorder.v1.event_service_pb2 import SubscribeEventsRequest
from recorder.v1.recorder_service_pb2 import StartCall
from recorder.v1.recording_pb2 import PauseMode, RecordingState, StopReason

_STEP_MS = 20
_FRAME_BYTES = 2


def _say(message: Mapping[str, object]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


class Driver:
    """Does a scenario's steps on one call.

    Args:
        client: Connected.
        call: Entered.
        legs: The legs of the call, as the scenario spells them.
        audio_dir: One file a leg.
    """

    def __init__(self, client: Client, call: Call, legs: Sequence[Mapping[str, Any]], audio_dir: Path) -> None:
        self._client, self._call = client, call
        self._rates_hz = {leg["legId"]: int(leg["sampleRateHz"]) for leg in legs}
        self._audio = {leg_id: (audio_dir / f"{leg_id}.raw").read_bytes() for leg_id in self._rates_hz}
        self._at_ms = 0
        self.events: list[str] = []

    async def do(self, kind: str, value: Any) -> None:
        """Do one step."""
        match kind:
            case "write":
                await self._write(value["toMs"])
            case "dtmf":
                await self._call.dtmf(value["legId"], value["digit"], value["frame"])
            case "pause":
                await self._call.pause(PauseMode.Value(value["mode"]), value.get("frame"))
            case "resume":
                await self._call.resume(value.get("frame"))
            case "close":
                await self._call.close(value.get("frame"))
            case "completed":
                await self._call.completed()
            case "ask":
                _say({"ask": value})
                await asyncio.to_thread(sys.stdin.readline)
            case "events":
                await self._read_events(value["first"])
            case _:
                raise ValueError(f"unknown step {kind}")

    async def _write(self, to_ms: int) -> None:
        while self._at_ms < to_ms:
            await self._call.write({leg_id: self._piece(leg_id) for leg_id in self._audio})
            self._at_ms += _STEP_MS

    def _piece(self, leg_id: str) -> bytes:
        start, end = (
            time_ms * self._rates_hz[leg_id] // 1000 * _FRAME_BYTES for time_ms in (self._at_ms, self._at_ms + _STEP_MS)
        )
        return self._audio[leg_id][start:end]

    async def _read_events(self, first: int) -> None:
        recording_id = self._call.recording_id
        feed = self._client.subscribe(SubscribeEventsRequest(from_oldest=True, recording_id=recording_id))
        events: list[Event] = []
        async for event in feed:
            events.append(event)
            if len(events) == first:
                break
        async for event in self._client.subscribe(
            SubscribeEventsRequest(cursor=feed.cursor, recording_id=recording_id)
        ):
            events.append(event)
            if event.type == EVENT_TYPE_RECORDING_COMPLETED:
                break
        self.events = [EventType.Name(event.type) for event in events]


async def _count_plays(call: Call) -> int:
    plays = 0
    async for message in call.events():
        plays += message.HasField("play")
    return plays


async def _download(client: Client, recording_id: str) -> str:
    digest = hashlib.sha256()
    async for message in client.download(recording_id):
        digest.update(message.chunk)
    return digest.hexdigest()


async def _run(options: argparse.Namespace) -> dict[str, object]:
    scenario = json.loads(Path(options.scenario).read_text())
    start = json_format.ParseDict(scenario["start"], StartCall(recording_id=options.recording_id))
    key = Path(options.key).read_text()
    async with connect(options.target, token=lambda: application_token(options.application, key)) as client:
        async with client.record_call(start) as call:
            plays = asyncio.create_task(_count_plays(call))
            driver = Driver(client, call, scenario["start"]["legs"], Path(options.audio))
            for step in scenario["steps"]:
                ((kind, value),) = step.items()
                await driver.do(kind, value)
            recording = await call.completed()
        return {
            "state": RecordingState.Name(recording.state),
            "stopReason": StopReason.Name(recording.stop_reason),
            "frames": recording.file.frames,
            "sha256": recording.file.sha256,
            "downloadedSha256": await _download(client, recording.recording_id),
            "plays": await plays,
            "events": driver.events,
        }


def main() -> None:
    """Run the scenario that the options name."""
    parser = argparse.ArgumentParser()
    for name in ("target", "key", "application", "audio", "recording-id", "scenario"):
        parser.add_argument(f"--{name}", required=True)
    try:
        _say({"result": asyncio.run(_run(parser.parse_args()))})
    except RecorderError as error:
        _say({"error": {"reason": error.reason, "status": error.status, "retryable": error.retryable}})


if __name__ == "__main__":
    main()
