"""The command line: the table of commands, exit codes, errors in one line.

The table names each command with its module and its help, so that `loyalty --help` imports nothing heavy; a command's
module is imported when the command is asked for, and lists what the table promises in its `COMMANDS`.

Exit codes: 0 fine, 1 failed, 2 wrong usage (arguments or settings), 130 interrupted.
"""

import sys
from argparse import SUPPRESS, ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from streams import __version__, refusals
from streams.cli import output
from streams.cli.command import FAILED, USAGE, Command
from streams.settings import LoyaltyError, Settings, UsageError

INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the table: the command as typed, the module of `streams.cli` that has it, one line of help."""

    name: str
    module: str
    help: str


TABLE: tuple[Entry, ...] = (
    Entry("stack up", "stack", "start real Kafka and Redis on this machine and wait until both answer"),
    Entry("stack down", "stack", "stop them; the data stays"),
    Entry("stack status", "stack", "what of the local stack runs, and where"),
    Entry("topics create", "stack", "create the topics that are missing"),
    Entry("doctor", "doctor", "print the settings, what they reach and what is wrong with it"),
    Entry("demo", "demo", "a year of real tills from import to summary (make run)"),
    Entry("import", "feed", "send a JSONL, CSV or Avro file of events to a topic"),
    Entry("import-dataset", "feed", "send a data set: cdnow, cdnow-sample, completejourney"),
    Entry("validate", "validate", "what the worker would say of a file of records, without a server"),
    Entry("erase", "feed", "forget a customer"),
    Entry("merge", "merge", "count one id's history for another: they are one customer"),
    Entry("unmerge", "merge", "take a merge apart again"),
    Entry("worker", "work", "fold events into customers and publish what changed"),
    Entry("rebuild", "rebuild", "fill an empty Redis again from Kafka"),
    Entry("customer", "ask", "one customer as of now"),
    Entry("customers", "ask", "all customers, by tier, risk or segment"),
    Entry("care", "care", "who is to be cared for now, by employee"),
    Entry("complete-care", "care", "close a reminder: somebody has cared"),
    Entry("promises", "serving", "promises kept, late and broken, by kind, store or employee"),
    Entry("complaints", "serving", "complaints by cause, store or severity, and how they went"),
    Entry("employees", "serving", "those in charge of customers, by how well these are kept"),
    Entry("producers", "producers", "what stores send: late, repeated, refused, misplaced, skew"),
    Entry("summary", "overview", "customers by tier, value shares, who rose and fell"),
    Entry("funnel", "funnel", "how new customers came, how far they got, who asked and has not bought"),
    Entry("what-if", "what_if", "what more retention, or money moved to keeping, would be worth"),
    Entry("kpi", "figures", "the programme's figures: customers, value, retention, care, stores"),
    Entry("forecast", "figures", "what will be bought in the next 30 and 90 days, by store or category"),
    Entry("exporter", "figures", "serve the programme's figures to Prometheus"),
    Entry("console", "console", "a web page: who may leave, today's care, tiers, the stream"),
    Entry("subscribe", "listen", "read a topic, decoded"),
    Entry("explain", "explain", "why an output was told: rule, numbers, policy, input records"),
    Entry("dead-letters list", "listen", "records that could not be used, and why"),
    Entry("dead-letters retry", "listen", "send them again"),
    Entry("fit", "fit", "fit the policy's models and weights on the history in Kafka"),
    Entry("evaluate risk", "evaluate", "test the score of leaving on history: trained on the past"),
    Entry("policy check", "policy", "check a policy file; every error with its line"),
    Entry("policy diff", "policy_diff", "whom another policy would move, and what it would have done"),
)

GROUPS: Mapping[str, str] = {
    "stack": "the local Kafka and Redis",
    "topics": "the Kafka topics",
    "dead-letters": "records that could not be used",
    "evaluate": "how well scores do on history",
    "policy": "the policy file",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (default: this process's) and return its exit code. Never raises for what is expected."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(argv)
    except UsageError as error:
        output.fail(str(error))
        return USAGE
    except LoyaltyError as error:
        output.fail(str(error))
        return FAILED
    except KeyboardInterrupt:
        output.fail("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        output.close_broken_pipe()
        return FAILED
    except Exception as error:
        told = refusals.told(error)
        if told is None:
            raise
        output.fail(told)
        return FAILED


def parser(selected: Sequence[str] = ()) -> ArgumentParser:
    """The parser of all commands; only that which `selected` (the words typed) names has its arguments."""
    root = ArgumentParser(
        prog="loyalty",
        description="Customer loyalty from a stream of purchases, complaints and contacts.",
        epilog="Settings are environment variables LOYALTY_*; `loyalty doctor` lists them.",
        allow_abbrev=False,
    )
    _add_json(root)
    root.add_argument("--version", action="version", version=f"loyalty {__version__}")
    commands = root.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    groups: dict[str, Any] = {}
    for entry in TABLE:
        group, _, name = entry.name.rpartition(" ")
        if group and group not in groups:
            described = GROUPS[group]
            inner = _add(commands, group, described)
            groups[group] = inner.add_subparsers(title="commands", metavar="COMMAND", required=True)
        leaf = _add(groups[group] if group else commands, name, entry.help)
        leaf.set_defaults(entry=entry)
        if tuple(entry.name.split()) == tuple(selected):
            _configure(leaf, load(entry))
    return root


def load(entry: Entry) -> Command:
    """The command itself, from its module."""
    module = import_module(f"streams.cli.{entry.module}")
    for command in module.COMMANDS:
        if command.name == entry.name:
            assert isinstance(command, Command)
            return command
    raise AssertionError(f"streams/cli/{entry.module}.py: COMMANDS lacks {entry.name!r}, which the table promises")


def _run(argv: Sequence[str]) -> int:
    root = parser(_selected(argv))
    try:
        args = root.parse_args(argv)
    except SystemExit as end:  # argparse has printed the help, the version or what is wrong
        return int(end.code or 0)
    entry: Entry | None = getattr(args, "entry", None)
    if entry is None:
        root.print_help()
        return USAGE
    args.json = getattr(args, "json", False)
    return load(entry).run(args, Settings.from_env())


def _selected(argv: Sequence[str]) -> tuple[str, ...]:
    """The words that name the command: the first, and the second in a group. The root has no option with a value."""
    words = [word for word in argv if not word.startswith("-")]
    return tuple(words[:2] if words and words[0] in GROUPS else words[:1])


def _add(commands: Any, name: str, help_text: str) -> ArgumentParser:
    described = help_text[0].upper() + help_text[1:] + "."
    added: ArgumentParser = commands.add_parser(
        name, help=help_text, description=described, formatter_class=RawDescriptionHelpFormatter, allow_abbrev=False
    )
    _add_json(added)
    return added


def _add_json(made: ArgumentParser) -> None:
    made.add_argument("--json", action="store_true", default=SUPPRESS, help="one JSON object a line on stdout")


def _configure(leaf: ArgumentParser, command: Command) -> None:
    leaf.epilog = command.details or None
    command.configure(leaf)
