"""`PUT /v1/conversations/{id}/record`: recordings of a conference started and stopped by request.

Source: Vonage Conversation API, `recordConversation`: body, defaults and answers.
"""

import json
from collections.abc import Mapping
from typing import Protocol
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from recorder_service.domain.ncco import parse_record_action
from recorder_service.domain.options import RecordOptions
from recorder_service.errors import BadInput, Reason, Unavailable
from recorder_service.http.authorisation import Authorisation
from recorder_service.http.problems import SAFE_HEADERS

RECORD_PATH = "/v1/conversations/{conversation_id}/record"
_MAX_BODY_BYTES = 64 * 1024
_KEYS = {"event_url": "eventUrl", "event_method": "eventMethod", "split": "split", "format": "format"}


class ConferenceRecording(Protocol):
    """Starts and stops the recordings of conferences."""

    async def start_recording(
        self, conversation_id: str, application_id: UUID | None, options: RecordOptions | None, /
    ) -> object:
        """Begin one.

        Raises:
            NotFound: CONFERENCE_NOT_FOUND.
            Overloaded: There is no room for another.
        """

    async def stop_recording(self, conversation_id: str, application_id: UUID | None, /) -> object:
        """End the one that runs.

        Raises:
            NotFound: CONFERENCE_NOT_FOUND or RECORDING_NOT_FOUND.
        """


class Conversations:
    """Serves the recording of conversations."""

    def __init__(self, authorisation: Authorisation) -> None:
        """Serve whom `authorisation` lets in, from `attach` on."""
        self._authorisation = authorisation
        self._recording: ConferenceRecording | None = None

    def attach(self, recording: ConferenceRecording) -> None:
        """Serve from here. The address is bound, and told, before there is anything to serve from."""
        self._recording = recording

    def routes(self) -> list[Route]:
        """Give the routes."""
        return [Route(RECORD_PATH, self.record, methods=["PUT"])]

    async def record(self, request: Request) -> Response:
        """Answer 204 once the recording was started or stopped.

        Raises:
            Unauthenticated: No good token.
            Forbidden: NOT_PERMITTED: the token is limited to other paths.
            BadInput: The body is not what it has to be.
            NotFound: There is no such conference for this token.
        """
        owner = await self._authorisation.check(request)
        if self._recording is None:
            raise Unavailable(Reason.DRAINING, "the server is starting", retry_after_s=1.0)
        conversation_id = request.path_params["conversation_id"]
        _check_text(conversation_id, "conversation_id")
        body = _object(await _body(request))
        match body.get("action"):
            case "start":
                await self._recording.start_recording(conversation_id, owner, _options(body))
            case "stop":
                await self._recording.stop_recording(conversation_id, owner)
            case other:
                message = 'action must be "start" or "stop"'
                raise BadInput(Reason.INVALID_FIELD, message, field="action", value=other)
        return Response(None, 204, SAFE_HEADERS)


async def _body(request: Request) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _MAX_BODY_BYTES:
            message = f"the body is longer than {_MAX_BODY_BYTES} bytes"
            raise BadInput(Reason.INVALID_MESSAGE, message, field="body", value="too long")
    return body


def _object(body: bytes) -> Mapping[str, object]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise BadInput(Reason.INVALID_MESSAGE, "the body must be a JSON object", field="body", value="no object")
    for name, given in value.items():
        for text in given if isinstance(given, list) else [given]:
            _check_text(text, f"body.{ascii(name)[1:-1]}")
    return value


def _check_text(value: object, field: str) -> None:
    """Refuse text that not every database can keep: with a NUL, or half of a surrogate pair, which JSON can write."""
    if isinstance(value, str) and ("\0" in value or value.encode(errors="ignore").decode() != value):
        message = f"{field} holds a NUL character or half of a surrogate pair, which no text may: leave it out"
        raise BadInput(Reason.INVALID_FIELD, message, field=field, value=ascii(value))


def _options(body: Mapping[str, object]) -> RecordOptions:
    """Read the options; their defaults here are a split MP3."""
    given = {"split": "conversation", "format": "mp3"} | {
        ncco: body[name] for name, ncco in _KEYS.items() if body.get(name) is not None
    }
    return parse_record_action(given, "body").options
