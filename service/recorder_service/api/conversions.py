"""Values of the domain to messages of the contract."""

from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from recorder.v1 import application_pb2, event_pb2, recording_pb2, webhook_pb2
from recorder_service.audio.formats import RECORDING_RATE_HZ
from recorder_service.domain.application import Application
from recorder_service.domain.delivery import Delivery, DeliveryState
from recorder_service.domain.event import Event, EventType
from recorder_service.domain.options import EncoderOptions, FileFormat, HttpMethod, RecordOptions, Transcription
from recorder_service.domain.recording import (
    LegStay,
    PauseInterval,
    PauseMode,
    RecordedLeg,
    Recording,
    RecordingFile,
    RecordingKind,
    RecordingState,
    StopReason,
)

FILE_FORMATS = {FileFormat.MP3: recording_pb2.FILE_FORMAT_MP3, FileFormat.WAV: recording_pb2.FILE_FORMAT_WAV}
HTTP_METHODS = {HttpMethod.POST: recording_pb2.HTTP_METHOD_POST, HttpMethod.GET: recording_pb2.HTTP_METHOD_GET}
PAUSE_MODES = {PauseMode.SILENCE: recording_pb2.PAUSE_MODE_SILENCE, PauseMode.CUT: recording_pb2.PAUSE_MODE_CUT}


class FileUrls(Protocol):
    """Knows where files are downloaded."""

    def url(self, file_id: UUID) -> str:
        """Return the URL of a file."""


def timestamp(time: datetime | None) -> Timestamp | None:
    """Return a time as a message; None stays absent."""
    if time is None:
        return None
    message = Timestamp()
    message.FromDatetime(time)
    return message


def duration(value: timedelta | None) -> Duration | None:
    """Return a length of time as a message; None stays absent."""
    if value is None:
        return None
    message = Duration()
    message.FromTimedelta(value)
    return message


def seconds(value: float | None) -> Duration | None:
    """Return seconds as a message; None stays absent."""
    return None if value is None else duration(timedelta(seconds=value))


def state_message(state: RecordingState) -> recording_pb2.RecordingState.ValueType:
    """Return a state; names are the same on both sides."""
    return recording_pb2.RecordingState.Value(f"RECORDING_STATE_{state.name}")


def recording_message(recording: Recording, urls: FileUrls) -> recording_pb2.Recording:
    """Return a recording as its owner sees it."""
    return recording_pb2.Recording(
        recording_id=str(recording.recording_id),
        application_id=str(recording.application_id),
        conversation_id=recording.conversation_id,
        kind=recording_pb2.RecordingKind.Value(f"RECORDING_KIND_{recording.kind.name}"),
        state=state_message(recording.state),
        options=options_message(recording.options),
        encoder=_encoder_message(recording.encoder),
        synchronous=recording.kind is RecordingKind.CALL and recording.options.synchronous,
        metadata=dict(recording.metadata),
        start_time=timestamp(recording.start_time),
        end_time=timestamp(recording.end_time),
        stop_reason=None if recording.stop_reason is None else stop_reason_message(recording.stop_reason),
        available_time=timestamp(recording.available_time),
        expire_time=timestamp(recording.expire_time),
        file=None if recording.file is None else file_message(recording.file, urls),
        legs=[_leg_message(leg) for leg in recording.legs],
        pauses=[_pause_message(pause) for pause in recording.pauses],
        failure=recording.failure,
        damage=[
            recording_pb2.FrameInterval(start_frame=d.start_frame, end_frame=d.end_frame) for d in recording.damage
        ],
        conference_name="" if recording.conference is None else recording.conference.name,
    )


def stop_reason_message(reason: StopReason) -> recording_pb2.StopReason.ValueType:
    """Return a stop reason; names are the same on both sides."""
    return recording_pb2.StopReason.Value(f"STOP_REASON_{reason.name}")


def options_message(options: RecordOptions) -> recording_pb2.RecordOptions:
    """Return options with their defaults filled in."""
    return recording_pb2.RecordOptions(
        format=FILE_FORMATS[options.file_format],
        split=recording_pb2.SPLIT_CONVERSATION if options.split else None,
        channels=options.channel_count,
        end_on_silence=seconds(options.end_on_silence_s),
        end_on_key=options.end_on_key,
        time_out=seconds(options.time_out_s),
        beep_start=options.beep_start,
        event_url=options.event_url or None,
        event_method=HTTP_METHODS[options.event_method],
        transcription=None if options.transcription is None else _transcription_message(options.transcription),
    )


def file_message(file: RecordingFile, urls: FileUrls) -> recording_pb2.RecordingFile:
    """Return a file's facts; the key of its object stays inside."""
    return recording_pb2.RecordingFile(
        file_id=str(file.file_id),
        url=urls.url(file.file_id),
        format=FILE_FORMATS[file.format],
        channels=file.channels,
        sample_rate_hz=RECORDING_RATE_HZ,
        bitrate_kbps=file.bitrate_kbps,
        frames=file.frames,
        duration=duration(timedelta(microseconds=file.frames * 1_000_000 / RECORDING_RATE_HZ)),
        size_bytes=file.size_bytes,
        sha256=file.sha256,
    )


def application_message(application: Application) -> application_pb2.Application:
    """Return an application without its secret."""
    return application_pb2.Application(
        application_id=str(application.application_id),
        name=application.name,
        api_key=application.api_key,
        event_url=application.event_url,
        event_method=HTTP_METHODS[application.event_method],
        retention=duration(application.retention),
        max_live_recordings=application.max_live_recordings,
        keys=[
            application_pb2.ApplicationKey(
                key_id=key.key_id,
                public_key_pem=key.public_key_pem,
                create_time=timestamp(key.create_time),
                expire_time=timestamp(key.expire_time),
            )
            for key in application.keys
        ],
        create_time=timestamp(application.create_time),
        update_time=timestamp(application.update_time),
    )


def delivery_message(delivery: Delivery) -> webhook_pb2.Delivery:
    """Return a delivery without its body."""
    return webhook_pb2.Delivery(
        delivery_id=str(delivery.delivery_id),
        application_id=str(delivery.application_id),
        recording_id=str(delivery.recording_id),
        event_id=str(delivery.event_id),
        url=delivery.url,
        method=HTTP_METHODS[delivery.method],
        state=delivery_state_message(delivery.state),
        attempts=delivery.attempts,
        create_time=timestamp(delivery.create_time),
        last_attempt_time=timestamp(delivery.last_attempt_time),
        next_attempt_time=timestamp(delivery.next_attempt_time),
        last_status=delivery.last_status,
        last_error=delivery.last_error,
    )


def delivery_state_message(state: DeliveryState) -> webhook_pb2.DeliveryState.ValueType:
    """Return a delivery's state; names are the same on both sides."""
    return webhook_pb2.DeliveryState.Value(f"DELIVERY_STATE_{state.name}")


def event_message(event: Event, cursor: str, urls: FileUrls) -> event_pb2.Event:
    """Return an event with its place in the feed."""
    press = event.key_press
    return event_pb2.Event(
        event_id=str(event.event_id),
        cursor=cursor,
        type=event_type_message(event.type),
        time=timestamp(event.time),
        application_id=str(event.application_id),
        recording_sequence=event.recording_sequence,
        recording=recording_message(event.recording, urls),
        dtmf=None
        if press is None
        else event_pb2.DtmfDetail(
            leg_id=press.leg_id,
            digit=press.digit,
            frame=press.frame,
            duration=None if press.duration_ms is None else duration(timedelta(milliseconds=press.duration_ms)),
        ),
        delivery=None if event.delivery is None else delivery_message(event.delivery),
        leg=None
        if event.leg is None
        else event_pb2.LegDetail(leg_id=event.leg.leg_id, frame=event.leg.frame, channel=event.leg.channel),
    )


def event_type_message(event_type: EventType) -> event_pb2.EventType.ValueType:
    """Return an event's type; names are the same on both sides."""
    return event_pb2.EventType.Value(f"EVENT_TYPE_{event_type.name}")


def _transcription_message(transcription: Transcription) -> recording_pb2.Transcription:
    return recording_pb2.Transcription(
        language=transcription.language,
        event_url=transcription.event_url,
        event_method=HTTP_METHODS[transcription.event_method],
        sentiment_analysis=transcription.sentiment_analysis,
    )


def _encoder_message(encoder: EncoderOptions) -> recording_pb2.EncoderOptions:
    return recording_pb2.EncoderOptions(mp3_bitrate_kbps=encoder.mp3_bitrate_kbps, mp3_quality=encoder.mp3_quality)


def _leg_message(leg: RecordedLeg) -> recording_pb2.RecordedLeg:
    return recording_pb2.RecordedLeg(
        leg=recording_pb2.Leg(
            leg_id=leg.leg_id,
            role=recording_pb2.LegRole.Value(f"LEG_ROLE_{leg.role.name}"),
            encoding=recording_pb2.AudioEncoding.Value(f"AUDIO_ENCODING_{leg.encoding}"),
            sample_rate_hz=leg.sample_rate_hz,
        ),
        channel=leg.channel,
        frames=leg.frames,
        gap_frames=leg.gap_frames,
        late_frames=leg.late_frames,
        repeated_frames=leg.repeated_frames,
        first_frame=leg.first_frame,
        end_frame=leg.end_frame,
        stays=[_stay_message(stay) for stay in leg.stays or ()],
        drift_ppm=None if leg.drift_ppb is None else leg.drift_ppb / 1000,
    )


def _stay_message(stay: LegStay) -> recording_pb2.LegStay:
    muted = [recording_pb2.MutedInterval(start_frame=m.start_frame, end_frame=m.end_frame) for m in stay.muted]
    return recording_pb2.LegStay(joined_frame=stay.joined_frame, left_frame=stay.left_frame, muted=muted)


def _pause_message(pause: PauseInterval) -> recording_pb2.PauseInterval:
    return recording_pb2.PauseInterval(
        start_frame=pause.start_frame, end_frame=pause.end_frame, mode=PAUSE_MODES[pause.mode]
    )
