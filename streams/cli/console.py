"""`loyalty console`: the web page, here or in the background beside the local stack."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Final
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from infra.localstack import StackError
from infra.localstack.process import Daemon, port_taken
from streams.cli.command import OK, Command
from streams.cli.output import Output
from streams.settings import LoyaltyError, Settings

NAME: Final = "console"
_PORTS_TRIED: Final = 20
_START_S: Final = 30.0
STOP_S: Final = 10.0
_ASK_S: Final = 2.0


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--background", action="store_true", help="start it and return; `loyalty stack down` stops it with the stack"
    )


_DETAILS = """\
For managers and care staff: figures of the programme, customers at risk, today's care, each customer, tiers. For ops:
lag, rates, dead letters. It serves this machine alone; elsewhere it needs LOYALTY_CONSOLE_TOKEN, and a proxy with TLS.
"""


def run_console(args: Namespace, settings: Settings) -> int:
    """Serves until it is told to end."""
    out = Output.of(args)
    if args.background:
        url = background(settings, out)
        if out.as_json:
            out.record({"url": url})
        else:
            out.say(f"the console is at {url}")
        return OK
    from streams.logs import set_up

    set_up(settings.log, form=settings.logs)
    asyncio.run(_serve(settings, out))
    return OK


async def _serve(settings: Settings, out: Output) -> None:
    from streams.console.guard import Guard
    from streams.console.live import Live
    from streams.console.server import Console

    host, port = settings.console_address
    live = Live(settings)
    console = Console(live, Guard(host, port, settings.console_token, settings.console_read_token))
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    logging.getLogger("aiohttp").setLevel(logging.WARNING)
    logging.getLogger("kafka.cluster").setLevel(logging.CRITICAL)  # tells an error of each consumer that is closed
    await console.start(host, port)
    await live.start()
    out.note(f"console on {_url(host, console.port)}")
    try:
        await ended.wait()
    finally:
        await live.stop()
        await console.stop()


def _url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


# ---- in the background


def background(settings: Settings, out: Output) -> str:
    """Its address, once it answers: the one that runs already, else a new one. A taken port is told, and the next free
    one taken. Raises LoyaltyError."""
    run_dir = settings.data_dir.resolve() / "run"
    run_dir.mkdir(parents=True, exist_ok=True)
    place = run_dir / f"{NAME}.address"
    known = _read(place)
    if known and daemon(run_dir, known, out).pid() is not None and _answers(known):
        return known
    stop(settings, out)
    host, port = settings.console_address
    free = next((one for one in range(port, port + _PORTS_TRIED) if not port_taken(host, one)), None)
    if free is None:
        raise LoyaltyError(f"LOYALTY_CONSOLE is {host}:{port}: it and the ports after it are taken; set another one")
    if free != port:
        out.note(f"port {port} is taken by another program, so the console takes {free}; LOYALTY_CONSOLE sets it")
    url = _url(host, free)
    place.write_text(url)
    from os import environ

    own = {**environ, "LOYALTY_CONSOLE": f"{f'[{host}]' if ':' in host else host}:{free}"}
    try:
        daemon(run_dir, url, out).start([sys.executable, "-m", "streams", NAME], _START_S, own)
    except StackError as error:
        raise LoyaltyError(str(error)) from error
    return url


def stop(settings: Settings, out: Output) -> bool:
    """End the one in the background. False: none ran."""
    run_dir = settings.data_dir.resolve() / "run"
    if not run_dir.exists():
        return False
    return daemon(run_dir, _read(run_dir / f"{NAME}.address"), out).stop(STOP_S)


def daemon(run_dir: Path, url: str, out: Output) -> Daemon:
    """The process in the background that serves at `url`."""
    return Daemon(NAME, run_dir, lambda: _answers(url), out.note)


def _read(place: Path) -> str:
    try:
        return place.read_text()
    except OSError:
        return ""


def _answers(url: str) -> bool:
    """Whether a console is there, and no other program."""
    from streams.console.gets import HELLO

    try:
        with build_opener(ProxyHandler({})).open(f"{url}livez", timeout=_ASK_S) as answer:
            return bool(answer.read(len(HELLO) + 1).decode("utf-8", "replace") == HELLO)
    except (URLError, OSError, ValueError):
        return False


COMMANDS = [
    Command("console", "a web page: who may leave, today's care, tiers, the stream", _arguments, run_console, _DETAILS),
]
