"""What the least program that does Recorder's work costs against the floors: where it misses a goal, so must any other.

    python -m tests.bench.least_cost [--calls N] [--message-ms MS] [--wav] [--runs N]

See `tests.bench.least_recorder` for what it does, and what not.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.bench import floors, generator
from tests.bench.load import Load, Pace, Window
from tests.bench.messages import Form
from tests.bench.traffic import Traffic
from tests.harness.processes import Watch, processor_ticks, steal_percent

_GROUPS_PER_S = 50.0
_SOON_S = 0.05


def measure(load: Load, *, wav: bool) -> dict[str, float]:
    """Return what it costs, and the floors under it, CPU seconds a call-hour."""
    ticks = processor_ticks()
    traffic, cost_s, waits_s = _run(load, wav=wav)
    receipt = floors.receive(load, tuned=True)
    encode_s = 0.0 if wav else floors.encode(split=False)
    bytes_per_s = traffic.sent_bytes / load.call_s
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        sync_s = floors.sync(_GROUPS_PER_S, bytes_per_s, Path(directory)) / load.calls * 3600
    return {
        "cpu_s_per_call_hour": round(cost_s, 2),
        "receive_s": round(receipt.cpu_s_per_call_hour, 2),
        "encode_s": round(encode_s, 2),
        "sync_s": round(sync_s, 2),
        "of_floors": round(cost_s / (receipt.cpu_s_per_call_hour + encode_s + sync_s), 2),
        "ack_p99_ms": traffic.ack_ms.p99,
        "durable_p99_ms": round(statistics.quantiles(waits_s, n=100)[98] * 1000),
        "durable_within_50_ms": round(sum(wait_s <= _SOON_S for wait_s in waits_s) / len(waits_s), 4),
        # Rendering that falls behind is not in what was measured before the hang-up.
        "finished_ms": round(max((call.ended - (call.closed or call.stopped)) / 1e6 for call in traffic.calls)),
        "steal_percent": round(steal_percent(ticks), 1),
    }


def _run(load: Load, *, wav: bool) -> tuple[Traffic, float, list[float]]:
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        waits = Path(directory) / "waits.json"
        with floors.least_recorder(waits, wav=wav) as (pid, port), Watch(pid) as watch:
            traffic = floors.send(load, port)
        waits_s = json.loads(waits.read_text())
    if traffic.acknowledged < traffic.sent:
        raise RuntimeError(f"{traffic.acknowledged} of {traffic.sent} messages were acknowledged")
    window = Window.steady(traffic, load)
    cost_s = watch.usage.cpu_s(window.start_ns, window.end_ns) / load.calls / window.seconds * 3600
    return traffic, cost_s, waits_s


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a JSON line a run and the median."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=100, help="live at once")
    parser.add_argument("--message-ms", type=int, default=100, help="audio in a message")
    parser.add_argument("--wav", action="store_true", help="write WAV, not MP3")
    parser.add_argument("--runs", type=int, default=3)
    wanted = parser.parse_args(arguments)
    generator.build()
    form = Form(wanted.message_ms, 0.0, ncco={"format": "wav"} if wanted.wav else {})
    runs = []
    for _ in range(wanted.runs):
        runs.append(measure(Pace.full().load(form, wanted.calls), wav=wanted.wav))
        sys.stdout.write(json.dumps(runs[-1]) + "\n")
        sys.stdout.flush()
    ratio = statistics.median(run["of_floors"] for run in runs)
    sys.stdout.write(json.dumps({"calls": wanted.calls, "message_ms": wanted.message_ms, "of_floors": ratio}) + "\n")


if __name__ == "__main__":
    main()
