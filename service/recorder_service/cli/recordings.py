"""`recorder recordings`: find, steer and fetch recordings."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recorder_service.cli.failures import CommandFailed, wrong_usage
from recorder_service.cli.output import Output, at
from recorder_service.cli.session import Session, run, session_of

if TYPE_CHECKING:
    from recorder.v1.recording_pb2 import PauseMode, Recording
    from recorder.v1.recording_service_pb2 import ListRecordingsRequest

app = typer.Typer(help="Find, steer and fetch recordings.", no_args_is_help=True)

_PAGE = 500
_Id = Annotated[str, typer.Argument(metavar="ID", help="Id of the recording.")]


@app.command("list")
def list_(
    context: typer.Context,
    *,
    states: Annotated[list[str] | None, typer.Option("--state", help="Only in this state; may be repeated.")] = None,
    conversation: Annotated[str, typer.Option(help="Only this conversation's.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Most recordings shown.")] = 50,
) -> None:
    """List recordings, newest first."""
    from recorder.v1.recording_pb2 import RecordingState
    from recorder.v1.recording_service_pb2 import ListRecordingsRequest
    from recorder_service.cli.message_json import enum_value, short_names

    session = session_of(context)
    request = ListRecordingsRequest(page_size=min(limit, _PAGE), conversation_id=conversation)
    if session.application_id is not None and session.key_file is None:
        request.application_id = session.application_id
    for state in states or ():
        number = enum_value(RecordingState.DESCRIPTOR, state)
        if number is None:
            raise wrong_usage(f"--state is {state}", f"give one of {', '.join(short_names(RecordingState.DESCRIPTOR))}")
        request.states.append(RecordingState.ValueType(number))
    columns = {
        "RECORDING": at("recording_id"),
        "STATE": at("state"),
        "ENDED BY": at("stop_reason"),
        "BEGAN": at("start_time"),
        "LENGTH": at("file", "duration"),
        "BYTES": at("file", "size_bytes"),
    }
    Output(as_json=session.json).rows(run(_list(session, request, limit)), columns)


@app.command()
def show(context: typer.Context, recording_id: _Id) -> None:
    """Show one recording."""
    session = session_of(context)
    Output(as_json=session.json).message(run(_get(session, recording_id)))


@app.command()
def download(
    context: typer.Context,
    recording_id: _Id,
    *,
    out: Annotated[Path | None, typer.Option(help="File to write; default: the id with .mp3 or .wav.")] = None,
) -> None:
    """Download a finished file and check its size and hash; over HTTP where --http is given, else over gRPC."""
    session = session_of(context)
    recording = run(_get(session, recording_id))
    if not recording.HasField("file"):
        raise CommandFailed(
            f"recording {recording_id} has no file",
            reason="FILE_NOT_FOUND",
            hint=f"see why with `recorder recordings show {recording_id}`",
        )
    path = _download(session, recording, out)
    facts = {
        "file": str(path),
        "recording_id": recording_id,
        "size_bytes": recording.file.size_bytes,
        "sha256": recording.file.sha256,
    }
    Output(as_json=session.json).value(facts)


@app.command()
def stop(context: typer.Context, recording_id: _Id) -> None:
    """End a running recording."""
    session = session_of(context)
    Output(as_json=session.json).message(run(_stop(session, recording_id)))


@app.command()
def pause(
    context: typer.Context,
    recording_id: _Id,
    *,
    mode: Annotated[str, typer.Option(help="silence keeps the time, cut makes the file shorter.")] = "silence",
) -> None:
    """Stop keeping audio."""
    from recorder.v1.recording_pb2 import PauseMode
    from recorder_service.cli.message_json import enum_value

    session = session_of(context)
    number = enum_value(PauseMode.DESCRIPTOR, mode)
    if number is None:
        raise wrong_usage(f"--mode is {mode}", "give silence or cut")
    Output(as_json=session.json).message(run(_pause(session, recording_id, PauseMode.ValueType(number))))


@app.command()
def resume(context: typer.Context, recording_id: _Id) -> None:
    """Keep audio again."""
    session = session_of(context)
    Output(as_json=session.json).message(run(_resume(session, recording_id)))


@app.command()
def delete(context: typer.Context, recording_id: _Id) -> None:
    """Delete a recording's file for good."""
    session = session_of(context)
    Output(as_json=session.json).message(run(_delete(session, recording_id)))


async def _list(session: Session, request: "ListRecordingsRequest", limit: int) -> "list[Recording]":
    found: list[Recording] = []
    async with session.connect() as client:
        while len(found) < limit:
            page = await client.unary(client.recordings.ListRecordings, request)
            found += page.recordings
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token
    return found[:limit]


def _download(session: Session, recording: "Recording", out: Path | None) -> Path:
    from recorder.v1.recording_pb2 import FILE_FORMAT_WAV
    from recorder_service.cli.downloads import at_base, download_over_grpc, download_over_http

    file = recording.file
    path = out or Path(f"{recording.recording_id}.{'wav' if file.format == FILE_FORMAT_WAV else 'mp3'}")

    async def over_grpc() -> None:
        async with session.connect() as client:
            await download_over_grpc(client, recording.recording_id, path)

    if session.http is None:
        run(over_grpc())
    else:
        url, token = at_base(session.http, file.url), session.token_supplier()()
        download_over_http(url, token, path, size_bytes=file.size_bytes, sha256=file.sha256)
    return path


async def _get(session: Session, recording_id: str) -> "Recording":
    async with session.connect() as client:
        return await client.recording(recording_id)


async def _stop(session: Session, recording_id: str) -> "Recording":
    from recorder.v1.recording_service_pb2 import StopRecordingRequest

    async with session.connect() as client:
        request = StopRecordingRequest(recording_id=recording_id)
        return (await client.unary(client.recordings.StopRecording, request)).recording


async def _pause(session: Session, recording_id: str, mode: "PauseMode.ValueType") -> "Recording":
    from recorder.v1.recording_service_pb2 import PauseRecordingRequest

    async with session.connect() as client:
        request = PauseRecordingRequest(recording_id=recording_id, mode=mode)
        return (await client.unary(client.recordings.PauseRecording, request)).recording


async def _resume(session: Session, recording_id: str) -> "Recording":
    from recorder.v1.recording_service_pb2 import ResumeRecordingRequest

    async with session.connect() as client:
        request = ResumeRecordingRequest(recording_id=recording_id)
        return (await client.unary(client.recordings.ResumeRecording, request)).recording


async def _delete(session: Session, recording_id: str) -> "Recording":
    from recorder.v1.recording_service_pb2 import DeleteRecordingRequest

    async with session.connect() as client:
        request = DeleteRecordingRequest(recording_id=recording_id)
        return (await client.unary(client.recordings.DeleteRecording, request)).recording
