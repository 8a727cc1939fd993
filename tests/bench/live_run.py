"""One load on a real server with everything on: journal and fsync, acks checked, files finished, webhooks sent."""

import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from tests.bench import generator, messages
from tests.bench.load import Load, Window
from tests.bench.traffic import Traffic
from tests.harness.client import Client, Metadata
from tests.harness.commits import Commits
from tests.harness.processes import Watch, family, processor_ticks, steal_percent
from tests.harness.receiver import Received, Receiver
from tests.harness.server import Server

Figures = dict[str, float]
_WEBHOOK_TIMEOUT_S = 20.0
_BEHIND_MS = 1000.0
_RENDERING_BEHIND_MS = 5000.0
_MOST_STEAL_PERCENT = 2.0


@dataclass(frozen=True, slots=True)
class Run:
    """What a load came to.

    Attributes:
        figures: By name; the unit is in the name.
        faults: Why the run does not count; empty if it does.
        window: The stretch that was measured.
        bytes_per_s: Sent in it.
        groups_per_s: The journal's.
    """

    figures: Figures
    faults: tuple[str, ...]
    window: Window
    bytes_per_s: float
    groups_per_s: float


def record(load: Load, *, webhooks: bool = False, cores: Sequence[int] = (), arguments: Sequence[str] = ()) -> Run:
    """Record a load on a server of its own.

    Args:
        load: What to send.
        webhooks: Send one a call, and measure how long it takes.
        cores: Let the server run on these only.
        arguments: More options of `recorder serve`.
    """
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        receiver = stack.enter_context(Receiver())
        began_s = time.monotonic()
        server = stack.enter_context(Server(directory / "data", arguments=arguments))
        serving_s = time.monotonic() - began_s
        if cores:
            _pin(server.pid, cores)
        form = _with_event_url(load.form, receiver.url) if webhooks else load.form
        files = messages.write(form, load.calls, directory)
        before = Commits.of(server.ports.metrics)
        target = f"127.0.0.1:{server.ports.grpc}"
        plan = generator.Plan.of(target, dict(asyncio.run(_metadata(server))), files, load)
        ticks = processor_ticks()
        with Watch(server.pid) as watch:
            traffic = generator.run(plan)
        steal = round(steal_percent(ticks), 2)
        commits = Commits.of(server.ports.metrics).since(before)
        arrived = receiver.wait(load.calls, _WEBHOOK_TIMEOUT_S) if webhooks else []
        figures = {"serving_s": round(serving_s, 2), "steal_percent": steal}
        return _judged(load, traffic, watch, commits, figures, _webhook_ms(files, traffic, arrived))


async def _metadata(server: Server) -> Metadata:
    async with Client(server.ports.grpc) as client:
        return (await client.create_tenant(server.admin_token)).metadata


def _with_event_url(form: messages.Form, url: str) -> messages.Form:
    return replace(form, ncco={**form.ncco, "eventUrl": [url]})


def _pin(pid: int, cores: Sequence[int]) -> None:
    for member in family(pid):
        for task in Path(f"/proc/{member}/task").iterdir():
            os.sched_setaffinity(int(task.name), cores)


def _judged(
    load: Load, traffic: Traffic, watch: Watch, commits: Commits, figures: Figures, webhook_ms: list[float]
) -> Run:
    window = Window.steady(traffic, load)
    run_s = (max(call.ended for call in traffic.calls) - min(call.began for call in traffic.calls)) / 1e9
    figures |= _cost(load, traffic, watch, window) | _latency(load, traffic, commits, window)
    figures |= _quantiles("webhook", webhook_ms)
    groups_per_s = commits.total / run_s
    figures |= {"groups_per_s": round(groups_per_s, 1), "generator_cores": round(traffic.cpu_s / run_s, 3)}
    bytes_per_s = traffic.sent_bytes / (load.calls * load.call_s) * _live(load)
    faults = _faults(load, traffic, window, figures["steal_percent"])
    return Run(figures, faults, window, bytes_per_s, groups_per_s)


def _live(load: Load) -> float:
    """Return how many calls live at once."""
    return min(load.calls, load.call_s * 1000 / load.spacing_ms) if load.spacing_ms else load.calls


def _cost(load: Load, traffic: Traffic, watch: Watch, window: Window) -> Figures:
    """Say what the calls cost; of a load that is not paced there is only the whole."""
    first_ns, last_ns = min(call.began for call in traffic.calls), max(call.ended for call in traffic.calls)
    whole_s = watch.usage.cpu_s(first_ns, last_ns)
    figures: Figures = {"calls": load.calls, "live": round(_live(load)), "message_ms": load.form.message_ms}
    streams_s = sum((call.closed or call.stopped or call.ended) - call.began for call in traffic.calls) / 1e9
    audio_s = streams_s / load.form.streams
    if not load.real_time:
        audio_s = load.calls * load.call_s
        figures |= _growth(watch, first_ns, last_ns)
        figures["speed"] = round(audio_s / ((last_ns - first_ns) / 1e9), 1)
        return {**figures, "cpu_s_per_call_hour": round(whole_s / audio_s * 3600, 3)}
    used_s = watch.usage.cpu_s(window.start_ns, window.end_ns)
    per_call_s = used_s / window.seconds / _live(load)
    figures |= {
        "window_s": round(window.seconds, 1),
        "cores": round(used_s / window.seconds, 3),
        "cpu_s_per_call_hour": round(per_call_s * 3600, 3),
        "us_per_message": round(per_call_s / load.form.streams * load.form.message_ms * 1000, 1),
        "rss_mb": round(watch.usage.rss_bytes(window.start_ns, window.end_ns) / 1e6, 1),
    }
    if load.form.conference:
        figures["cpu_s_per_leg_hour"] = round(per_call_s / load.form.legs * 3600, 3)
    if load.churns:
        figures["whole_ms_per_call"] = round(used_s / window.seconds * load.spacing_ms, 1)
    else:
        # What beginning and ending a call take: all that the steady stretch does not explain.
        figures["ms_per_call"] = round((whole_s - per_call_s * audio_s) / load.calls * 1000, 1)
    return figures


def _growth(watch: Watch, first_ns: int, last_ns: int) -> Figures:
    """Say how much memory the last three quarters of a call added to the first one."""
    quarter_ns = first_ns + (last_ns - first_ns) // 4
    early, late = watch.usage.rss_bytes(first_ns, quarter_ns), watch.usage.rss_bytes(quarter_ns, last_ns)
    return {"rss_mb": round(late / 1e6, 1), "rss_growth_mb": round((late - early) / 1e6, 1)}


def _latency(load: Load, traffic: Traffic, commits: Commits, window: Window) -> Figures:
    ended = ((call.completed, call.closed or call.stopped) for call in traffic.calls if call.completed)
    if load.churns:
        # While as many calls live as are meant to.
        ended = (times for times in ended if window.start_ns <= times[1] <= window.end_ns)
    available_ms = [(completed - closed) / 1e6 for completed, closed in ended]
    opened_ms = [(call.opened - call.began) / 1e6 for call in traffic.calls if call.opened]
    return {
        "durable_p50_ms": round(commits.quantile_s(0.5) * 1000, 1),
        "durable_p99_ms": round(commits.quantile_s(0.99) * 1000, 1),
        "ack_p50_ms": traffic.ack_ms.p50,
        "ack_p99_ms": traffic.ack_ms.p99,
        "held_p99_ms": traffic.held_ms.p99,
        "late_p99_ms": traffic.late_ms.p99,
        **_quantiles("opened", opened_ms),
        **_quantiles("available", available_ms),
    }


def _quantiles(name: str, values_ms: Sequence[float]) -> Figures:
    if not values_ms:
        return {}
    if len(values_ms) == 1:
        return {f"{name}_p50_ms": round(values_ms[0], 1), f"{name}_p99_ms": round(values_ms[0], 1)}
    cuts = statistics.quantiles(values_ms, n=100, method="inclusive")
    return {f"{name}_p50_ms": round(cuts[49], 1), f"{name}_p99_ms": round(cuts[98], 1)}


def _faults(load: Load, traffic: Traffic, window: Window, stolen_percent: float) -> tuple[str, ...]:
    faults = []
    if load.real_time and window.seconds <= 0:
        faults.append("the first calls ended before the last had begun")
    if stolen_percent > _MOST_STEAL_PERCENT:
        # Waiting for a processor that the host gave to others is in no figure of the service's.
        faults.append(f"the host took {stolen_percent:g} % of the processors' time away")
    if not load.kept_pace(traffic):
        faults.append(f"the generator was late: p99 {traffic.late_ms.p99:g} ms")
    if load.real_time and traffic.ack_ms.p99 > load.form.ack_interval_ms + _BEHIND_MS:
        # Its processor time is then that of fewer messages than were sent.
        faults.append(f"the server fell behind: acknowledgements p99 {traffic.ack_ms.p99:g} ms")
    waited_ms = [(call.completed - (call.closed or call.stopped)) / 1e6 for call in traffic.calls if call.completed]
    if load.real_time and waited_ms and statistics.median(waited_ms) > _RENDERING_BEHIND_MS:
        # What was still to be rendered when the window closed is in no figure of it.
        faults.append(f"rendering fell behind: files available {statistics.median(waited_ms):.0f} ms after the hang-up")
    if traffic.errors:
        faults.append(f"{len(traffic.errors)} calls failed: {traffic.errors[0]}")
    completed = traffic.completed(load.form.streams)
    if completed != load.calls:
        faults.append(f"{completed} of {load.calls} calls were completed")
    # A call that the server ended may have been speaking still.
    if traffic.acknowledged < traffic.sent and all(call.closed for call in traffic.calls):
        faults.append(f"{traffic.acknowledged} of {traffic.sent} messages were acknowledged")
    return tuple(faults)


def _webhook_ms(files: messages.Files, traffic: Traffic, arrived: Sequence[Received]) -> list[float]:
    """Return how long after each hang-up its webhook came."""
    epoch_s = time.time() - time.monotonic()
    streams = len(traffic.calls) // len(files.recording_ids)
    hung_up_s = {
        recording_id: (call.closed or call.stopped) / 1e9
        for recording_id, call in zip(files.recording_ids, traffic.calls[streams - 1 :: streams], strict=True)
    }
    bodies: list[tuple[float, Mapping[str, str]]] = [(one.arrived_s + epoch_s, json.loads(one.body)) for one in arrived]
    return [(at_s - hung_up_s[body["recording_uuid"]]) * 1000 for at_s, body in bodies if "recording_uuid" in body]
