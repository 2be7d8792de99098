"""`loyalty worker`: folds events into customers and publishes what changed."""

import signal
import sys
from argparse import ArgumentParser, Namespace

from streams.cli.command import OK, Command
from streams.settings import Settings


def _worker_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--until-caught-up",
        action="store_true",
        help="end with 0 once all input is folded and all outputs are published; writes no ticks of its own",
    )


def _worker(args: Namespace, settings: Settings) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(OK))  # until the worker has a handler: nothing is begun yet
    from streams.assembly import Assembly  # here, not above: `loyalty worker --help` needs no Kafka client
    from streams.worker import run

    return run(settings, lambda: Assembly(settings), until_caught_up=args.until_caught_up)


COMMANDS = [
    Command(
        "worker",
        "fold events into customers and publish what changed",
        _worker_arguments,
        _worker,
        details="SIGTERM and SIGINT finish the commit in flight and hand the partitions over; exit 0. "
        "Start more of them to share the partitions; each needs a LOYALTY_METRICS of its own.",
    ),
]
