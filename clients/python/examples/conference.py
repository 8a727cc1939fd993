"""A conference: each WAV file is a party that joins two seconds after the one before, and leaves when its file ends.

All are recorded, each in a channel of its own, for as long as somebody is there.

    python conference.py --application ID --key app.key --name standup alice.wav bob.wav
"""

import argparse
import asyncio
from pathlib import Path

from recorder.channel import connect
from recorder.conference import Conference
from recorder.tokens import application_token
from recorder.v1.recorder_service_pb2 import JoinConference
from recorder.v1.recording_pb2 import AudioEncoding, FileFormat, Leg, Recording, RecordOptions, Split
from recorder.wav import WavAudio, read_wav

JOIN_AFTER_S = 2.0
CHUNK_S = 0.02


async def attend(conference: Conference, name: str, audio: WavAudio, number: int) -> None:
    """Join, speak in real time, and leave."""
    await asyncio.sleep(number * JOIN_AFTER_S)
    encoding = AudioEncoding.Value(f"AUDIO_ENCODING_{audio.encoding.upper()}")
    first_frame = round(number * JOIN_AFTER_S * audio.sample_rate_hz)
    leg = Leg(leg_id=name, encoding=encoding, sample_rate_hz=audio.sample_rate_hz)
    await conference.join(leg, first_frame)
    chunk_bytes = round(CHUNK_S * audio.sample_rate_hz) * audio.frame_bytes
    for at in range(0, len(audio.payload), chunk_bytes):
        await conference.write({name: audio.payload[at : at + chunk_bytes]})
        await asyncio.sleep(CHUNK_S)
    await conference.leave(name)


def describe(recording: Recording) -> str:
    """Say who is in which channel."""
    seconds = recording.file.frames / recording.file.sample_rate_hz
    parties = ", ".join(f"{leg.leg.leg_id} in channel {leg.channel}" for leg in recording.legs)
    return f"{recording.recording_id}: {seconds:.1f} s, {parties}\n{recording.file.url}"


async def meet(options: argparse.Namespace, key: str) -> None:
    """Hold the conference and print its recording."""
    parties = {path.stem: read_wav(path) for path in options.files}
    record = RecordOptions(
        format=FileFormat.FILE_FORMAT_WAV, split=Split.SPLIT_CONVERSATION, channels=max(2, len(parties))
    )
    join = JoinConference(name=options.name, typed=record)
    async with (
        connect(options.server, token=lambda: application_token(options.application, key)) as client,
        client.record_conference(join) as conference,
    ):
        async with asyncio.TaskGroup() as group:
            for number, (name, audio) in enumerate(parties.items()):
                group.create_task(attend(conference, name, audio, number))
        await conference.close()
        await conference.ended()
        for recording in conference.recordings:
            print(describe(recording))


def main() -> None:
    """Hold a conference."""
    parser = argparse.ArgumentParser(description="Record a conference of WAV files.")
    parser.add_argument("--server", default="127.0.0.1:50051", help="HOST:PORT of Recorder")
    parser.add_argument("--application", required=True, help="application id")
    parser.add_argument("--key", type=Path, required=True, help="its private key")
    parser.add_argument("--name", default="standup", help="name of the conference")
    parser.add_argument("files", type=Path, nargs="+", help="a WAV file a party, mono")
    options = parser.parse_args()
    asyncio.run(meet(options, options.key.read_text()))


if __name__ == "__main__":
    main()
