"""`loyalty demo`: the whole way once, on real tills. What `make run` calls.

Each step is a command that anybody can type; it runs as its own process with its own output. A second run starts from
what is there: the import is done once for the topics as they were made, and the worker goes on where it stopped.
"""

import os
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path

from schemas.topics import PURCHASES
from streams.cli.command import OK, Command
from streams.cli.output import Output
from streams.settings import LoyaltyError, Settings

DATASET = "completejourney"
_POLICY = Path(__file__).resolve().parents[2] / "infra" / f"policy-{DATASET}.toml"
_NEXT = (
    "customers --tier gold",
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
    _import_once(out, environ, settings, args.customers)
    _step(out, environ, "worker", "--until-caught-up")
    _step(out, environ, "summary")
    _what_next(out, settings, environ)
    return OK


def _import_once(out: Output, environ: dict[str, str], settings: Settings, customers: int | None) -> None:
    """The mark names the topic as it was made: topics made anew are filled anew, whatever the mark says."""
    from streams.topics_admin import topic_id

    mark = settings.data_dir / f"imported-{DATASET}"
    made = topic_id(settings.kafka, PURCHASES)
    if mark.exists() and mark.read_text() == made:
        out.note(f"== {DATASET} is in Kafka already; the worker goes on from there")
        return
    _step(out, environ, "import-dataset", DATASET, *(("--customers", str(customers)) if customers else ()))
    mark.write_text(made)


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
    out.note(f"A running worker serves http://{settings.metrics}/metrics. `make down` stops the servers.")


COMMANDS = [
    Command("demo", "a year of real tills from import to summary (make run)", _configure, _run),
]
