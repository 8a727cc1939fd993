"""Messages of the contract to values of the domain, checked: every refusal names its field."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import UUID, uuid4

from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict, SerializeToJsonError
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from recorder.v1 import recorder_service_pb2, recording_pb2, recording_service_pb2
from recorder_service.api.conversions import FILE_FORMATS, HTTP_METHODS, PAUSE_MODES
from recorder_service.audio.formats import SAMPLE_RATES_HZ
from recorder_service.domain.ncco import RecordAction, parse_record_action
from recorder_service.domain.options import (
    EncoderOptions,
    HttpMethod,
    RecordOptions,
    Transcription,
    check_encoder,
    check_options,
)
from recorder_service.domain.recording import LegRole, PauseMode
from recorder_service.errors import BadInput, Reason
from recorder_service.sessions.conference_values import JoinLeg, JoinStream, RecordPlan, Return

T = TypeVar("T")

MAX_CONFERENCE_NAME = 128
MAX_METADATA_KEYS = 32
MAX_METADATA_KEY = 64
MAX_METADATA_VALUE = 512
_CONVERSATION = re.compile(r"CON-[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_LEG_ID = re.compile(r"[\x21-\x7e]{1,64}")
_PROTO_NAMES = {
    "endOnSilence": "end_on_silence",
    "endOnKey": "end_on_key",
    "timeOut": "time_out",
    "eventUrl": "event_url",
}
_ON_DEMAND = "ON_DEMAND"
_RECORD_MODES: dict[int, str] = {
    recorder_service_pb2.CONFERENCE_RECORD_MODE_AUTOMATIC: "AUTOMATIC",
    recorder_service_pb2.CONFERENCE_RECORD_MODE_ON_DEMAND: _ON_DEMAND,
}
# Longer than any conference.
_MAX_POSITION = 1 << 40
_OptionsHolder = (
    recorder_service_pb2.StartCall
    | recorder_service_pb2.JoinConference
    | recording_service_pb2.StartConferenceRecordingRequest
)
_EncoderHolder = recorder_service_pb2.StartCall | recorder_service_pb2.JoinConference
_ENCODINGS: dict[int, str] = {
    recording_pb2.AUDIO_ENCODING_LINEAR16: "LINEAR16",
    recording_pb2.AUDIO_ENCODING_MULAW: "MULAW",
    recording_pb2.AUDIO_ENCODING_ALAW: "ALAW",
}
_ROLES: dict[int, LegRole] = {
    recording_pb2.LEG_ROLE_CALLER: LegRole.CALLER,
    recording_pb2.LEG_ROLE_CALLEE: LegRole.CALLEE,
}


@dataclass(frozen=True, slots=True)
class LegRequest:
    """A leg as announced, checked.

    Attributes:
        encoding: LINEAR16, MULAW or ALAW.
    """

    leg_id: str
    role: LegRole
    encoding: str
    sample_rate_hz: int


@dataclass(frozen=True, slots=True)
class StartRequest:
    """A recording to begin, checked.

    Attributes:
        application_id: As the request names it; None where it is left to the token.
        warnings: What was accepted but ignored.
    """

    recording_id: UUID
    conversation_id: str
    application_id: UUID | None
    legs: tuple[LegRequest, ...]
    options: RecordOptions
    encoder: EncoderOptions
    metadata: Mapping[str, str]
    warnings: tuple[str, ...]


def start_request(start: recorder_service_pb2.StartCall, field: str = "open.start") -> StartRequest:
    """Check a request to begin a recording.

    Raises:
        BadInput: The first field at fault.
    """
    action = _options(start, field)
    return StartRequest(
        recording_id=uuid(start.recording_id, f"{field}.recording_id") if start.recording_id else uuid4(),
        conversation_id=_conversation(start.conversation_id, f"{field}.conversation_id"),
        application_id=optional_uuid(start.application_id, f"{field}.application_id"),
        legs=_legs(start.legs, f"{field}.legs"),
        options=action.options,
        encoder=check_encoder(_encoder(start), f"{field}.encoder"),
        metadata=_metadata(start.metadata, f"{field}.metadata"),
        warnings=action.warnings,
    )


@dataclass(frozen=True, slots=True)
class ConferenceRequest:
    """A stream of a conference to begin, checked; the encoder's settings are as asked for.

    Attributes:
        application_id: As the request names it; None where it is left to the token.
        warnings: What was accepted but ignored.
    """

    application_id: UUID | None
    stream: JoinStream
    warnings: tuple[str, ...]


def conference_request(join: recorder_service_pb2.JoinConference, field: str = "open.join") -> ConferenceRequest:
    """Check a request to feed a conference.

    Raises:
        BadInput: The first field at fault.
    """
    action = conference_options(join, field)
    mode = choice(join.record, _RECORD_MODES, f"{field}.record") if join.HasField("record") else ""
    encoder, metadata = check_encoder(_encoder(join), f"{field}.encoder"), _metadata(join.metadata, f"{field}.metadata")
    plan = RecordPlan(action.options, encoder, metadata, on_demand=mode == _ON_DEMAND)
    stream = JoinStream(
        stream_id=uuid(join.stream_id, f"{field}.stream_id"),
        name=_conference_name(join.name, f"{field}.name"),
        conversation_id=_conversation(join.conversation_id, f"{field}.conversation_id") if join.conversation_id else "",
        plan=plan,
        legs=tuple(join_leg_request(leg, f"{field}.legs[{index}]") for index, leg in enumerate(join.legs)),
        origin_frame=_origin_frame(join, f"{field}.origin_frame"),
        returned=_returned(join, f"{field}.returning"),
    )
    application_id = optional_uuid(join.application_id, f"{field}.application_id")
    return ConferenceRequest(application_id, stream, action.warnings)


def conference_options(holder: _OptionsHolder, field: str) -> RecordAction:
    """Read the options of a conference's recording, which never blocks.

    Raises:
        BadInput: INVALID_OPTION, or as for a call.
    """
    action = _options(holder, field)
    if action.options.synchronous:
        name = "endOnSilence" if action.options.end_on_silence_s is not None else "endOnKey"
        message = f"{field}: a conference does not end on silence or a key: leave {name} out"
        raise BadInput(Reason.INVALID_OPTION, message, field=f"{field}.{name}", value="(set)")
    return action


def join_leg_request(join: recorder_service_pb2.JoinLeg, field: str) -> JoinLeg:
    """Check a leg that wants to join.

    Raises:
        BadInput: INVALID_FIELD.
    """
    leg = recording_pb2.Leg()
    leg.CopyFrom(join.leg)
    if leg.role not in {recording_pb2.LEG_ROLE_UNSPECIFIED, recording_pb2.LEG_ROLE_PARTICIPANT}:
        message = f"{field}.leg.role must be left out or PARTICIPANT in a conference"
        raise BadInput(Reason.INVALID_FIELD, message, field=f"{field}.leg.role", value=leg.role)
    leg.role = recording_pb2.LEG_ROLE_CALLEE
    checked = _leg(leg, f"{field}.leg")
    if join.HasField("frame") and not 0 <= join.frame <= _MAX_POSITION:
        message = f"{field}.frame is {join.frame} but must be 0 to {_MAX_POSITION}"
        raise BadInput(Reason.FRAME_OUT_OF_RANGE, message, field=f"{field}.frame", value=join.frame)
    return JoinLeg(
        checked.leg_id,
        checked.encoding,
        checked.sample_rate_hz,
        start_on_enter=join.start_on_enter if join.HasField("start_on_enter") else True,
        end_on_exit=join.end_on_exit,
        muted=join.muted,
        frame=join.frame if join.HasField("frame") else None,
    )


def uuid(text: str, field: str) -> UUID:
    """Read a UUID in its usual spelling.

    Raises:
        BadInput: INVALID_FIELD.
    """
    try:
        value = UUID(text)
    except ValueError:
        value = None
    if value is None or str(value) != text.lower():
        raise BadInput(
            Reason.INVALID_FIELD,
            f"{field} must be a UUID such as 6a7c2b8e-1f0d-4b7e-9a55-0c2f6d1e8b34",
            field=field,
            value=text,
        )
    return value


def optional_uuid(text: str, field: str) -> UUID | None:
    """Read a UUID that may be left empty."""
    return uuid(text, field) if text else None


def optional_time(holder: Message, name: str, field: str) -> datetime | None:
    """Read a Timestamp field that may be absent, as UTC."""
    if not holder.HasField(name):
        return None
    value: Timestamp = getattr(holder, name)
    try:
        return value.ToDatetime().replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise BadInput(Reason.INVALID_FIELD, f"{field} is no time", field=field, value=value.seconds) from None


def timedelta_of(value: Duration, field: str) -> timedelta:
    """Read a Duration.

    Raises:
        BadInput: INVALID_FIELD.
    """
    try:
        return value.ToTimedelta()
    except (ValueError, OverflowError):
        raise BadInput(Reason.INVALID_FIELD, f"{field} is no duration", field=field, value=value.seconds) from None


def choice(wire: int, allowed: Mapping[int, T], field: str) -> T:
    """Read an enum value; zero and unknown numbers are refused.

    Raises:
        BadInput: INVALID_FIELD.
    """
    if wire not in allowed:
        names = ", ".join(str(value.name if hasattr(value, "name") else value) for value in allowed.values())
        raise BadInput(
            Reason.INVALID_FIELD, f"{field} is {wire}; must be one of {names}", field=field, value=wire, allowed=names
        )
    return allowed[wire]


def pause_mode(holder: Message, field: str) -> PauseMode:
    """Read the optional `mode` of a pause; absent means silence."""
    if not holder.HasField("mode"):
        return PauseMode.SILENCE
    wire: int = getattr(holder, "mode")  # noqa: B009 - two messages have it
    return choice(wire, _inverse(PAUSE_MODES), field)


def _encoder(holder: _EncoderHolder) -> EncoderOptions:
    asked = holder.encoder
    return EncoderOptions(
        mp3_bitrate_kbps=asked.mp3_bitrate_kbps if asked.HasField("mp3_bitrate_kbps") else None,
        mp3_quality=asked.mp3_quality if asked.HasField("mp3_quality") else None,
    )


def _conference_name(text: str, field: str) -> str:
    if not 1 <= len(text) <= MAX_CONFERENCE_NAME or not text.isprintable():
        message = f"{field} must be 1 to {MAX_CONFERENCE_NAME} printable characters"
        raise BadInput(Reason.INVALID_FIELD, message, field=field, value=text)
    return text


def _origin_frame(join: recorder_service_pb2.JoinConference, field: str) -> int | None:
    return _position(join.origin_frame, field) if join.HasField("origin_frame") else None


def _returned(join: recorder_service_pb2.JoinConference, field: str) -> Return | None:
    if not join.HasField("returning"):
        return None
    told = join.returning
    position_frame = _position(told.position_frame, f"{field}.position_frame")
    # A stream that came back before may lie before the conference's begin.
    origin_frame = _position(told.origin_frame, f"{field}.origin_frame", -_MAX_POSITION)
    return Return(origin_frame, position_frame, told.recorded)


def _position(frame: int, field: str, least: int = 0) -> int:
    if not least <= frame <= _MAX_POSITION:
        message = f"{field} is {frame} but must be {least} to {_MAX_POSITION}"
        raise BadInput(Reason.FRAME_OUT_OF_RANGE, message, field=field, value=frame)
    return frame


def _options(start: _OptionsHolder, field: str) -> RecordAction:
    kind = start.WhichOneof("options")
    if kind == "ncco":
        return parse_record_action(_json_object(start.ncco, f"{field}.ncco"), f"{field}.ncco")
    if kind is None:
        return RecordAction(RecordOptions(), ())
    return RecordAction(
        check_options(_typed_options(start.typed, f"{field}.typed"), f"{field}.typed", _PROTO_NAMES), ()
    )


def _json_object(ncco: Struct, field: str) -> dict[str, object]:
    try:
        return MessageToDict(ncco)
    except (SerializeToJsonError, ValueError):
        raise BadInput(
            Reason.INVALID_OPTION, f"{field} holds NaN or infinity, which JSON does not have", field=field, value="NaN"
        ) from None


def _typed_options(typed: recording_pb2.RecordOptions, field: str) -> RecordOptions:
    if typed.HasField("split"):
        choice(typed.split, {recording_pb2.SPLIT_CONVERSATION: "SPLIT_CONVERSATION"}, f"{field}.split")
    return RecordOptions(
        format=_optional_choice(typed, "format", _inverse(FILE_FORMATS), field),
        split=typed.HasField("split"),
        channels=typed.channels if typed.HasField("channels") else None,
        end_on_silence_s=_whole_seconds(typed, "end_on_silence", f"{field}.end_on_silence"),
        end_on_key=typed.end_on_key if typed.HasField("end_on_key") else None,
        time_out_s=_whole_seconds(typed, "time_out", f"{field}.time_out"),
        beep_start=typed.beep_start,
        event_url=typed.event_url,
        event_method=_optional_choice(typed, "event_method", _inverse(HTTP_METHODS), field) or HttpMethod.POST,
        transcription=_transcription(typed.transcription, field) if typed.HasField("transcription") else None,
    )


def _transcription(transcription: recording_pb2.Transcription, field: str) -> Transcription:
    method = _optional_choice(transcription, "event_method", _inverse(HTTP_METHODS), f"{field}.transcription")
    return Transcription(
        language=transcription.language,
        event_url=transcription.event_url,
        event_method=method or HttpMethod.POST,
        sentiment_analysis=transcription.sentiment_analysis,
    )


def _optional_choice(holder: Message, name: str, allowed: Mapping[int, T], field: str) -> T | None:
    return choice(getattr(holder, name), allowed, f"{field}.{name}") if holder.HasField(name) else None


def _inverse(values: Mapping[T, int]) -> dict[int, T]:
    return {wire: value for value, wire in values.items()}


def _whole_seconds(holder: Message, name: str, field: str) -> int | None:
    if not holder.HasField(name):
        return None
    value: Duration = getattr(holder, name)
    if value.nanos:
        raise BadInput(
            Reason.INVALID_OPTION,
            f"{field} must be whole seconds",
            field=field,
            value=f"{value.seconds}.{abs(value.nanos):09d}",
        )
    return value.seconds


def _conversation(text: str, field: str) -> str:
    if not text:
        return f"CON-{uuid4()}"
    if not _CONVERSATION.fullmatch(text):
        raise BadInput(Reason.INVALID_FIELD, f"{field} must be CON- and a UUID, or empty", field=field, value=text)
    return text


def _legs(legs: Sequence[recording_pb2.Leg], field: str) -> tuple[LegRequest, ...]:
    checked = tuple(_leg(leg, f"{field}[{index}]") for index, leg in enumerate(legs))
    callers = sum(leg.role is LegRole.CALLER for leg in checked)
    if callers != 1 or len(checked) > 2:
        reason = Reason.DUPLICATE_LEG if callers > 1 or len(checked) > 2 else Reason.INVALID_FIELD
        raise BadInput(
            reason,
            f"{field} must hold exactly one CALLER and at most one CALLEE, not {callers} and {len(checked) - callers}",
            field=field,
            value=len(checked),
        )
    if len({leg.leg_id for leg in checked}) < len(checked):
        raise BadInput(
            Reason.DUPLICATE_LEG, f"{field} names {checked[0].leg_id!r} twice", field=field, value=checked[0].leg_id
        )
    return checked


def _leg(leg: recording_pb2.Leg, field: str) -> LegRequest:
    if not _LEG_ID.fullmatch(leg.leg_id):
        raise BadInput(
            Reason.INVALID_FIELD,
            f"{field}.leg_id must be 1 to 64 printable ASCII characters without spaces",
            field=f"{field}.leg_id",
            value=leg.leg_id,
        )
    rates = {rate: rate for rate in SAMPLE_RATES_HZ}
    return LegRequest(
        leg_id=leg.leg_id,
        role=choice(leg.role, _ROLES, f"{field}.role"),
        encoding=choice(leg.encoding, _ENCODINGS, f"{field}.encoding"),
        sample_rate_hz=choice(leg.sample_rate_hz, rates, f"{field}.sample_rate_hz"),
    )


def _metadata(metadata: Mapping[str, str], field: str) -> dict[str, str]:
    if len(metadata) > MAX_METADATA_KEYS:
        raise BadInput(
            Reason.INVALID_FIELD,
            f"{field} has {len(metadata)} keys; at most {MAX_METADATA_KEYS} are kept",
            field=field,
            value=len(metadata),
        )
    for key, value in metadata.items():
        if not 1 <= len(key) <= MAX_METADATA_KEY or len(value) > MAX_METADATA_VALUE:
            raise BadInput(
                Reason.INVALID_FIELD,
                f"{field} must have keys of 1 to {MAX_METADATA_KEY} characters "
                f"and values of at most {MAX_METADATA_VALUE}",
                field=f"{field}[{key[:MAX_METADATA_KEY]!r}]",
                value=f"{len(value)} characters",
            )
    return dict(metadata)
