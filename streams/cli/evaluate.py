"""`loyalty evaluate risk`: how well the score of leaving would have done on a history, tested on what came later."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from processors.policy import Policy
from streams.cli.command import OK, Command
from streams.cli.output import Output
from streams.schema_ids import decode_of
from streams.settings import LoyaltyError, Settings
from streams.texts import read_policy

if TYPE_CHECKING:
    from streams.replay import Histories
    from streams.study.evaluation import Evaluation

_INFRA = Path(__file__).resolve().parents[2] / "infra"
DATASETS = {"completejourney": ("policy-completejourney.toml", None), "cdnow": ("policy.toml", 90)}
"""Data set to its policy and, where it is not the policy's, the horizon in days."""

_DETAILS = """\
Learns from reviews on the first of each month, tests on the last three whose outcome is known; whatever is learned from
has outcomes that end before the first day of the test. Without --dataset it reads the history in Kafka under
LOYALTY_POLICY. Intervals hold 95% of a thousand draws of customers. Nothing is changed; --write FOLDER writes risk.md
and plots: `loyalty evaluate risk --dataset completejourney --dataset cdnow --write docs` has written those of docs/.
"""


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument("--dataset", action="append", choices=tuple(DATASETS), help="again for more than one")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="write risk.md and risk/*.svg there")


def _run(args: Namespace, settings: Settings) -> int:
    out = Output.of(args)
    try:
        from streams.study.evaluation import evaluate
        from streams.study.report import as_json, tables, write
    except ModuleNotFoundError as error:
        raise LoyaltyError(f"{error.name} is not installed: run `make install`, which brings it") from error
    done: dict[str, Evaluation] = {}
    for name in dict.fromkeys(args.dataset or [""]):
        found, policy = _history(name, settings, out)
        done[name or "history"] = made = evaluate(found, policy, out.note)
        if out.as_json:
            out.record({"dataset": name or None, **as_json(made)})
            continue
        for title, rows in tables(made):
            out.say("")
            out.say(title)
            out.table(rows)
    if args.write is not None:
        try:
            for path in write(args.write, done):
                out.note(str(path))
        except OSError as error:
            raise LoyaltyError(f"{args.write}: {error.strerror}; name a folder that can be written") from None
    return OK


def _history(name: str, settings: Settings, out: Output) -> tuple[Histories, Policy]:
    if name:
        from streams.study.reviews import of_dataset

        file, horizon = DATASETS[name]
        policy = read_policy(_INFRA / file)
        if horizon is not None:
            policy = replace(policy, risk=replace(policy.risk, horizon_days=horizon))
        out.note(f"read {name}")
        return of_dataset(name), policy
    from streams.replay import read_histories

    policy = read_policy(settings.policy)
    with out.progress("records") as bar:
        return read_histories(settings.kafka, None, bar.advance, decode_of(settings)), policy


COMMANDS = [
    Command("evaluate risk", "test the score of leaving on history: trained on the past", _configure, _run, _DETAILS),
]
