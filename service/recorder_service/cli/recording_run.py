"""One recording from the command line: its progress on stderr, and Ctrl-C as hang-up."""

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from recorder.line import CallSettings
from recorder.v1.recorder_service_pb2 import StartCall
from recorder.v1.recording_pb2 import Recording
from recorder_service.cli.call_player import Script, play
from recorder_service.cli.session import Session


async def record_script(session: Session, start: StartCall, script: Script) -> Recording:
    """Record what the script plays, and wait for the file.

    Raises:
        RecorderError: If the server refused the call or was away for too long.
    """
    hang_up = asyncio.Event()
    settings = CallSettings(message_ms=script.message_ms)
    with _progress(script.length_ms) as on_progress, _hang_up_on_interrupt(hang_up):
        async with session.connect() as client, client.record_call(start, settings) as call:
            for warning in call.opened.warnings if call.opened is not None else ():
                sys.stderr.write(f"recorder: {warning}\n")
            await play(call, script, hang_up, on_progress)
            return await call.completed()


@contextmanager
def _hang_up_on_interrupt(hang_up: asyncio.Event) -> Iterator[None]:
    """Hang up on the first Ctrl-C, so that the recording ends in order; the second one ends the command."""
    loop = asyncio.get_running_loop()

    def interrupted() -> None:
        hang_up.set()
        loop.remove_signal_handler(signal.SIGINT)

    loop.add_signal_handler(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


@contextmanager
def _progress(length_ms: int) -> Iterator[Callable[[int], None]]:
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn("recording"), BarColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("recording", total=length_ms)
        yield lambda sent_ms: bar.update(task, completed=sent_ms)
