"""C4, C7: what `loyalty care` lists, and C10: why there is a reminder, or none."""

from __future__ import annotations

from argparse import ArgumentTypeError
from typing import Any

import pytest
from msgspec.structs import replace

from processors.care.why import why
from processors.days import Calendar
from processors.review import evaluated
from processors.view import view
from schemas import codec, topics
from streams.cli import care
from streams.cli.care import reminders
from streams.customers_now import _worded, whole
from streams.settings import LoyaltyError, UsageError
from streams.texts import wording
from tests.core.driving import Partition, plainly
from tests.core.events import sale
from tests.core.test_C_care import HEAD, REPLY, complaint, profile, utc
from tests.strategies import DAY_MS, policy_of

START = utc("2025-01-10T12:00")


def seen(customer: str, tier: str, *open_: tuple[str, str | None, int, int]) -> dict[str, object]:
    found = [
        {"reminder_id": f"{customer}:{kind}", "kind": kind, "employee_id": employee, "priority": first, "due_at": due}
        for kind, employee, first, due in open_
    ]
    return {"customer_id": customer, "tier": tier, "open_reminders": found}


def test_C4_reminders_are_listed_by_employee_those_of_nobody_last_the_most_urgent_first() -> None:
    views = [
        seen("anna", "gold", ("BIRTHDAY", None, 3, 5), ("RISK", "eve", 2, 9)),
        seen("bob", "member", ("RISK", "eve", 2, 7), ("REPLY", "adam", 1, 1)),
        seen("carl", "gold"),
    ]
    listed = [(row["employee_id"], row["customer_id"], row["kind"]) for row in reminders(views)]
    assert listed == [
        ("adam", "bob", "REPLY"), ("eve", "bob", "RISK"), ("eve", "anna", "RISK"), (None, "anna", "BIRTHDAY"),
    ]  # fmt: skip
    assert [row["customer_id"] for row in reminders(views, employee="eve", tier="gold")] == ["anna"]
    assert [row["kind"] for row in reminders(views, kind="BIRTHDAY")] == ["BIRTHDAY"]


def test_C4_a_reminder_is_shown_with_the_time_of_the_programme_and_its_sentence() -> None:
    row = {
        "priority": 1, "customer_id": "anna", "tier": "gold", "kind": "REPLY", "channel": "phone", "status": "DUE",
        "due_at": utc("2026-11-25T20:05"), "expires_at": utc("2026-12-25T20:05"), "text": "Reply", "reminder_id": "r",
    }  # fmt: skip
    shown = "  1  anna (gold), REPLY, by phone, for 2026-11-26 04:05, until 2026-12-26"
    assert care._shown(row, Calendar("Asia/Shanghai")).splitlines() == [shown, "     Reply", "     r"]
    late = care._shown(row | {"status": "ESCALATED"}, Calendar("Asia/Shanghai"))
    assert late.splitlines()[0] == shown + ", ESCALATED"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_C4_an_open_reminder_of_the_view_has_its_sentence_in_the_language_of_the_programme(language: str) -> None:
    policy = policy_of((HEAD + REPLY).replace("[programme]\n", f'[programme]\nlanguage = "{language}"\n'))
    log = plainly([profile(START - DAY_MS), sale(START), complaint(START + 1)])
    anna = Partition(policy).run([*log, START + DAY_MS // 2]).customers["anna"]
    (one,) = _worded(whole(view(anna, policy)), policy)["open_reminders"]
    named = (one["kind"], one["have"], one["usual"], one["what"], anna.told.tier, one["day"])
    assert one["text"] == wording(language).care_of(*named, policy)
    assert one["what"] in one["text"]
    assert one["text"].isascii() == (language == "en")


def test_C4_a_reminder_is_found_by_its_id_wherever_the_colons_are() -> None:
    views = {name: seen(name, "gold", ("RISK", None, 2, 9)) for name in ("shop:7", "shop:7:RISK")}
    for name, one in views.items():
        assert care.open_reminder(f"{name}:RISK", views.get)[0] is one
    for unknown in ("", "shop", ":RISK", "shop:7", "shop:7:OTHER", "eve:RISK"):
        with pytest.raises(LoyaltyError, match="loyalty care"):
            care.open_reminder(unknown, views.get)


def test_C4_who_has_cared_is_a_contact_that_the_worker_takes_and_the_same_when_told_twice() -> None:
    row: dict[str, Any] = {"reminder_id": "anna:R:1", "customer_id": "anna", "channel": "store", "employee_id": "eve"}
    plain, other = care.done(row, START, None, None, None), care.done(row, START, "phone", "adam", 250)
    assert plain["event_id"] == other["event_id"] == "complete-care:anna:R:1"
    assert (plain["channel"], plain["employee_id"], plain["cost"]) == ("store", "eve", None)
    assert (other["channel"], other["employee_id"], other["cost"]) == ("phone", "adam", 250)
    event = codec.decode(topics.CONTACTS, codec.write(topics.CONTACTS, other), b"anna")
    assert (event.kind, event.direction, event.reminder_id) == ("CARE", "OUT", "anna:R:1")  # type: ignore[union-attr]


def test_a_time_is_an_instant_or_refused() -> None:
    assert care._time("2025-01-10T13:00:00+01:00") == care._time(str(START)) == START
    for wrong in ("yesterday", "2025-01-10T12:00:00", "20250110", str(10**20), "-1"):
        with pytest.raises(ArgumentTypeError):
            care._time(wrong)


def test_a_kind_or_tier_that_the_policy_lacks_is_refused_with_the_nearest() -> None:
    policy = policy_of(HEAD + REPLY)
    kinds = [one.kind for one in policy.care]
    care._check("--kind", None, kinds, policy)
    care._check("--kind", "COMPLAINT_REPLY", kinds, policy)
    with pytest.raises(UsageError, match=r"did you mean COMPLAINT_REPLY\?"):
        care._check("--kind", "COMPLAINT_REPLI", kinds, policy)
    with pytest.raises(UsageError, match="it has none"):
        care._check("--kind", "BIRTHDAY", [], policy)


def test_C10_each_kind_says_why_there_is_a_reminder_or_none() -> None:
    kinds = "[care_rules]\nmax_per_30_days = 1\nquiet_hours = ['20:00', '09:00']\n" + "".join(
        f'[[care]]\nkind = "{kind}"\nshape = "event"\non = "{on}"\npriority = {first}\nexpires_days = 60\n{more}'
        for kind, on, first, more in (
            ("WELCOME", "first_purchase", 1, ""), ("AFTER_SALE", "purchase", 2, ""),
            ("GOLD", "purchase", 3, 'tiers = ["silver"]\n'), ("SURVEY", "first_purchase", 4, "after_days = 20\n"),
            ("PRAISE", "praise", 5, ""),
        )
    )  # fmt: skip
    head = HEAD + '[[tiers]]\nname = "silver"\nmin_value_365d = 1_000_000\n'
    policy = policy_of(head + kinds + REPLY)
    log = [profile(START - DAY_MS), sale(START), complaint(START + 1)]
    anna = Partition(policy).run([*plainly(log), START + DAY_MS]).customers["anna"]
    told = {one.kind: (one.state, one.reason, one.at) for one in why(evaluated(anna, START + DAY_MS, policy), policy)}
    assert told == {
        "WELCOME": ("OPEN", None, START),
        "AFTER_SALE": ("WAITING", "cap", START + 30 * DAY_MS),
        "GOLD": ("TIER", None, None),
        "SURVEY": ("LATER", None, START + 20 * DAY_MS),
        "PRAISE": ("NOTHING", None, None),
        "COMPLAINT_REPLY": ("OPEN", None, START + 1),
        "COMPLAINT_FOLLOW_UP": ("NOTHING", None, None),
    }
    dear = Partition(policy_of(head + kinds + "[margin]\ndefault_rate = 0\n[costs]\ncomplaint = 500\n")).run(
        plainly(log[::-1])
    )
    whys = {one.kind: one.reason for one in why(dear.customers["anna"], dear.policy) if one.state == "ENDED"}
    assert whys == {"WELCOME": "unprofitable", "AFTER_SALE": "unprofitable"}
    silent = replace(anna, history=replace(anna.history, profile=replace(anna.history.profile, do_not_contact=True)))
    after = {one.kind: (one.reason, one.at) for one in why(silent, policy)}
    assert after["AFTER_SALE"] == ("consent", None)
    whole = policy_of((head + kinds).replace("[programme]\n", "[programme]\nholdout = 1\n"))
    control = Partition(whole).run([*plainly(log), START + DAY_MS]).customers["anna"]
    assert {one.kind: (one.state, one.reason) for one in why(control, whole)}["WELCOME"] == ("ENDED", "held_out")
