"""What pages are shown, made by hand: with ids and texts that would be markup if anybody forgot to escape them."""

from __future__ import annotations

from processors.care.why import Why as NotNow
from processors.policy import Policy
from processors.policy_diff import Lack, Move
from processors.sketch import SHARES
from sinks.dead_letters import DeadLetter
from streams import serving, summary
from streams.console.person import Entry, Person, Told
from streams.console.pipeline import Part, Pipeline, Worker
from streams.console.story import Event, Story
from streams.console.supposing import Supposed
from streams.console.survey import LEVELS, Due, Load, Moving, Risky, Survey, Why
from streams.policy_diff import Diff
from streams.texts import read_policy
from tests.conftest import ROOT

EVIL = "</td><script>alert(1)</script>\"'&amp;<img src=x onerror=alert(2)>"
STEERS = "anna\u202egnp"
NOW = 1_514_764_799_999


def policy() -> Policy:
    return read_policy(ROOT / "infra" / "policy-completejourney.toml")


REASONS = (Why("silence", 1.2, 31.0, 9.0), Why("open_complaint", 0.8, 1.0, 4.0), Why("spend_trend", 0.4, 53.0, 90.0))


def risky(id: str = EVIL, stake: int = 89_963, level: str = "AT_RISK", **more: object) -> Risky:
    fields: dict[str, object] = {
        "customer_id": id,
        "tier": "gold",
        "level": level,
        "score": 0.31,
        "stake": stake,
        "value_365d": 145_284,
        "last_purchase_at": NOW - 86_400_000,
        "usual_gap_days": 9.0,
        "employee_id": EVIL,
        "held_out": False,
        "reasons": REASONS,
        "care": ("RISK",),
    }
    return Risky(**(fields | more))  # type: ignore[arg-type]


def due(id: str = EVIL, kind: str = "RISK", priority: int = 1, **more: object) -> Due:
    fields: dict[str, object] = {
        "reminder_id": f"{id}:{kind}:1",
        "customer_id": id,
        "place": False,
        "tier": "gold",
        "level": "AT_RISK",
        "stake": 89_963,
        "kind": kind,
        "status": "ESCALATED",
        "priority": priority,
        "channel": "phone",
        "employee_id": EVIL,
        "due_at": NOW,
        "expires_at": NOW + 86_400_000,
        "have": 31.0,
        "usual": 9.0,
        "what": EVIL,
        "day": "2017-12-31",
    }
    return Due(**(fields | more))  # type: ignore[arg-type]


def moving(down: bool = True) -> Moving:
    return Moving(
        customer_id=EVIL,
        tier="gold",
        to_tier="silver" if down else "platinum",
        at=NOW if down else None,
        below=down,
        condition="min_value_365d",
        have=274_700,
        need=290_000,
        value_365d=274_700,
        employee_id=None,
    )


COUNTS = {
    "gained": 200,
    "gained_referred": 12,
    "leads_referred": 5,
    "sales_referred": 30,
    "referrers": 10,
    "won_back": 3,
    "won_back_value": 5_000,
    "lost:silence": 18,
    "lost:no_purchase": 2,
    "lost_untouched": 5,
    "lost_complaining": 2,
    "care:RISK:DUE": 9,
    "care:RISK:FULFILLED": 3,
    "care:RISK:EXPIRED": 4,
    f"care:{EVIL}:DUE": 1,
    "kept:kind:KEEP_WORD": 3,
    "late:kind:KEEP_WORD": 1,
    "complaints_open:about:PRODUCT": 2,
    f"complaints_open:about:{EVIL}": 2,
}


def survey(**more: object) -> Survey:
    merit = serving.Employee(EVIL, 1, 30, 2, 0.9, 0.8, 100_000, 50_000, 0.5, 0.4, 4.0, EVIL, NOW)
    fields: dict[str, object] = {
        "as_of": NOW,
        "seconds": 0.1,
        "policy": policy(),
        "customers": 274,
        "tiers": tuple(
            summary.TierLine(name, 10, 0.25, 700_000, 0.25) for name in ("platinum", "gold", "silver", "member")
        ),
        "risks": tuple(summary.RiskLine(level, 10 + place, 1_000 * place) for place, level in enumerate(LEVELS)),
        "shares": {share: float(share) for share in SHARES},
        "scores": tuple(range(20)),
        "equity": 21_300_000,
        "expected": 10_313.4,
        "equity_by_tier": {"gold": 6_000_000},
        "layers": {"LOYAL": 107, "NONE": 127},
        "untouched": (summary.Untouched("gold", 90, 145, 1),),
        "employees": (merit,),
        "risky": (risky(), risky("157", 61_010, "WATCH", held_out=True), risky("3", 5, care=())),
        "risky_all": 39,
        "loads": {
            EVIL: Load(1, 1, (due(),)),
            None: Load(2, 0, (due("157", "ACTION", 3, place=True), due("3", EVIL, 4))),
        },
        "falling": (moving(),),
        "falling_all": 1,
        "rising": (moving(False),),
        "rising_all": 1,
        "counts": COUNTS,
    }
    return Survey(**(fields | more))  # type: ignore[arg-type]


def story() -> Story:
    days = {17_200: {"churn-risk:RAISED": 3, "care-reminders:FULFILLED": 2}, 17_300: {"churn-risk:LOST": 1}}
    latest = (Event(NOW, "churn-risk", EVIL, "RAISED", "AT_RISK"), Event(NOW, "tier-changes", "3", "UP", "gold"))
    return Story(days=days, latest=latest)


def part(number: int = 0, lag: int = 0, **more: object) -> Part:
    fields: dict[str, object] = {
        "partition": number,
        "clock": NOW,
        "lags": {"purchases": lag, "ticks": 0},
        "outbox": 0,
        "late_ms": 0.0,
        "epoch": 1,
        "commits": 9,
        "still_s": 0.0,
    }
    return Part(**(fields | more))  # type: ignore[arg-type]


WORKER = Worker(
    address="http://127.0.0.1:9464/metrics",
    partitions=2,
    latency=(0.012, 0.05, 0.2),
    commit=(0.002, 0.01, 0.02),
    counts={"loyalty_records_total": 12_444.0},
)


def pipeline(*parts: Part, **more: object) -> Pipeline:
    fields: dict[str, object] = {
        "parts": parts or (part(0), part(1)),
        "worker": WORKER,
        "rate": 10.0,
        "rates": (0.0, 10.0),
        "lags": (3, 0),
        "dead": 0,
        "pending": {},
    }
    return Pipeline(**(fields | more))  # type: ignore[arg-type]


def letter(offset: int = 118, **more: object) -> DeadLetter:
    fields: dict[str, object] = {
        "letter_partition": 0,
        "letter_offset": offset,
        "topic": "purchases",
        "partition": 3,
        "offset": offset,
        "key": EVIL.encode(),
        "value": EVIL.encode() * 40,
        "headers": (),
        "error": "BadField",
        "message": f"lines[2].net_amount is -450 {EVIL}",
        "at": NOW,
        "retries": 0,
        "retried": False,
    }
    return DeadLetter(**(fields | more))  # type: ignore[arg-type]


def person() -> Person:
    view = {
        "customer_id": EVIL,
        "tier": "gold",
        "risk_level": "AT_RISK",
        "loyalty_layer": "LOYAL",
        "holdout": 1,
        "staff": 1,
        "segments": ["vital-few", EVIL],
        "first_purchase_at": NOW,
        "employee_id": EVIL,
        "value_365d": 145_284,
        "purchases_365d": 90,
        "clv": 89_963,
        "contribution_365d": 33_997,
        "margin_365d": 37_412,
        "cost_to_serve_365d": 3_415,
        "value_at_stake": 89_963,
        "risk_score": 0.31,
        "last_purchase_at": NOW,
        "usual_gap_days": 3.0,
        "tier_since": NOW,
        "average_order": None,
        "categories_365d": 4,
        "returns_365d": 0,
        "referrals_365d": 0,
        "expected_purchases": 70.8,
        "p_alive": 0.97,
        "fading": 0.35,
        "network_value": 89_963,
        "lifetime_value": 145_284,
        "open_complaints": 1,
        "last_touch_at": None,
        "loyalty_signs": {"repeats": True, "varied": True, "speaks_up": False, "step": "speaks_up"},
        "benefits": [EVIL],
        "policy": "completejourney@1",
        "entitlements": [
            {"get": EVIL, "benefit": "cake", "left": 1, "expires_at": NOW},
            {"get": "x", "benefit": "y", "left": 0},
        ],
    }
    contact = {"kind": "SURVEY", "channel": "phone", "employee": EVIL, "score": 3, "item": EVIL, "direction": "IN"}
    complaint = {"about": "PRODUCT", "severity": 4, "satisfaction": 2}
    entries = (
        Entry(at=NOW, sort="purchase", code="bought", numbers={"sales": 2, "value": 3_875}),
        Entry(at=NOW, sort="purchase", code="returned", numbers={"returns": 1, "value": -500}),
        Entry(at=NOW, sort="contact", code="contact", numbers=contact),
        Entry(at=NOW, sort="complaint", code="complained", numbers=complaint),
        Entry(at=NOW, sort="complaint", code="resolved", numbers=complaint),
    )
    not_now = (NotNow("BIRTHDAY", "LATER", at=NOW), NotNow("RISK", "WAITING", "consent"), NotNow("SURVEY", "NOTHING"))
    return Person(
        view=view,
        policy=policy(),
        clock=NOW,
        reasons=REASONS,
        due=(due(),),
        not_now=not_now,
        moving=(moving(), moving(False)),
        weeks=tuple((17_000 + 7 * week, 100 * week - 300) for week in range(52)),
        entries=entries,
        merged=(EVIL,),
    )


def told() -> Told:
    return Told(
        entries=(
            Entry(
                at=NOW,
                sort="tier",
                code="tier",
                numbers={"from_tier": "silver", "to_tier": "gold", "direction": "UP", "reason": EVIL},
            ),
            Entry(
                at=NOW,
                sort="risk",
                code="risk",
                numbers={"transition": "RAISED", "level": "AT_RISK", "score": 0.3, "reason": EVIL},
            ),
            Entry(
                at=NOW,
                sort="care",
                code="care",
                numbers={"kind": EVIL, "status": "DUE", "channel": "phone", "text": EVIL},
            ),
        ),
        scores=((NOW - 86_400_000, 0.1, "OK"), (NOW, 0.3, "AT_RISK")),
    )


def effects() -> tuple[Supposed, Supposed]:
    """Of more retention, and of money moved."""
    more = {
        "currency": "USD", "equity": 21_385_537, "difference": 110_191, "retention": 0.94, "retention_then": 0.97,
    }  # fmt: skip
    return Supposed(more), Supposed(more | {"moved": 145_200, "budget": 440_000})


def diff() -> Diff:
    """A policy under which two customers move."""
    move = Move(EVIL, 282_316, 5_000, "silver", EVIL, True, "OK", "WATCH", ("TIER_UP", EVIL), ("RISK",))
    made = Diff(
        "shop@1", EVIL, "USD", 30, as_of=NOW, customers=254, moved=2, equity=[5, 7], movers=[(282_316, 1, move)]
    )
    made.tiers[EVIL, "gold"] = [2, 1, 560_000]
    made.levels["OK", "WATCH"] = [1, 5_000]
    made.care[EVIL] = [1, 3]
    made.lacks.append(Lack("profile", "BIRTHDAY::birthday", 3, 254))
    return made
