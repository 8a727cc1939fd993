"""A TCP proxy on loopback that fails as networks and stores do; switched at run time, from any thread.

It understands just enough of plain HTTP/1.1 to answer in the server's place and to count bodies. Other protocols (TLS,
HTTP/2) pass through it; refusing, black holes, slowness and cuts work for them too, counted over all bytes.
"""

import contextlib
import enum
import re
import socket
import struct
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

_BLOCK_BYTES = 64 * 1024
_REQUEST = re.compile(rb"[A-Z]+ \S+ HTTP/1\.[01]\r\n")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_RESET = struct.pack("ii", 1, 0)


class Way(enum.Enum):
    """The direction a fault acts on."""

    UP = "to the server"
    DOWN = "to the client"


class _Kind(enum.Enum):
    PASS = enum.auto()
    BLACK_HOLE = enum.auto()
    ANSWER = enum.auto()
    SLOW = enum.auto()
    CUT = enum.auto()


@dataclass(frozen=True, slots=True)
class _Fault:
    kind: _Kind = _Kind.PASS
    only: re.Pattern[bytes] | None = None
    way: Way = Way.DOWN
    amount: int = 0
    answer: bytes = b""

    def concerns(self, head: bytes) -> bool:
        return self.only is None or self.only.search(head) is not None


class FaultProxy:
    """Stands between a client and a server on loopback; passes everything on until told otherwise.

    `with FaultProxy(server_port) as proxy:` then `proxy.port`. A switch acts on open connections too. `only` limits a
    fault to requests whose first line matches the pattern, such as `"^POST .*uploads"`; `times` ends it after so many.

    Attributes:
        requests: First lines of all HTTP requests that came, whatever became of them.
        connections: How many connections were accepted so far.
    """

    def __init__(self, server_port: int, *, server_host: str = "127.0.0.1") -> None:
        self._server = (server_host, server_port)
        self.requests: list[str] = []
        self.connections = 0
        self._fault, self._times = _Fault(), -1
        self._changed = threading.Condition()
        self._open: set[_Connection] = set()
        self._decoys: list[socket.socket] = []
        self._closed = False
        self._listener: socket.socket | None = self._listen(0)
        self.port: int = self._listener.getsockname()[1]
        self._thread: threading.Thread | None = None

    def pass_through(self) -> None:
        """No fault."""
        self._switch(_Fault())

    def refuse(self) -> None:
        """Nobody listens any more; open connections are reset."""
        self._stop_listening()
        self.reset()

    def unreachable(self) -> None:
        """Connecting gets no answer at all (packets are dropped); open connections are reset."""
        self._stop_listening()
        self.reset()
        self._listener = self._listen(self.port, backlog=0)
        for _ in range(4):  # Fill the queue of the listener: the kernel drops further SYNs.
            decoy = socket.socket()
            decoy.setblocking(False)
            decoy.connect_ex(("127.0.0.1", self.port))
            self._decoys.append(decoy)

    def black_hole(self, *, only: str = "") -> None:
        """Accept connections and bytes, but pass nothing on; connections that fell in are reset when this ends."""
        self._switch(_Fault(_Kind.BLACK_HOLE, _pattern(only)))

    def answer(self, status: int = 503, *, only: str = "", times: int = -1, body: str = "", headers: str = "") -> None:
        """Answer HTTP requests in the server's place, and close the connection."""
        head = f"HTTP/1.1 {status} Fault\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{headers}\r\n"
        self._switch(_Fault(_Kind.ANSWER, _pattern(only), answer=(head + body).encode()), times)

    def slow(self, bytes_per_s: int, *, way: Way = Way.DOWN, only: str = "") -> None:
        """Pass bytes on at this rate, per connection."""
        self._switch(_Fault(_Kind.SLOW, _pattern(only), way, bytes_per_s))

    def cut(self, after_bytes: int, *, way: Way = Way.DOWN, only: str = "", times: int = -1) -> None:
        """End the connection after so many bytes of a body: of the answer (way DOWN), or of the request (UP)."""
        self._switch(_Fault(_Kind.CUT, _pattern(only), way, after_bytes), times)

    def reset(self) -> None:
        """Reset the connections that are open now."""
        for connection in tuple(self._open):
            connection.end(reset=True)

    def __enter__(self) -> Self:
        self._start_accepting()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End everything."""
        self._closed = True
        self._stop_listening()
        with self._changed:
            self._changed.notify_all()
        for connection in tuple(self._open):
            connection.end(reset=True)
            connection.join()

    def fault_for(self, head: bytes) -> _Fault:
        """Return the fault that concerns a connection whose latest request began with `head`."""
        fault = self._fault
        return fault if fault.concerns(head) else _Fault()

    def spend(self) -> bool:
        """Take one of the times a fault may strike; False when none is left."""
        with self._changed:
            if self._times == 0:
                return False
            self._times -= 1
            if self._times == 0:
                self._fault = _Fault()
            return True

    def wait_change(self, fault: _Fault) -> None:
        """Wait until this fault is over, or the proxy closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._fault is not fault)

    def forget(self, connection: "_Connection") -> None:
        """Drop a connection that has ended."""
        self._open.discard(connection)

    def _switch(self, fault: _Fault, times: int = -1) -> None:
        with self._changed:
            self._fault, self._times = fault, times
            self._changed.notify_all()
        if self._listener is None or self._decoys:
            self._stop_listening()
            self._listener = self._listen(self.port)
            self._start_accepting()

    def _listen(self, port: int, backlog: int = 128) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(backlog)
        return listener

    def _stop_listening(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        while self._decoys:
            self._decoys.pop().close()

    def _start_accepting(self) -> None:
        assert self._listener is not None
        self._thread = threading.Thread(target=self._accept, args=(self._listener,), name="fault-proxy", daemon=True)
        self._thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            try:
                server = socket.create_connection(self._server, timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            connection = _Connection(self, client, server)
            self._open.add(connection)
            connection.start()


class _Connection:
    """One client's connection and the one made for it to the server; a thread for each way."""

    def __init__(self, proxy: FaultProxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self._head = b""
        self._answer_began = False
        self._body_bytes = {Way.UP: 0, Way.DOWN: 0}
        self._threads = [
            threading.Thread(target=self._run, args=arguments, name="fault-proxy-pump", daemon=True)
            for arguments in ((client, server, Way.UP), (server, client, Way.DOWN))
        ]
        self._running = len(self._threads)
        self._lock = threading.Lock()

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(5)

    def end(self, *, reset: bool) -> None:
        """Close both sides; the pumps notice and close the sockets for good."""
        for side in (self._client, self._server):
            with contextlib.suppress(OSError):
                if reset:
                    side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                side.shutdown(socket.SHUT_RDWR)

    def _run(self, source: socket.socket, target: socket.socket, way: Way) -> None:
        try:
            self._pump(source, target, way)
        except OSError:
            self.end(reset=True)
        with self._lock:
            self._running -= 1
            if self._running:
                return
        self._client.close()
        self._server.close()
        self._proxy.forget(self)

    def _pump(self, source: socket.socket, target: socket.socket, way: Way) -> None:
        while block := source.recv(_BLOCK_BYTES):
            if way is Way.UP and _REQUEST.match(block):
                self._begin(block)
            if not self._treat(block, target, way):
                return
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def _begin(self, block: bytes) -> None:
        self._head = block.split(b"\r\n", 1)[0]
        self._proxy.requests.append(self._head.decode("latin-1"))
        self._answer_began = False
        self._body_bytes = dict.fromkeys(Way, 0)

    def _treat(self, block: bytes, target: socket.socket, way: Way) -> bool:
        """Pass a block on as the fault of the hour has it; False ends this way."""
        fault = self._proxy.fault_for(self._head)
        if fault.kind is _Kind.BLACK_HOLE:
            self._proxy.wait_change(fault)
            self.end(reset=True)
            return False
        if fault.kind is _Kind.ANSWER and way is Way.UP and _REQUEST.match(block) and self._proxy.spend():
            self._drain(block)
            self._client.sendall(fault.answer)
            self.end(reset=False)
            return False
        room = self._room(fault, block, way)
        if fault.kind is _Kind.SLOW and fault.way is way:
            self._trickle(fault, block, target)
        else:
            target.sendall(block[:room])
        if room < len(block):
            self.end(reset=way is Way.UP)
        return room == len(block)

    def _room(self, fault: _Fault, block: bytes, way: Way) -> int:
        """Count the block's bytes of a body, and return how much of the block may still pass."""
        head_bytes = 0
        if (way is Way.UP and _REQUEST.match(block)) or (way is Way.DOWN and not self._answer_began):
            self._answer_began = self._answer_began or way is Way.DOWN
            head_bytes = block.find(b"\r\n\r\n") + 4 if b"\r\n\r\n" in block else 0
        left = fault.amount - self._body_bytes[way]
        self._body_bytes[way] += len(block) - head_bytes
        if fault.kind is not _Kind.CUT or fault.way is not way or len(block) - head_bytes <= left:
            return len(block)
        return head_bytes + max(left, 0) if self._proxy.spend() else len(block)

    def _trickle(self, fault: _Fault, block: bytes, target: socket.socket) -> None:
        step = max(1, fault.amount // 20)
        for start in range(0, len(block), step):
            piece = block[start : start + step]
            target.sendall(piece)
            time.sleep(len(piece) / fault.amount if self._proxy.fault_for(self._head) is fault else 0)

    def _drain(self, block: bytes) -> None:
        """Take in the body of a request, so that the client listens for the answer."""
        head, _, rest = block.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        missing = (int(length[1]) if length else 0) - len(rest)
        while missing > 0 and (taken := self._client.recv(min(missing, _BLOCK_BYTES))):
            missing -= len(taken)


def _pattern(only: str) -> re.Pattern[bytes] | None:
    return re.compile(only.encode()) if only else None
