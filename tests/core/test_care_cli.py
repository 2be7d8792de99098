"""C4, C7: what `loyalty care` lists, and C10: why there is a reminder, or none."""

from __future__ import annotations

from msgspec.structs import replace

from processors.care.why import why
from processors.review import evaluated
from streams.cli.care import reminders
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
    silent = replace(anna, history=replace(anna.history, profile=replace(anna.history.profile, do_not_contact=True)))
    after = {one.kind: (one.reason, one.at) for one in why(silent, policy)}
    assert after["AFTER_SALE"] == ("consent", None)
    whole = policy_of((head + kinds).replace("[programme]\n", "[programme]\nholdout = 1\n"))
    control = Partition(whole).run([*plainly(log), START + DAY_MS]).customers["anna"]
    assert {one.kind: (one.state, one.reason) for one in why(control, whole)}["WELCOME"] == ("ENDED", "held_out")
