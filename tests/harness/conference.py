"""A raw stream of a conference: generated stubs and nothing else."""

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from tests.harness.client import EOF, Client, Metadata

from recorder.v1 import media_pb2, recorder_service_pb2, recording_pb2

Request = recorder_service_pb2.RecordConferenceRequest
Response = recorder_service_pb2.RecordConferenceResponse

_TIMEOUT_S = 30.0


def participant(
    leg_id: str,
    encoding: recording_pb2.AudioEncoding.ValueType = recording_pb2.AUDIO_ENCODING_LINEAR16,
    sample_rate_hz: int = 16_000,
    **how: Any,
) -> recorder_service_pb2.JoinLeg:
    """Describe a leg that joins."""
    leg = recording_pb2.Leg(leg_id=leg_id, encoding=encoding, sample_rate_hz=sample_rate_hz)
    return recorder_service_pb2.JoinLeg(leg=leg, **how)


class Stream:
    """One stream of a conference."""

    def __init__(self, client: Client, metadata: Metadata) -> None:
        self._call = client.recorder.RecordConference(metadata=metadata)  # type: ignore[call-arg] # requests are written
        self.stream_id = str(uuid.uuid4())
        self.sequence = 1
        self.sent: dict[int, Request] = {}
        self.acknowledged = 0
        self.responses: list[Response] = []

    async def join(
        self,
        name: str,
        legs: Sequence[recorder_service_pb2.JoinLeg] = (),
        *,
        ncco: dict[str, Any] | None = None,
        **how: Any,
    ) -> recorder_service_pb2.ConferenceOpened:
        """Send `open.join` and wait for `opened`."""
        wanted = recorder_service_pb2.JoinConference(name=name, legs=legs, **{"stream_id": self.stream_id, **how})
        self.stream_id = wanted.stream_id
        if ncco is not None:
            wanted.ncco.update(ncco)
        await self.send(open=recorder_service_pb2.OpenConference(join=wanted, ack_interval=Duration(nanos=50_000_000)))
        return (await self.until("opened")).opened

    async def resume(self, stream_id: str) -> recorder_service_pb2.ConferenceOpened:
        """Send `open.resume` and wait for `opened`; the next sequence is what the server expects."""
        self.stream_id = stream_id
        resume = recorder_service_pb2.ResumeConference(stream_id=stream_id)
        opening = recorder_service_pb2.OpenConference(resume=resume, ack_interval=Duration(nanos=50_000_000))
        await self.write(Request(sequence=0, open=opening))
        opened = (await self.until("opened")).opened
        self.sequence = opened.next_sequence
        return opened

    async def send(self, **payload: Any) -> int:
        """Send the next request and return its sequence."""
        request = Request(sequence=self.sequence, **payload)
        self.sequence += 1
        self.sent[request.sequence] = request
        await self.write(request)
        return request.sequence

    async def write(self, request: Request) -> None:
        """Send a request as it is."""
        await asyncio.wait_for(self._call.write(request), _TIMEOUT_S)

    async def audio(self, **chunks: tuple[int, bytes]) -> int:
        """Send one message of audio: leg=(start_frame, payload)."""
        parts = [media_pb2.AudioChunk(leg_id=n, start_frame=at, payload=data) for n, (at, data) in chunks.items()]
        return await self.send(audio=media_pb2.Audio(chunks=parts))

    async def enter(self, leg: recorder_service_pb2.JoinLeg) -> int:
        """Let a leg join."""
        return await self.send(join_leg=leg)

    async def leave(self, leg_id: str, frame: int | None = None) -> int:
        """Let a leg leave."""
        return await self.send(leave_leg=recorder_service_pb2.LeaveLeg(leg_id=leg_id, frame=frame))

    async def mute(self, leg_id: str, muted: bool, frame: int | None = None) -> int:
        """Mute or unmute a leg."""
        return await self.send(mute_leg=recorder_service_pb2.MuteLeg(leg_id=leg_id, muted=muted, frame=frame))

    async def close(self) -> None:
        """End the stream."""
        await self.send(close=recorder_service_pb2.CloseConference())

    async def receive(self) -> Response | None:
        """Wait for the next response; None at the end of the stream."""
        response = await asyncio.wait_for(self._call.read(), _TIMEOUT_S)
        if response is EOF:
            return None
        assert isinstance(response, Response)
        self.responses.append(response)
        if response.HasField("ack"):
            self.acknowledged = max(self.acknowledged, response.ack.sequence)
        return response

    async def until(self, kind: str) -> Response:
        """Receive until a response of this kind comes.

        Raises:
            AioRpcError: The stream ended with an error before.
        """
        while (response := await self.receive()) is not None:
            if response.WhichOneof("payload") == kind:
                return response
        await self.raise_for_status()
        raise AssertionError(f"the stream ended without {kind}")

    async def completed(self) -> recording_pb2.Recording:
        """Wait for the end of the recording."""
        return (await self.until("completed")).completed.recording

    async def until_acknowledged(self, sequence: int) -> None:
        """Receive until a sequence is acknowledged."""
        while self.acknowledged < sequence:
            await self.until("ack")

    def cancel(self) -> None:
        """Cancel the RPC."""
        self._call.cancel()

    async def raise_for_status(self) -> None:
        """Raise the RPC's error, if it ended with one."""
        code = await self._call.code()
        if code is not grpc.StatusCode.OK:
            initial, trailing = await self._call.initial_metadata(), await self._call.trailing_metadata()
            raise grpc.aio.AioRpcError(
                code, initial, trailing, details=await self._call.details(), debug_error_string=""
            )
