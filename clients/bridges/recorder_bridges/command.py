"""`recorder-bridge`: one bridge as a process."""

import argparse
import asyncio
import ipaddress
import json
import logging
import signal
import ssl
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from recorder.channel import Client, Tls, connect
from recorder.ncco import find_record_action
from recorder.tokens import application_token
from recorder_bridges.admission import (
    EVERYWHERE,
    LOOPBACK,
    Admission,
    BearerText,
    Network,
    TwilioSignature,
    Verification,
    VonageToken,
)
from recorder_bridges.audiosocket import AudioSocketServer
from recorder_bridges.sessions import Limits, Recording
from recorder_bridges.twilio import TwilioSession
from recorder_bridges.vonage import VonageSession
from recorder_bridges.websocket import WebSocketServer

_WRONG_USAGE = 2


class Listener(Protocol):
    """Accepts senders."""

    async def listen(self, host: str, port: int) -> int:
        """Begin; gives the port."""
        ...

    async def stop(self) -> None:
        """Accept no more, and end what runs."""
        ...


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the bridge that the arguments name, until SIGTERM or Ctrl-C."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    # Its lines are about single connections, and name what was asked for.
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    try:
        key = Path(options.key).read_text()
        # Checked before the first call comes.
        application_token(options.application, key)
        tls = Tls(Path(options.recorder_ca).read_bytes()) if options.recorder_ca else None
        asyncio.run(_serve(options, lambda: application_token(options.application, key), tls))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"recorder-bridge: {error}\n")
        sys.exit(_WRONG_USAGE)


async def _serve(options: argparse.Namespace, token: Callable[[], str], tls: Tls | None) -> None:
    host, port = _address("--listen", options.listen)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with connect(options.target, token=token, tls=tls) as client:
        listener = _listener(options, client)
        bound = await listener.listen(host, port)
        sys.stdout.write(json.dumps({"bridge": options.bridge, "port": bound}) + "\n")
        sys.stdout.flush()
        try:
            await stop.wait()
        finally:
            await listener.stop()


def _listener(options: argparse.Namespace, client: Client) -> Listener:
    recording = Recording(client, _action(options.ncco))
    limits = Limits(connections=options.max_connections, idle_s=options.idle_s)
    admission = _admission(options)
    if options.bridge == "audiosocket":
        return AudioSocketServer(recording, admission, limits)
    session = VonageSession if options.bridge == "vonage" else TwilioSession
    return WebSocketServer(
        options.bridge,
        lambda connection: session(connection, recording, limits).run(),
        admission,
        limits,
        _tls(options),
    )


def _admission(options: argparse.Namespace) -> Admission:
    verifications: list[Verification] = []
    if options.vonage_secret_file:
        verifications.append(VonageToken(_secret(options.vonage_secret_file)))
    if options.bearer_file:
        verifications.append(BearerText(_secret(options.bearer_file)))
    if options.twilio_token_file:
        if not options.public_url:
            raise ValueError("--twilio-token-file needs --public-url, the address that Twilio dials: wss://HOST")
        verifications.append(TwilioSignature(_secret(options.twilio_token_file), options.public_url))
    networks: list[Network] = [ipaddress.ip_network(text) for text in options.allow_network]
    return Admission(networks or (EVERYWHERE if verifications else LOOPBACK), verifications)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="recorder-bridge",
        description="Record what Vonage, Twilio or Asterisk sends. Without a check of its own (--vonage-secret-file, "
        "--bearer-file, --twilio-token-file) and without --allow-network, only senders on this machine come in.",
    )
    parser.add_argument("bridge", choices=("vonage", "twilio", "audiosocket"), help="whose media it is")
    parser.add_argument(
        "--listen", required=True, metavar="HOST:PORT", help="where senders connect; port 0: a free one"
    )
    parser.add_argument("--target", required=True, metavar="HOST:PORT", help="Recorder's gRPC port")
    parser.add_argument("--application", required=True, metavar="ID", help="application that owns the recordings")
    parser.add_argument("--key", required=True, metavar="FILE", help="its private key, PEM")
    parser.add_argument("--recorder-ca", metavar="FILE", help="CA of Recorder's certificate; turns TLS to it on")
    parser.add_argument("--ncco", metavar="JSON", help="NCCO record action, or @FILE that holds it, for every call")
    parser.add_argument("--allow-network", action="append", default=[], metavar="CIDR", help="may be repeated")
    parser.add_argument("--max-connections", type=int, default=Limits().connections, help="senders at once")
    parser.add_argument("--idle-s", type=float, default=Limits().idle_s, help="longest time without a sign of life, s")
    parser.add_argument("--tls-cert", metavar="FILE", help="own certificate chain, PEM: senders use wss")
    parser.add_argument("--tls-key", metavar="FILE", help="its private key")
    parser.add_argument("--vonage-secret-file", metavar="FILE", help="signature secret: check Vonage's token")
    parser.add_argument("--bearer-file", metavar="FILE", help="text that must follow Bearer in Authorization")
    parser.add_argument("--twilio-token-file", metavar="FILE", help="auth token: check X-Twilio-Signature")
    parser.add_argument("--public-url", metavar="URL", help="what Twilio dials, without the path: wss://HOST")
    return parser


def _address(option: str, text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit():
        raise ValueError(f"{option} is {text}; write HOST:PORT")
    return host.strip("[]"), int(port)


def _action(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    found = json.loads(Path(text[1:]).read_text() if text.startswith("@") else text)
    found = find_record_action(found) if isinstance(found, list) else found
    if not isinstance(found, dict):
        raise ValueError("""--ncco holds no record action; write it as --ncco '{"action":"record"}'""")  # noqa: TRY004 - it is what was typed
    return found


def _secret(path: str) -> str:
    secret = Path(path).read_text().strip()
    if not secret:
        raise ValueError(f"{path} is empty")
    return secret


def _tls(options: argparse.Namespace) -> ssl.SSLContext | None:
    if not options.tls_cert:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(options.tls_cert, options.tls_key)
    return context
