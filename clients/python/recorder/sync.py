"""The client for programs without an event loop: the same calls, from any thread.

The async client runs on a loop of its own, in a thread of its own: lines are taken up again and acknowledgements are
read while the program does something else. Errors are raised in the thread that asked.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import CancelledError
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from recorder import calls, channel, events
from recorder.downloads import OnProgress
from recorder.line import CallSettings
from recorder.v1.event_pb2 import Event
from recorder.v1.event_service_pb2 import SubscribeEventsRequest
from recorder.v1.media_pb2 import Opened, Stopped
from recorder.v1.recorder_service_pb2 import RecordCallResponse, StartCall
from recorder.v1.recording_pb2 import PauseMode, Recording, RecordingFile

_Result = TypeVar("_Result")
_END = object()


class LoopThread:
    """A thread that runs an event loop, and runs coroutines on it for other threads."""

    def __init__(self) -> None:
        """Start the thread. It does not keep the program from ending."""
        self._loop = asyncio.new_event_loop()
        self._closed = False
        # Whatever is handed over before the loop is told to stop is run or cancelled; nothing is handed over after.
        self._handover = threading.Lock()
        self._thread = threading.Thread(target=self._loop.run_forever, name="recorder-client", daemon=True)
        self._thread.start()

    @property
    def closed(self) -> bool:
        """Whether the thread has ended, or is about to."""
        return self._closed

    def run(self, coroutine: Coroutine[Any, Any, _Result]) -> _Result:
        """Run a coroutine and wait for it; Ctrl-C ends both.

        Raises:
            RuntimeError: If the client was closed.
        """
        with self._handover:
            if self._closed:
                coroutine.close()
                raise RuntimeError("the client is closed; make a new one with connect()")
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except CancelledError:
            raise RuntimeError("the client was closed meanwhile") from None
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Cancel what runs, and end the thread."""
        with self._handover:
            if self._closed:
                return
            self._closed = True
            cancelled = asyncio.run_coroutine_threadsafe(_cancel_others(), self._loop)
        cancelled.result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _Items(Generic[_Result]):
    """Gives what an async iterator gives, one at a time."""

    def __init__(self, thread: LoopThread, items: AsyncIterator[_Result]) -> None:
        self._thread, self._items = thread, items

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> _Result:
        item = self._thread.run(self._next())
        if item is _END:
            raise StopIteration
        return item  # type: ignore[return-value] # the end was dealt with

    async def _next(self) -> object:
        return await anext(self._items, _END)


class Call:
    """A recording that runs: `recorder.calls.Call`, from any thread. Use it as `with`.

    Attributes:
        recording_id: Its id.
    """

    def __init__(self, thread: LoopThread, call: calls.Call) -> None:
        """Wrap a call. Made by `Client.record_call`."""
        self.recording_id = call.recording_id
        self._thread = thread
        self._call = call

    @property
    def opened(self) -> Opened | None:
        """The server's answer to the newest opening: the options in force, and warnings."""
        return self._call.opened

    @property
    def stopped(self) -> Stopped | None:
        """What ended the recording; None while it runs. From then on what is written is dropped."""
        return self._call.stopped

    @property
    def durable_frames(self) -> Mapping[str, int]:
        """What is safe, by leg; see `recorder.calls.Call.durable_frames`."""
        return self._call.durable_frames

    def __enter__(self) -> Self:
        self._thread.run(self._call.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._thread.run(self._call.__aexit__(kind, error, traceback))

    def write(self, payloads: Mapping[str, bytes], frames: Mapping[str, int] | None = None) -> None:
        """Write one or more legs' audio; waits while too much is unacknowledged. One thread at a time a leg."""
        self._thread.run(self._call.write(payloads, frames))

    def dtmf(self, leg_id: str, digit: str, frame: int | None = None, duration_ms: int | None = None) -> None:
        """Tell of a key press, by default where the leg's audio stands."""
        self._thread.run(self._call.dtmf(leg_id, digit, frame, duration_ms))

    def pause(self, mode: PauseMode.ValueType | None = None, frame: int | None = None) -> None:
        """Stop keeping audio, from `frame` (16 kHz) or from now."""
        self._thread.run(self._call.pause(mode, frame))

    def resume(self, frame: int | None = None) -> None:
        """Keep audio again, from `frame` (16 kHz) or from now."""
        self._thread.run(self._call.resume(frame))

    def stop(self, frame: int | None = None) -> None:
        """End the recording at `frame` (16 kHz) or at the last audio."""
        self._thread.run(self._call.stop(frame))

    def durable(self) -> None:
        """Wait until everything written so far is on the server's disk, or the recording has stopped."""
        self._thread.run(self._call.durable())

    def close(self, frame: int | None = None) -> None:
        """Hang up at `frame` (16 kHz) or at the last audio, and wait until that is durable."""
        self._thread.run(self._call.close(frame))

    def completed(self) -> Recording:
        """Wait for the recording's last state: available, empty or failed."""
        return self._thread.run(self._call.completed())

    def events(self) -> Iterator[RecordCallResponse]:
        """Give the server's messages but acknowledgements, until the recording is completed."""
        return _Items(self._thread, self._call.events())


class Subscription:
    """Events in order, without holes and without repeats, for as long as it is iterated."""

    def __init__(self, thread: LoopThread, subscription: events.Subscription) -> None:
        """Wrap a subscription. Made by `Client.subscribe`."""
        self._thread, self._subscription = thread, subscription

    @property
    def cursor(self) -> str:
        """Place after everything seen so far; keep it to go on another time."""
        return self._subscription.cursor

    def __iter__(self) -> Iterator[Event]:
        return _Items(self._thread, aiter(self._subscription))


class Client:
    """A connection to one server, used from any thread. Use it as `with connect(...) as client`."""

    def __init__(self, target: str, *, token: channel.Token = None, tls: channel.Tls | None = None) -> None:
        """Start the thread; the connection is made with the first request. The arguments are those of `connect`."""
        self._thread = LoopThread()
        self._client = self._thread.run(_connect(target, token, tls))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the server. Calls that run are interrupted: leave their blocks first. Twice is once."""
        if not self._thread.closed:
            try:
                self._thread.run(self._client.__aexit__(None, None, None))
            finally:
                self._thread.close()

    def record_call(self, start: StartCall, settings: CallSettings | None = None) -> Call:
        """Prepare the recording of a call; it begins when the result is entered with `with`."""
        return self._thread.run(self._prepare(start, settings))

    def subscribe(
        self,
        request: SubscribeEventsRequest | None = None,
        *,
        reconnect_for_s: float = 300.0,
        on_subscribed: Callable[[], None] | None = None,
    ) -> Subscription:
        """Follow the event feed, across lost connections."""
        subscription = self._client.subscribe(request, reconnect_for_s=reconnect_for_s, on_subscribed=on_subscribed)
        return Subscription(self._thread, subscription)

    def recording(self, recording_id: str) -> Recording:
        """Get one recording as it stands."""
        return self._thread.run(self._client.recording(recording_id))

    def download_to(
        self, recording_id: str, path: Path, *, on_progress: OnProgress | None = None, reconnect_for_s: float = 60.0
    ) -> RecordingFile:
        """Write a finished file to `path`, checked, or nothing; progress is told in the client's own thread."""
        return self._thread.run(
            self._client.download_to(recording_id, path, on_progress=on_progress, reconnect_for_s=reconnect_for_s)
        )

    async def _prepare(self, start: StartCall, settings: CallSettings | None) -> Call:
        return Call(self._thread, self._client.record_call(start, settings))


def connect(target: str, *, token: channel.Token = None, tls: channel.Tls | None = None) -> Client:
    """Prepare a connection.

    Args:
        target: `HOST:PORT` of the server's gRPC port.
        token: The application's or the admin's token, or a supplier of fresh ones.
        tls: Trust; None means plaintext.
    """
    return Client(target, token=token, tls=tls)


async def _connect(target: str, token: channel.Token, tls: channel.Tls | None) -> channel.Client:
    return channel.connect(target, token=token, tls=tls)


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
