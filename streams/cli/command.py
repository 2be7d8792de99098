"""What a command is. Each module of `streams/cli` lists its own as `COMMANDS`; the table in `__init__` names them."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass

from streams.settings import Settings

OK = 0
FAILED = 1
USAGE = 2


@dataclass(frozen=True, slots=True)
class Command:
    """One command of `loyalty`.

    name: as typed; a name with a space is a command of a group (`stack up`).
    help: one line, the same that the table shows.
    configure: adds the arguments; `--json` is there already, as `args.json`.
    run: does the work and returns the exit code: OK, FAILED or USAGE. What it prints goes through `output.Output`;
         an expected failure is raised as `LoyaltyError` (exit 1), `UsageError` or `SettingError` (exit 2).
    details: more text below the help.
    """

    name: str
    help: str
    configure: Callable[[ArgumentParser], None]
    run: Callable[[Namespace, Settings], int]
    details: str = ""


def no_arguments(parser: ArgumentParser) -> None:
    """For a command that takes none."""
    del parser
