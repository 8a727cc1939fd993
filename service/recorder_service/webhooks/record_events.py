"""Writes the delivery that tells an application of a finished recording."""

from datetime import datetime
from uuid import UUID, uuid5

from recorder_service.domain.application import Application
from recorder_service.domain.delivery import Delivery, DeliveryState
from recorder_service.domain.options import HttpMethod
from recorder_service.domain.recording import Recording
from recorder_service.webhooks.record_event import record_event_body, recording_url


class RecordEvents:
    """Knows where files are reached and where record events go."""

    def __init__(self, public_url: str) -> None:
        """Tell of files below `public_url`."""
        self._public_url = public_url

    def url(self, file_id: UUID) -> str:
        """Return where a file is downloaded from."""
        return recording_url(self._public_url, file_id)

    def delivery(self, recording: Recording, application: Application, event: UUID, now: datetime) -> Delivery | None:
        """Return the webhook for a recording that has its file, None where neither it nor its application names a URL.

        The recording's own URL brings its own method; otherwise the application's URL and method are used.
        """
        url, method = _destination(recording, application)
        if not url:
            return None
        return Delivery(
            delivery_id=uuid5(event, "webhook"),
            application_id=recording.application_id,
            recording_id=recording.recording_id,
            event_id=event,
            url=url,
            method=method,
            body=record_event_body(recording, public_url=self._public_url, time=now),
            state=DeliveryState.PENDING,
            create_time=now,
            next_attempt_time=now,
        )


def _destination(recording: Recording, application: Application) -> tuple[str, HttpMethod]:
    if recording.options.event_url:
        return recording.options.event_url, recording.options.event_method
    return application.event_url, application.event_method
