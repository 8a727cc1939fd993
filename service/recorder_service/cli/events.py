"""`recorder events`: follow what happens."""

from typing import TYPE_CHECKING, Annotated

import typer

from recorder_service.cli.failures import wrong_usage
from recorder_service.cli.output import print_json
from recorder_service.cli.session import Session, run, session_of

if TYPE_CHECKING:
    from recorder.v1.event_pb2 import Event, EventType
    from recorder.v1.event_service_pb2 import SubscribeEventsRequest


def events(
    context: typer.Context,
    *,
    from_oldest: Annotated[bool, typer.Option("--from-oldest", help="Begin with the oldest event kept.")] = False,
    cursor: Annotated[str | None, typer.Option(help="Begin after this event's cursor.")] = None,
    types: Annotated[
        list[str] | None, typer.Option("--type", help="Only this type, as recording-completed; may be repeated.")
    ] = None,
    recording: Annotated[str, typer.Option(help="Only this recording's.")] = "",
    conversation: Annotated[str, typer.Option(help="Only this conversation's.")] = "",
    count: Annotated[int | None, typer.Option(min=1, help="End after so many events; default: never.")] = None,
) -> None:
    """Print events as they happen, for as long as the command runs; lost connections are taken up again."""
    if from_oldest and cursor is not None:
        raise wrong_usage("--from-oldest and --cursor exclude each other", "give one of them")
    from recorder.v1.event_service_pb2 import SubscribeEventsRequest

    session = session_of(context)
    request = SubscribeEventsRequest(
        types=[_type(name) for name in types or ()],
        recording_id=recording,
        conversation_id=conversation,
        application_id=(session.application_id or "") if session.key_file is None else "",
    )
    if from_oldest:
        request.from_oldest = True
    elif cursor is not None:
        request.cursor = cursor
    run(_follow(session, request, count))


async def _follow(session: Session, request: "SubscribeEventsRequest", count: int | None) -> None:
    import sys

    as_json = session.json or not sys.stdout.isatty()
    seen = 0
    async with session.connect() as client:
        async for event in client.subscribe(request):
            _print(event, as_json=as_json)
            seen += 1
            if seen == count:
                return


def _print(event: "Event", *, as_json: bool) -> None:
    from recorder_service.cli.message_json import to_json

    value = to_json(event)
    if as_json:
        print_json(value)
        return
    detail = value.get("dtmf", {}).get("digit", "") or value.get("delivery", {}).get("last_error", "")
    typer.echo(f"{value['time']}  {value['type']:<20}  {value['recording']['recording_id']}  {detail}".rstrip())


def _type(name: str) -> "EventType.ValueType":
    from recorder.v1.event_pb2 import EventType
    from recorder_service.cli.message_json import enum_value, short_names

    number = enum_value(EventType.DESCRIPTOR, name)
    if number is None:
        raise wrong_usage(f"--type is {name}", f"give one of {', '.join(short_names(EventType.DESCRIPTOR))}")
    return EventType.ValueType(number)
