"""`recorder webhooks`: watch and repeat deliveries."""

from typing import TYPE_CHECKING, Annotated

import typer

from recorder_service.cli.failures import wrong_usage
from recorder_service.cli.output import Output, at
from recorder_service.cli.session import Session, run, session_of

if TYPE_CHECKING:
    from recorder.v1.webhook_pb2 import Delivery
    from recorder.v1.webhook_service_pb2 import ListDeliveriesRequest

app = typer.Typer(help="Watch and repeat webhook deliveries.", no_args_is_help=True)

_PAGE = 500


@app.command("list")
def list_(
    context: typer.Context,
    *,
    recording: Annotated[str, typer.Option(help="Only this recording's.")] = "",
    states: Annotated[list[str] | None, typer.Option("--state", help="Only in this state; may be repeated.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most deliveries shown.")] = 50,
) -> None:
    """List deliveries, newest first."""
    from recorder.v1.webhook_pb2 import DeliveryState
    from recorder.v1.webhook_service_pb2 import ListDeliveriesRequest
    from recorder_service.cli.message_json import enum_value, short_names

    session = session_of(context)
    request = ListDeliveriesRequest(page_size=min(limit, _PAGE), recording_id=recording)
    if session.application_id is not None and session.key_file is None:
        request.application_id = session.application_id
    for state in states or ():
        number = enum_value(DeliveryState.DESCRIPTOR, state)
        if number is None:
            raise wrong_usage(f"--state is {state}", f"give one of {', '.join(short_names(DeliveryState.DESCRIPTOR))}")
        request.states.append(DeliveryState.ValueType(number))
    columns = {
        "DELIVERY": at("delivery_id"),
        "STATE": at("state"),
        "TRIES": at("attempts"),
        "STATUS": at("last_status"),
        "RECORDING": at("recording_id"),
        "URL": at("url"),
        "ERROR": at("last_error"),
    }
    Output(as_json=session.json).rows(run(_list(session, request, limit)), columns)


@app.command()
def redeliver(
    context: typer.Context, delivery_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the delivery.")]
) -> None:
    """Try a delivery again now."""
    session = session_of(context)
    Output(as_json=session.json).message(run(_redeliver(session, delivery_id)))


async def _list(session: Session, request: "ListDeliveriesRequest", limit: int) -> "list[Delivery]":
    found: list[Delivery] = []
    async with session.connect() as client:
        while len(found) < limit:
            page = await client.unary(client.webhooks.ListDeliveries, request)
            found += page.deliveries
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token
    return found[:limit]


async def _redeliver(session: Session, delivery_id: str) -> "Delivery":
    from recorder.v1.webhook_service_pb2 import RedeliverRequest

    async with session.connect() as client:
        return (await client.unary(client.webhooks.Redeliver, RedeliverRequest(delivery_id=delivery_id))).delivery
