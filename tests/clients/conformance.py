"""Running a client's driver through the scenarios: a server that can be killed, a line that can be cut, a reference.

`tests/clients/README.md` describes what a driver is. A test module of a client names its command and hands it to
`check_scenario`, `check_five_kills` and `check_refusals`.
"""

import asyncio
import contextlib
import copy
import json
import subprocess
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.protobuf import json_format
from tests.harness.client import Call, Client, Tenant, pieces
from tests.harness.fault_proxy import FaultProxy
from tests.harness.server import Server
from tests.harness.speech import speech

from recorder.v1.media_pb2 import Close
from recorder.v1.recorder_service_pb2 import StartCall
from recorder.v1.recording_pb2 import PauseMode

Scenario = Mapping[str, Any]

SCENARIOS: list[Scenario] = json.loads((Path(__file__).parent / "scenarios.json").read_text())["scenarios"]
AUDIO_S = 60
FRAMES_PER_MS = 16
# What a client keeps of a call that the server is away from, and what its language's runtime takes besides.
MAX_PEAK_BYTES = 320 * 1024 * 1024
MAX_GROWTH_BYTES = 96 * 1024 * 1024

_STEP_MS = 20
_FRAME_BYTES = 2
_TIMEOUT_S = 90.0
_LEGS = {"caller": 0, "callee": 7}
# What runtimes print of an error that nobody caught.
_UNHANDLED = (
    "Traceback",
    "never retrieved",
    "was never awaited",
    "panic:",
    "DATA RACE",
    "Unhandled",
    "UnhandledPromise",
)


def name_of(scenario: Scenario) -> str:
    """Name a scenario, as the id of a test."""
    return str(scenario["name"])


@dataclass(frozen=True, slots=True)
class Run:
    """What a driver did.

    Attributes:
        result: The object after `result`; empty when it told of an error.
        error: The object after `error`; empty when it gave a result.
        asked: What it asked for, in order.
        memory_bytes: Its peak of resident memory as it stood at every line it printed.
        stderr: What it said besides.
        wall_s: How long it took.
    """

    result: Mapping[str, Any]
    error: Mapping[str, Any]
    asked: Sequence[str]
    memory_bytes: Sequence[int]
    stderr: str
    wall_s: float


class Bench:
    """A real server with one application, a proxy in front of it, and the audio on disk.

    Args:
        directory: Where everything is kept.
        arguments: More options of the server.
    """

    def __init__(self, directory: Path, *, arguments: Sequence[str] = ()) -> None:
        self.directory = directory
        self.server = Server(directory / "data", arguments=["--resume-window-s", "60", *arguments])
        self._tenant: Tenant | None = None
        self._proxy: FaultProxy | None = None
        self._references: dict[str, str] = {}

    def __enter__(self) -> Self:
        self.server.start()
        try:
            self._tenant = asyncio.run(self._create_tenant())
            self._proxy = FaultProxy(self.server.ports.grpc)
            self._proxy.__enter__()
            self._write_files()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._proxy is not None:
            self._proxy.close()
        self.server.close()

    @property
    def tenant(self) -> Tenant:
        """The application that records."""
        assert self._tenant is not None
        return self._tenant

    @property
    def proxy(self) -> FaultProxy:
        """What stands between the driver and the server."""
        assert self._proxy is not None
        return self._proxy

    @property
    def target(self) -> str:
        """Where drivers find the server."""
        return f"127.0.0.1:{self.proxy.port}"

    @property
    def key_path(self) -> Path:
        """File of the application's private key."""
        return self.directory / "key.pem"

    def run(
        self,
        command: Sequence[str],
        scenario: Scenario,
        *,
        target: str | None = None,
        key_path: Path | None = None,
        answer_first: bool = False,
        timeout_s: float = _TIMEOUT_S,
    ) -> Run:
        """Run a driver through a scenario.

        Args:
            command: The driver, without its options.
            scenario: What it is to do.
            target: Another server's address.
            key_path: Another private key.
            answer_first: Let the driver go on while what it asked for is done.
            timeout_s: When it is killed.
        """
        run_dir = self.directory / f"run-{uuid.uuid4()}"
        run_dir.mkdir()
        (run_dir / "scenario.json").write_text(json.dumps(scenario))
        options = {
            "--target": target or self.target,
            "--key": str(key_path or self.key_path),
            "--application": self.tenant.application_id,
            "--audio": str(self.directory / "audio"),
            "--recording-id": str(uuid.uuid4()),
            "--scenario": str(run_dir / "scenario.json"),
        }
        full = [*command, *(part for option in options.items() for part in option)]
        with (run_dir / "stderr").open("w") as stderr:
            process = subprocess.Popen(
                full, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=run_dir
            )
        return _Conversation(self, process, run_dir / "stderr").hold(answer_first=answer_first, timeout_s=timeout_s)

    def do(self, what: str) -> None:
        """Do what a driver asked for."""
        match what:
            case "kill_server":
                self.server.kill()
                self.server.start(keep_ports=True)
            case "cut_line":
                self.proxy.reset()
            case _:
                raise AssertionError(f"the driver asks for {what}")

    def reference_sha256(self, scenario: Scenario) -> str:
        """Give the hash of the file of an undisturbed call through the generated stubs alone."""
        if scenario["name"] not in self._references:
            self._references[scenario["name"]] = asyncio.run(self._reference(scenario))
        return self._references[scenario["name"]]

    async def _reference(self, scenario: Scenario) -> str:
        async with Client(self.server.ports.grpc) as client:
            call = await _open(client, self.tenant, scenario)
            at_ms, recording = 0, None
            for step in scenario["steps"]:
                ((kind, value),) = step.items()
                if kind == "completed" and recording is None:
                    recording = await call.completed()
                elif kind == "write" and recording is None:
                    await self._send(call, scenario, at_ms, value["toMs"])
                    at_ms = value["toMs"]
                else:
                    await _control(call, kind, value)
            recording = recording or await call.completed()
            return recording.file.sha256

    async def _send(self, call: Call, scenario: Scenario, start_ms: int, end_ms: int) -> None:
        leg_ids = [leg["legId"] for leg in scenario["start"]["legs"]]
        formats = dict.fromkeys(leg_ids, (1000 * FRAMES_PER_MS, _FRAME_BYTES))
        audio: dict[str, Any] = {leg_id: self._audio(leg_id, start_ms, end_ms) for leg_id in leg_ids}
        for message in pieces(formats, chunk_ms=_STEP_MS, from_ms=start_ms, **audio):
            await call.send(**message)

    async def _create_tenant(self) -> Tenant:
        async with Client(self.server.ports.grpc) as client:
            return await client.create_tenant(self.server.admin_token)

    def _write_files(self) -> None:
        self.key_path.write_text(self.tenant.private_key_pem)
        other = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
        pem = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (self.directory / "other-key.pem").write_bytes(pem)
        (self.directory / "audio").mkdir()
        for leg_id, first in _LEGS.items():
            path = self.directory / "audio" / f"{leg_id}.raw"
            path.write_bytes(speech(AUDIO_S, first=first).astype("<i2").tobytes())

    def _audio(self, leg_id: str, start_ms: int, end_ms: int) -> bytes:
        start, end = (_FRAME_BYTES * FRAMES_PER_MS * time_ms for time_ms in (start_ms, end_ms))
        return (self.directory / "audio" / f"{leg_id}.raw").read_bytes()[start:end]


class _Conversation:
    """Reads a driver's lines, does what it asks for, and answers."""

    def __init__(self, bench: Bench, process: "subprocess.Popen[str]", stderr_path: Path) -> None:
        self._bench, self._process, self._stderr_path = bench, process, stderr_path
        self._asked: list[str] = []
        self._memory_bytes: list[int] = []

    def hold(self, *, answer_first: bool, timeout_s: float) -> Run:
        """Talk until the driver ends."""
        began_s = time.monotonic()
        watchdog = threading.Timer(timeout_s, self._process.kill)
        watchdog.start()
        try:
            last = self._talk(answer_first=answer_first)
            code = self._process.wait()
        finally:
            watchdog.cancel()
            watchdog.join()
            self._end()
        stderr = self._stderr_path.read_text()
        wall_s = time.monotonic() - began_s
        assert code == 0, f"the driver ended with {code} after {wall_s:.1f} s; last line {last}\n{stderr[-4000:]}"
        return Run(last.get("result", {}), last.get("error", {}), self._asked, self._memory_bytes, stderr, wall_s)

    def _talk(self, *, answer_first: bool) -> dict[str, Any]:
        assert self._process.stdout is not None
        last: dict[str, Any] = {}
        for line in self._process.stdout:
            last = json.loads(line)
            self._note_memory()
            if (what := last.get("ask")) is None:
                continue
            self._asked.append(what)
            if answer_first:
                self._answer(what)
                self._bench.do(what)
            else:
                self._bench.do(what)
                self._answer(what)
        return last

    def _answer(self, what: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"done": what}) + "\n")
        self._process.stdin.flush()

    def _note_memory(self) -> None:
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{self._process.pid}/status").read_text()
            peaks = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
            self._memory_bytes.extend(int(peak) * 1024 for peak in peaks)

    def _end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()


def check_scenario(bench: Bench, command: Sequence[str], scenario: Scenario) -> Run:
    """Hold a driver to a scenario: the state, the end, the length, the events and the file."""
    run = bench.run(command, scenario)
    _check_result(bench, scenario, run)
    return run


def check_five_kills(bench: Bench, command: Sequence[str]) -> Run:
    """Kill the server five times during a call of 60 s: the file is the undisturbed one, and memory stays bounded.

    The call is sent faster than it was spoken, and goes on being sent while the server is down.
    """
    scenario = five_kills()
    run = bench.run(command, scenario, answer_first=True, timeout_s=2 * _TIMEOUT_S)
    _check_result(bench, scenario, run)
    assert list(run.asked) == ["kill_server"] * 5
    peak_bytes, growth_bytes = max(run.memory_bytes), max(run.memory_bytes) - run.memory_bytes[0]
    assert peak_bytes <= MAX_PEAK_BYTES, f"the driver took {peak_bytes >> 20} MiB"
    assert growth_bytes <= MAX_GROWTH_BYTES, f"the driver grew by {growth_bytes >> 20} MiB"
    return run


def check_refusals(bench: Bench, command: Sequence[str]) -> None:
    """A wrong target, a wrong key and a full server each give one typed error that says whether a retry helps."""
    scenario = SCENARIOS[0]
    with contextlib.closing(FaultProxy(bench.server.ports.grpc)) as nowhere:
        nowhere.refuse()
        run = bench.run(command, scenario, target=f"127.0.0.1:{nowhere.port}")
        _check_error(run, reason="UNAVAILABLE", status="UNAVAILABLE", retryable=True)
    run = bench.run(command, scenario, key_path=bench.directory / "other-key.pem")
    _check_error(run, reason="INVALID_TOKEN", status="UNAUTHENTICATED", retryable=False)


def check_full_server(bench: Bench, command: Sequence[str]) -> None:
    """A server that takes one call at most (`--max-live-recordings 1`) refuses the second, and says: later."""

    async def occupy() -> Run:
        async with Client(bench.server.ports.grpc) as client:
            call = await _open(client, bench.tenant, SCENARIOS[0])
            run = await asyncio.to_thread(bench.run, command, SCENARIOS[0])
            await call.hang_up()
            return run

    _check_error(asyncio.run(occupy()), reason="TOO_MANY_RECORDINGS", status="RESOURCE_EXHAUSTED", retryable=True)


def five_kills() -> Scenario:
    """Stretch the scenario of a killed server to 60 s and five kills."""
    found = copy.deepcopy(dict(next(s for s in SCENARIOS if s["name"] == "server_killed")))
    steps: list[dict[str, Any]] = []
    for kill in range(5):
        steps += [{"write": {"toMs": 10_000 * (kill + 1)}}, {"ask": "kill_server"}]
    found["steps"] = [*steps, {"write": {"toMs": AUDIO_S * 1000}}, {"close": {}}]
    found["name"], found["expect"]["durationMs"] = "five_kills", AUDIO_S * 1000
    return found


def _check_result(bench: Bench, scenario: Scenario, run: Run) -> None:
    assert not run.error, f"{run.error}\n{run.stderr[-4000:]}"
    expect, result = scenario["expect"], run.result
    assert (result["state"], result["stopReason"]) == (expect["state"], expect["stopReason"])
    assert int(result["frames"]) == expect["durationMs"] * FRAMES_PER_MS
    if "plays" in expect:
        assert result["plays"] == expect["plays"]
    if "events" in expect:
        assert result["events"] == expect["events"]
    assert result["sha256"] == result["downloadedSha256"] == bench.reference_sha256(scenario)
    _check_quiet(run)


def _check_error(run: Run, **expected: object) -> None:
    assert not run.result, run.result
    assert {key: run.error[key] for key in expected} == expected, f"{run.error}\n{run.stderr[-4000:]}"
    _check_quiet(run)


def _check_quiet(run: Run) -> None:
    assert not [line for line in run.stderr.splitlines() if any(word in line for word in _UNHANDLED)], run.stderr


async def _open(client: Client, tenant: Tenant, scenario: Scenario) -> Call:
    start = json_format.ParseDict(scenario["start"], StartCall())
    fields = {field.name: value for field, value in start.ListFields()}
    if "ncco" in fields:
        fields["ncco"] = scenario["start"]["ncco"]
    return await client.call(tenant, **fields)


async def _control(call: Call, kind: str, value: Any) -> None:
    """Do the steps that are no audio; those that disturb, or come after the end, leave the file as it is."""
    match kind:
        case "dtmf":
            await call.press(value["digit"], value["frame"], value["legId"])
        case "pause":
            await call.pause(PauseMode.Value(value["mode"]), value.get("frame"))
        case "resume":
            await call.go_on(value.get("frame"))
        case "close":
            await call.send(close=Close(frame=value.get("frame")))
