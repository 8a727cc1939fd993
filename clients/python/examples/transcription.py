"""A hand-off to a transcriber: every finished split recording, one WAV file a party, to a command of yours.

The command is given one mono file and prints its text; `--transcriber "whisper-cli -nt -f"`, say. The outcome is
`RECORDING_ID.json` with a text for each channel. Split recordings in WAV are taken; record with
`record_action(file_format="wav", split=True)`.

    python transcription.py --application ID --key app.key --out transcripts --transcriber "my-transcriber"
"""

import argparse
import json
import shlex
import subprocess
import tempfile
import wave
from pathlib import Path

from recorder.sync import Client, connect
from recorder.tokens import application_token
from recorder.v1.event_pb2 import EVENT_TYPE_RECORDING_COMPLETED
from recorder.v1.event_service_pb2 import SubscribeEventsRequest
from recorder.v1.recording_pb2 import FILE_FORMAT_WAV, RECORDING_STATE_AVAILABLE, SPLIT_CONVERSATION, Recording

SAMPLE_BYTES = 2
PARTIES = ("caller", "heard by the caller")


def split(path: Path, directory: Path) -> list[Path]:
    """Write every channel of a WAV file as a file of its own."""
    with wave.open(str(path)) as file:
        channels, rate_hz = file.getnchannels(), file.getframerate()
        data = file.readframes(file.getnframes())
    parts = []
    for channel in range(channels):
        samples = bytearray(len(data) // channels)
        for byte in range(SAMPLE_BYTES):
            samples[byte::SAMPLE_BYTES] = data[channel * SAMPLE_BYTES + byte :: channels * SAMPLE_BYTES]
        part = directory / f"channel-{channel + 1}.wav"
        with wave.open(str(part), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(SAMPLE_BYTES)
            file.setframerate(rate_hz)
            file.writeframes(samples)
        parts.append(part)
    return parts


def transcribe(client: Client, recording: Recording, command: list[str], out: Path) -> Path:
    """Fetch a recording and write its transcript; what is there already is left."""
    target = out / f"{recording.recording_id}.json"
    if target.exists():
        return target
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "call.wav"
        client.download_to(recording.recording_id, path)
        texts = [
            subprocess.run([*command, str(part)], check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603 - the user's own command
            for part in split(path, Path(directory))
        ]
    names = [*PARTIES, *(f"channel {number}" for number in range(3, len(texts) + 1))]
    channels = [{"party": name, "text": text} for name, text in zip(names, texts, strict=False)]
    target.write_text(json.dumps({"recording_id": recording.recording_id, "channels": channels}, indent=2))
    return target


def wanted(recording: Recording) -> bool:
    """Whether a recording can be handed over."""
    return (
        recording.state == RECORDING_STATE_AVAILABLE
        and recording.options.split == SPLIT_CONVERSATION
        and recording.file.format == FILE_FORMAT_WAV
    )


def main() -> None:
    """Hand recordings over as they are finished."""
    parser = argparse.ArgumentParser(description="Hand finished recordings to a transcriber.")
    parser.add_argument("--server", default="127.0.0.1:50051", help="HOST:PORT of Recorder")
    parser.add_argument("--application", required=True, help="application id")
    parser.add_argument("--key", type=Path, required=True, help="its private key")
    parser.add_argument("--transcriber", required=True, help="command; the file is added to it")
    parser.add_argument("--out", type=Path, default=Path("transcripts"), help="where transcripts go")
    parser.add_argument("--count", type=int, help="end after so many recordings")
    options = parser.parse_args()
    options.out.mkdir(exist_ok=True)
    key, command, done = options.key.read_text(), shlex.split(options.transcriber), 0
    begin = SubscribeEventsRequest(from_oldest=True, types=[EVENT_TYPE_RECORDING_COMPLETED])
    with connect(options.server, token=lambda: application_token(options.application, key)) as client:
        for event in client.subscribe(begin):
            if wanted(event.recording):
                print(transcribe(client, event.recording, command, options.out), flush=True)
                done += 1
                if done == options.count:
                    return


if __name__ == "__main__":
    main()
