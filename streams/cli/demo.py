"""`loyalty demo`: the whole way once, on real tills. What `make run` calls.

Each step is a command that anybody can type; it runs as its own process with its own output. A second run starts from
what is there: the import sees by the ticks that it was done, and the worker goes on where it stopped.
"""

import os
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path

from streams.cli.command import OK, Command
from streams.cli.output import Output
from streams.settings import LoyaltyError, Settings

DATASET = "completejourney"
_POLICY = Path(__file__).resolve().parents[2] / "infra" / f"policy-{DATASET}.toml"
_NEXT = (
    "customers --tier gold",
    "kpi",
    "customer {customer}",
    "subscribe tier-changes --from-beginning --until-end",
    "dead-letters list",
    "doctor",
)


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument("--customers", type=int, metavar="N", help="only the first N households (default: all)")


def _run(args: Namespace, settings: Settings) -> int:
    out = Output.of(args)
    environ = {**os.environ, "LOYALTY_CLOCK": "data"}
    environ.setdefault("LOYALTY_POLICY", str(_POLICY))
    _step(out, environ, "stack", "up")
    _step(out, environ, "topics", "create")
    _step(out, environ, "import-dataset", DATASET, *(("--customers", str(args.customers)) if args.customers else ()))
    _step(out, environ, "worker", "--until-caught-up")
    _step(out, environ, "summary")
    _what_next(out, settings, environ)
    _step(out, environ, "console", "--background")
    return OK


def _step(out: Output, environ: dict[str, str], *words: str) -> None:
    """One command, with the time it took. Raises LoyaltyError if it failed; it has said why."""
    out.note(f"== loyalty {' '.join(words)}")
    began = time.monotonic()
    flags = ("--json",) if out.as_json else ()
    done = subprocess.run([sys.executable, "-m", "streams", *flags, *words], env=environ, check=False)
    if done.returncode:
        raise LoyaltyError(f"`loyalty {' '.join(words)}` ended with {done.returncode}; mend that and run it again")
    out.note(f"   {time.monotonic() - began:.1f} s")


def _what_next(out: Output, settings: Settings, environ: dict[str, str]) -> None:
    out.note("")
    out.note("Try next (source .venv/bin/activate):")
    out.note(f"  export LOYALTY_CLOCK=data LOYALTY_POLICY={os.path.relpath(environ['LOYALTY_POLICY'])}")
    for words in _NEXT:
        out.note(f"  loyalty {words.format(customer=1)}")
    out.note(f"`loyalty exporter` serves the programme's figures on http://{settings.exporter}/metrics.")
    out.note(
        f"A running worker serves http://{settings.metrics}/metrics. `make down` stops the servers and the console."
    )


COMMANDS = [
    Command("demo", "a year of real tills from import to summary (make run)", _configure, _run),
]
