"""A voicemail: a beep, then the caller speaks until the hash key, three seconds of silence, or two minutes.

The telephone line is a WAV file here, sent as fast as it goes; where yours comes from, `call.write` is the same.

    python voicemail.py message.wav --application ID --key app.key --out message-kept.mp3
"""

import argparse
from pathlib import Path

from recorder.ncco import caller, record_action, start_call
from recorder.sync import Call, connect
from recorder.tokens import application_token
from recorder.v1.recording_pb2 import StopReason
from recorder.wav import WavAudio, read_wav

PIECE_MS = 20
ACTION = record_action(end_on_key="#", end_on_silence_s=3, time_out_s=120, beep_start=True)


def speak(call: Call, line: WavAudio, hash_key_ms: int | None) -> None:
    """Send the line's audio until the server has enough."""
    piece_bytes = line.sample_rate_hz * PIECE_MS // 1000 * line.frame_bytes
    for number, start in enumerate(range(0, len(line.payload), piece_bytes)):
        if call.stopped is not None:
            return
        if hash_key_ms is not None and number * PIECE_MS == hash_key_ms:
            call.dtmf("caller", "#")
        call.write({"caller": line.payload[start : start + piece_bytes]})


def main() -> None:
    """Take one message."""
    parser = argparse.ArgumentParser(description="Take one message.")
    parser.add_argument("line", type=Path, help="WAV file of the caller: mono")
    parser.add_argument("--server", default="127.0.0.1:50051", help="HOST:PORT of Recorder")
    parser.add_argument("--application", required=True, help="application id")
    parser.add_argument("--key", type=Path, required=True, help="its private key")
    parser.add_argument("--hash-key-ms", type=int, help="when the caller presses the hash key")
    parser.add_argument("--out", type=Path, default=Path("message.mp3"), help="where the message goes")
    options = parser.parse_args()
    line, key = read_wav(options.line), options.key.read_text()
    start = start_call([caller(line.encoding, line.sample_rate_hz)], ACTION)
    with connect(options.server, token=lambda: application_token(options.application, key)) as client:
        with client.record_call(start) as call:
            speak(call, line, options.hash_key_ms)
            if call.stopped is None:
                call.close()
            recording = call.completed()
        reason = StopReason.Name(recording.stop_reason).removeprefix("STOP_REASON_").lower()
        print(f"{recording.recording_id} ended by {reason}")
        if recording.file.size_bytes:
            client.download_to(recording.recording_id, options.out)
            print(f"{recording.file.duration.ToMilliseconds() / 1000:.1f} s in {options.out}")


if __name__ == "__main__":
    main()
