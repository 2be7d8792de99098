"""`loyalty policy check`: is this file a policy, and what does it say."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from processors.money import major
from processors.policy import Policy, PolicyError, Tier
from streams.cli.command import FAILED, OK, Command
from streams.cli.output import Output
from streams.settings import Settings
from streams.texts import policy_text, usable_policy

_MONEY = ("min_value_365d", "min_margin_365d", "min_contribution_365d")


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="a policy (default: the one in LOYALTY_POLICY)"
    )


def _check(args: Namespace, settings: Settings) -> int:
    out = Output.of(args)
    path: Path = args.file or settings.policy
    try:
        policy = usable_policy(policy_text(path), str(path))
    except PolicyError as error:
        _tell_problems(out, path, error.problems)
        return FAILED
    _tell(out, policy)
    return OK


def _tell_problems(out: Output, path: Path, problems: list[str]) -> None:
    if out.as_json:
        out.record({"ok": False, "file": str(path), "problems": problems})
        return
    for problem in problems:
        out.say(problem)
    out.say(f"{len(problems)} problem{'s' if len(problems) > 1 else ''}; the policy is not used until each is mended")


def _tell(out: Output, policy: Policy) -> None:
    programme = policy.programme
    if out.as_json:
        tiers = [
            {
                "name": tier.name,
                "conditions": dict(tier.conditions),
                "care_every_days": tier.care_every_days,
                "benefits": list(tier.benefits),
            }
            for tier in policy.tiers
        ]
        out.record(
            {
                "ok": True,
                "policy": policy.label,
                "key": policy.key,
                "currency": programme.currency,
                "time_zone": programme.time_zone,
                "language": programme.language,
                "grace_days": policy.tier_rules.grace_days,
                "one_step_down": policy.tier_rules.one_step_down,
                "tiers": tiers,
                "problems": [],
            }
        )
        return
    rules = policy.tier_rules
    out.say(f"ok: {policy.key}, {programme.currency}, days in {programme.time_zone}, language {programme.language}")
    down = "one tier at a time" if rules.one_step_down else "to the tier that fits then"
    out.say(f"a tier is lost after {rules.grace_days} days below it, {down}")
    out.table([_row(tier, programme.currency) for tier in policy.tiers], title="tiers, lowest first")
    others = {
        "care": len(policy.care),
        "segments": len(policy.segments),
        "regions": len(policy.regions),
        "festivals": len(policy.feasts.festivals),
        "currencies": len(policy.currencies.rates),
        "margin rates": len(policy.margin.rates),
        "grades": len(policy.grades),
    }
    out.say(", ".join(f"{count} {name}" for name, count in others.items()))


def _row(tier: Tier, currency: str) -> dict[str, Any]:
    needs = [f"{name} {major(int(need), currency) if name in _MONEY else need}" for name, need in tier.conditions]
    return {
        "tier": tier.name,
        "needs": ", ".join(needs) or "nothing",
        "care every": tier.care_every_days,
        "benefits": ", ".join(tier.benefits) or "-",
    }


COMMANDS = [
    Command(
        name="policy check",
        help="check a policy file; every error with its line",
        configure=_configure,
        run=_check,
        details="Exit code 0: the file is a policy. 1: it is not, and every problem has been listed.",
    )
]
