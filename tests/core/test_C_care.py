"""C1-C5, C8, C9, K1, K2: who is in the control group, when care is due and may go, and how reminders end."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import to_builtins

from processors import tier
from processors.care.ideas import suggestion
from processors.care.people import assigned, held_out
from processors.care.sections import EVENTS, Staff
from processors.customer import FOREVER
from processors.events import Anniversary
from processors.money import Rate
from processors.outputs import CareReminder
from processors.review import review
from processors.wording import Wording
from tests.core.driving import Partition, plainly
from tests.core.events import sale
from tests.core.logs import ordered
from tests.oracle import care as oracle
from tests.oracle import dates, whole
from tests.strategies import DAY_MS, Plain, histories, parsed, policies, policy_of


@given(st.text(min_size=1), st.text(min_size=1), st.decimals(0, 1, places=4))
def test_C8_held_out_is_the_share_of_the_contracts_hash(programme, customer_id, share):
    policy = {"programme": {"name": programme, "holdout": share}}
    assert held_out(programme, customer_id, Rate.of(share)) == whole.held_out(customer_id, policy)


def test_C8_about_the_share_is_held_out_and_another_programme_holds_out_others():
    ids = [f"c{n}" for n in range(20_000)]
    share = Rate.of("0.05")
    ours, theirs = ({name for name in ids if held_out(of, name, share)} for of in ("ours", "theirs"))
    assert 900 < len(ours) < 1_100  # 1,000 expected; three standard deviations are 92
    assert 0 < len(ours & theirs) < 150
    assert not any(held_out("ours", name, Rate.of("0")) for name in ids[:100])


# ---- the life of reminders, over random histories and rules


@st.composite
def rules(draw: st.DrawFn) -> str:
    """A policy's care: some kinds of every shape, with rules that bind."""
    kinds = [
        'kind = "BIRTHDAY"\nshape = "calendar"\non = "birthday"\nlead_days = 3\nexpires_days = 7\nfree = true',
        'kind = "FESTIVAL"\nshape = "festival"\nlead_days = 2\nexpires_days = 5\npriority = 4\nfree = true',
        'kind = "NEVER_FORGOTTEN"\nshape = "silence"\nafter_days = 45\nexpires_days = 14\nescalate_days = 9',
        'kind = "REPLENISH"\nshape = "rhythm"\nexpires_days = 9\npriority = 5\nfree = true',
        'kind = "WELCOME"\nshape = "event"\non = "first_purchase"\nexpires_days = 20\nfree = true',
        'kind = "AFTER_SALE"\nshape = "event"\non = "purchase"\nmin_amount = 500\nafter_days = 3\nexpires_days = 9',
        'kind = "TIER_UP"\nshape = "event"\non = "tier_up"\nexpires_days = 30\npriority = 2\nfree = true',
        'kind = "RISK"\nshape = "level"\nlevel = "AT_RISK"\nmin_value_at_stake = 1\nexpires_days = 21\npriority = 2',
        'kind = "TIER_AT_RISK"\nshape = "event"\non = "tier_falling"\nlead_days = 9\nfree = true',
        'kind = "EXIT"\nshape = "level"\nlevel = "LOST"\nexpires_days = 60\nescalate_days = 3\nfree = true',
        'kind = "COMPLAINT_REPLY"\nshape = "promise"\npriority = 1\nheld_out = false',
        'kind = "COMPLAINT_FOLLOW_UP"\nshape = "promise"\non = "follow_up"\nexpires_days = 30\npriority = 1',
        'kind = "ANSWER_INQUIRY"\nshape = "promise"\non = "inquiry"\npriority = 1\nexpires_days = 3',
        'kind = "KEEP_WORD"\nshape = "promise"\non = "agreed"\npriority = 1\nexpires_days = 20',
        'kind = "KEEP_IN_TOUCH"\nshape = "silence"\non = "owner"\nlead_days = 6\nfree = true',
        'kind = "JUBILEE"\nshape = "calendar"\non = "joined"\nexpires_days = 9\nwhom = "staff"',
        'kind = "RECOGNITION"\nshape = "event"\non = "achievement"\nexpires_days = 9\nwhom = "all"',
    ]
    chosen = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=6, unique=True))
    lines = ["[care_rules]", f"min_gap_days = {draw(st.sampled_from((0, 2, 5)))}"]
    if draw(st.booleans()):
        lines.append(f"max_per_30_days = {draw(st.sampled_from((1, 2, 3)))}")
    if draw(st.booleans()):
        lines.append(f"quiet_hours = {draw(st.sampled_from(QUIET))}")
    lines.append("[complaints]\nreply_hours = [72, 48, 24, 8, 4]\nescalate_to = ['store', 'area', 'head']")
    if any('on = "owner"' in one for one in chosen):
        lines.append(f"[employees]\nspan_days = {draw(st.sampled_from((10, 45)))}")
    lines.append("[calendar]\nfestivals = [ { name = 'New Year', date = '01-01' }, { name = 'Leap', date = '02-29' } ]")
    return "\n".join([*lines, *(f"[[care]]\n{one}" for one in chosen)]) + "\n"


QUIET = ('["20:00", "09:00"]', '["01:00", "03:30"]', '["00:00", "00:01"]')


@st.composite
def lives(draw: st.DrawFn, zone: str) -> list[Plain]:
    """Histories with profiles that say something, campaigns, contacts that name a reminder, and declined ones."""
    found = []
    for event in draw(histories(zone, least=2, most=14)):
        changed = dict(event)
        if event["topic"] == "customers":
            changed |= {
                "birthday": draw(st.sampled_from(("02-29", "1980-03-01", "12-31", None))),
                "time_zone": draw(st.sampled_from((None, "Asia/Kathmandu", "America/New_York"))),
                "consent": draw(st.sampled_from(({}, {"store": False}, {"mail": False}))),
                "do_not_contact": draw(st.sampled_from((False, False, False, True))),
                "preferred_channel": draw(st.sampled_from((None, "mail", "app"))),
                "employee_id": draw(st.sampled_from((None, "eve", "tom"))),
                "staff": draw(st.sampled_from((False, False, False, True))),
            }  # fmt: skip
        elif event["topic"] == "contacts":
            changed |= {
                "employee_id": draw(st.sampled_from((None, "eve", "tom"))),
                "item": draw(st.sampled_from((None, None, "DELIVERY", "ACHIEVEMENT: a prize"))),
                "due_at": draw(st.sampled_from((None, *(event["occurred_at"] + n * DAY_MS for n in (-1, 0, 1, 5))))),
            }
        found.append(changed)
    return found


def policy_text(text: str, care: str, holdout: str = "0") -> str:
    return text.replace("[programme]\n", f"[programme]\nholdout = {holdout}\n", 1) + care


def figures(counts: Counter[str]) -> dict[str, int]:
    """What is counted but duplicates, which the other log may have."""
    return {name: n for name, n in counts.items() if n and not name.startswith(("duplicates", "conflicts"))}


def plain_outputs(partition: Partition) -> list[Plain]:
    return [to_builtins(one) | {"event_id": one.event_id} for one in partition.care]


@given(policies(), rules(), st.sampled_from(("0", "0.5")), st.data())
@settings(max_examples=150, deadline=None)
def test_C2_C4_C8_C9_no_output_breaks_a_rule(text, care, holdout, data):
    text = policy_text(text, care, holdout)
    policy = policy_of(text)
    log = data.draw(lives(policy.programme.time_zone))
    clock = log[-1]["occurred_at"] + data.draw(st.sampled_from((0, 20, 100, 400))) * DAY_MS
    partition = Partition(policy).run([*plainly(log), clock])
    assert oracle.breaches(log, plain_outputs(partition), parsed(text), clock) == []
    assert partition.customers["anna"].next_review > clock


@given(policies(), rules(), st.data())
@settings(max_examples=150, deadline=None)
def test_C4_D1_reminders_are_the_same_for_every_batch_split_and_tick_spacing(text, care, data):
    policy = policy_of(policy_text(text, care))
    log = data.draw(lives(policy.programme.time_zone))
    last = log[-1]["occurred_at"] + data.draw(st.sampled_from((0, 20, 100, 400))) * DAY_MS
    plain = Partition(policy).run([*plainly(log), last])
    other = Partition(policy).run(plainly(data.draw(ordered(log, last))))
    assert plain_outputs(other) == plain_outputs(plain)
    assert other.customers["anna"].told == plain.customers["anna"].told
    assert figures(other.counts) == figures(plain.counts)


@given(policies(), rules(), st.data())
@settings(max_examples=100, deadline=None)
def test_C4_the_next_review_is_exact_looking_more_often_changes_nothing(text, care, data):
    """At any instant before `next_review` a review tells nothing and keeps the care book as it is."""
    policy = policy_of(policy_text(text, care))
    log = data.draw(lives(policy.programme.time_zone))
    partition = Partition(policy).run(plainly(log))
    for _ in range(12):
        anna = partition.customers["anna"]
        if anna.next_review >= FOREVER:
            break
        for at in data.draw(st.lists(st.integers(anna.now, anna.next_review - 1), max_size=4)):
            seen = review(anna, at, partition.around, policy)
            assert [one for one in seen.outputs if isinstance(one, CareReminder)] == []
            assert seen.customer.told.care == anna.told.care
            assert seen.customer.next_review == anna.next_review
        partition.run([anna.next_review])


# ---- each shape by a table


ROOT = Path(__file__).resolve().parents[2]
HEAD = '[programme]\nname = "p"\nversion = 1\ncurrency = "USD"\n[[tiers]]\nname = "member"\n'
SILVER = '[[tiers]]\nname = "silver"\nmin_value_365d = 10_000\ncare_every_days = 60\n'


def utc(text: str) -> int:
    return dates.to_ms(dates.datetime.fromisoformat(text).replace(tzinfo=dates.ZoneInfo("UTC")))


def at_clock(zone: str, text: str) -> int:
    return dates.to_ms(dates.datetime.fromisoformat(text).replace(tzinfo=dates.ZoneInfo(zone)))


def profile(at: int, **fields: object) -> Plain:
    return {
        "topic": "customers",
        "event_id": f"p{at}",
        "customer_id": "anna",
        "occurred_at": at,
        "joined_at": at,
    } | fields


def contact(at: int, kind: str = "CARE", direction: str = "OUT", **fields: object) -> Plain:
    plain = {"topic": "contacts", "event_id": f"k{at}{kind}", "customer_id": "anna", "occurred_at": at, "kind": kind,
             "direction": direction, "channel": "phone"}  # fmt: skip
    return plain | fields


def complaint(at: int, status: str = "OPENED", severity: int = 3, name: str = "c1", **fields: object) -> Plain:
    plain = {"topic": "complaints", "event_id": f"c{at}{status}", "customer_id": "anna", "occurred_at": at,
             "complaint_id": name, "status": status, "severity": severity, "about": "STAFF"}  # fmt: skip
    return plain | fields


def told(text: str, log: list[Plain], until: int, policy_head: str = HEAD) -> list[tuple[str, str, int]]:
    partition = Partition(policy_of(policy_head + text)).run([*plainly(log), until])
    return [(one.kind, one.status, one.at) for one in partition.care]


@pytest.mark.parametrize(
    ("birthday", "zone", "due"),
    [
        ("02-29", None, "2025-02-26T00:00"),  # three days before 1 March, where there is no 29 February
        ("1980-02-29", None, "2025-02-26T00:00"),
        ("05-20", "Asia/Kathmandu", "2025-05-17T00:00"),
        ("03-11", "America/New_York", "2025-03-08T00:00"),  # clocks go forward in between
    ],
)
def test_C1_a_birthday_is_told_some_days_before_at_the_customers_midnight(birthday, zone, due):
    kind = '[[care]]\nkind = "BIRTHDAY"\nshape = "calendar"\nlead_days = 3\nexpires_days = 7\n'
    log = [profile(utc("2025-01-10T12:00"), birthday=birthday, time_zone=zone)]
    expected = at_clock(zone or "UTC", due)
    first, end = told(kind, log, utc("2025-12-31T12:00"))
    assert first == ("BIRTHDAY", "DUE", expected)
    assert end[:2] == ("BIRTHDAY", "EXPIRED")


def test_C1_a_day_with_a_year_is_not_told_before_its_first_return_and_a_life_event_once():
    each = '[[care]]\nkind = "ANNIVERSARY"\nshape = "calendar"\non = "wedding"\nexpires_days = 5\n'
    once = each.replace("ANNIVERSARY", "LIFE_EVENT") + "once = true\n"
    log = [profile(utc("2025-01-10T12:00"), anniversaries=(Anniversary("wedding", "2025-06-01"),))]
    until = utc("2028-01-01T00:00")
    due = [at for _, status, at in told(each, log, until) if status == "DUE"]
    assert due == [utc("2026-06-01T00:00"), utc("2027-06-01T00:00")]
    assert [at for _, status, at in told(once, log, until) if status == "DUE"] == [utc("2025-06-01T00:00")]


def test_C1_festivals_come_each_year_or_by_their_table():
    kind = '[calendar]\nfestivals = [{ name = "Spring", dates = ["2025-01-29", "2026-02-17"] }, '
    kind += '{ name = "May", date = "05-01" }]\n'
    kind += '[[care]]\nkind = "FESTIVAL"\nshape = "festival"\nlead_days = 1\nexpires_days = 2\n'
    log = [profile(utc("2025-01-10T12:00"))]
    due = [at for _, status, at in told(kind, log, utc("2026-12-31T00:00")) if status == "DUE"]
    assert due == [utc(f"{day}T00:00") for day in ("2025-01-28", "2025-04-30", "2026-02-16", "2026-04-30")]


def test_C1_C5_silence_is_told_on_its_day_again_and_again_until_somebody_gets_in_touch():
    kind = '[[care]]\nkind = "NEVER_FORGOTTEN"\nshape = "silence"\nexpires_days = 14\nescalate_days = 10\n'
    start = utc("2025-01-10T12:00")
    log = [sale(start, 20_000), contact(start + 80 * DAY_MS)]
    partition = Partition(policy_of(HEAD + SILVER + kind)).run([*plainly(log), start + 145 * DAY_MS])
    days = [(one.status, (one.at - start) // DAY_MS) for one in partition.care]
    assert days == [
        ("DUE", 60), ("ESCALATED", 70), ("EXPIRED", 74), ("DUE", 74), ("FULFILLED", 80), ("DUE", 140),
    ]  # fmt: skip


def test_C5_who_must_not_be_forgotten_has_a_touch_behind_or_a_reminder_before_them_at_any_instant():
    kind = '[[care]]\nkind = "NEVER_FORGOTTEN"\nshape = "silence"\nexpires_days = 14\n'
    start, rng = utc("2025-01-10T12:00"), Random(5)
    log = [sale(start + 30 * n * DAY_MS, 20_000) for n in range(20)]
    log += [contact(start + rng.randrange(600 * DAY_MS)) for _ in range(6)]
    log.sort(key=lambda one: one["occurred_at"])
    partition = Partition(policy_of(HEAD + SILVER + kind)).run([*plainly(log), start + 600 * DAY_MS])
    touched = [start, *(one["occurred_at"] for one in log if one["topic"] == "contacts")]
    for at in range(start, start + 600 * DAY_MS, DAY_MS // 4):
        behind = at - max(when for when in touched if when <= at) < 60 * DAY_MS
        last = [one for one in partition.care if one.at <= at]
        assert behind or last[-1].status == "DUE", f"forgotten at {at}"


def test_C1_replenish_comes_when_the_own_rhythm_is_over():
    kind = '[[care]]\nkind = "REPLENISH"\nshape = "rhythm"\nlead_days = 1\nexpires_days = 5\n'
    start = utc("2025-01-10T12:00")
    log = [sale(start + days * DAY_MS, 100) for days in (0, 10, 20)]
    found = told(kind, log, start + 40 * DAY_MS)
    assert found == [
        ("REPLENISH", "DUE", utc("2025-02-08T00:00")),  # 30 January and 10 days, a day before
        ("REPLENISH", "EXPIRED", utc("2025-02-14T00:00")),
    ]


def test_C1_events_welcome_after_sale_praise_and_thanks():
    kinds = "".join(
        f'[[care]]\nkind = "{kind}"\nshape = "event"\non = "{on}"\nafter_days = {days}\nexpires_days = 20\n{more}'
        for kind, on, days, more in (
            ("WELCOME", "first_purchase", 1, ""), ("AFTER_SALE", "purchase", 3, "min_amount = 5_000\n"),
            ("ASK_REFERRAL", "praise", 0, ""), ("THANK_REFERRAL", "referral", 0, ""),
            ("INVITE_FEEDBACK", "low_score", 0, ""), ("TIER_UP", "tier_up", 0, ""),
        )
    )  # fmt: skip
    start = utc("2025-01-10T12:00")
    log = [
        sale(start, 100),
        sale(start + 10 * DAY_MS, 5_000),
        contact(start + 20 * DAY_MS, "SURVEY", "IN", score=9),
        contact(start + 21 * DAY_MS, "SURVEY", "IN", score=6),
        contact(start + 22 * DAY_MS, "SURVEY", "IN", score=7),
        contact(start + 30 * DAY_MS, "REFERRAL", "IN", referred_customer_id="bob"),
        sale(start + 40 * DAY_MS, 9_000, 1),
    ]
    found = [(kind, (at - start) / DAY_MS) for kind, status, at in told(kinds, log, start + 45 * DAY_MS, HEAD + SILVER)
             if status == "DUE"]  # fmt: skip
    assert found == [
        ("WELCOME", 1.0), ("AFTER_SALE", 12.5), ("ASK_REFERRAL", 20.0), ("INVITE_FEEDBACK", 21.0),
        ("THANK_REFERRAL", 30.0), ("TIER_UP", 40.0), ("AFTER_SALE", 42.5),
    ]  # fmt: skip


def test_C1_R3_a_level_is_told_when_it_is_reached_and_withdrawn_when_they_buy_again():
    kinds = '[[care]]\nkind = "EXIT"\nshape = "level"\nlevel = "LOST"\nexpires_days = 30\n'
    kinds += '[[care]]\nkind = "WIN_BACK"\nshape = "level"\nlevel = "LOST"\nafter_days = 20\nexpires_days = 300\n'
    start = utc("2025-01-10T12:00")
    log = [sale(start + 7 * n * DAY_MS, 100, n) for n in range(6)]
    partition = Partition(policy_of(HEAD + kinds)).run([*plainly(log), start + 150 * DAY_MS])
    lost = next(one.at for one in partition.risks if one.transition == "LOST")
    partition.run([*plainly([sale(start + 200 * DAY_MS, 100, 99)]), start + 201 * DAY_MS])
    assert [(one.kind, one.status, one.at) for one in partition.care] == [
        ("EXIT", "DUE", lost),
        ("WIN_BACK", "DUE", lost + 20 * DAY_MS),
        ("EXIT", "EXPIRED", lost + 30 * DAY_MS),
        ("WIN_BACK", "WITHDRAWN", start + 200 * DAY_MS),
    ]


def test_T6_a_tier_that_will_be_lost_by_time_alone_is_told_once_with_what_keeps_it():
    kind = '[[care]]\nkind = "TIER_AT_RISK"\nshape = "event"\non = "tier_falling"\nlead_days = 10\n'
    start = utc("2025-01-10T12:00")
    partition = Partition(policy_of(HEAD + SILVER + kind))
    partition.run([*plainly([sale(start, 12_000), sale(start + 100 * DAY_MS, 3_000, 1)]), start + 500 * DAY_MS])
    below = utc("2026-01-10T00:00")
    assert [(one.status, one.at, one.due_at) for one in partition.care] == [
        ("DUE", below + 20 * DAY_MS, below + 30 * DAY_MS),
        ("EXPIRED", below + 30 * DAY_MS, below + 30 * DAY_MS),
    ]
    assert [one.at for one in partition.told if one.direction == "DOWN"] == [below + 30 * DAY_MS]
    english = Wording((ROOT / "processors/texts/en.toml").read_text(), "en")
    assert english.care(partition.care[0], partition.policy) == (
        "Will lose silver on 2026-02-09: tell them what keeps it: buy for 70.00 USD more for silver"
    )
    saved = Partition(policy_of(HEAD + SILVER + kind))
    saved.run([*plainly([sale(start, 12_000), sale(below + 25 * DAY_MS, 11_000, 1)]), below + 40 * DAY_MS])
    assert [(one.status, one.at) for one in saved.care] == [
        ("DUE", below + 20 * DAY_MS), ("WITHDRAWN", below + 25 * DAY_MS),
    ]  # fmt: skip


def test_T6_with_a_grace_shorter_than_the_lead_it_is_seen_ahead():
    kind = '[[care]]\nkind = "TIER_AT_RISK"\nshape = "event"\non = "tier_falling"\nlead_days = 10\nfree = true\n'
    start = utc("2025-01-10T12:00")
    below = utc("2026-01-10T00:00")
    for grace in (0, 4):
        text = HEAD + f"[tier_rules]\ngrace_days = {grace}\n" + SILVER + kind
        log = plainly([sale(start - 5 * DAY_MS, 500, 3), sale(start, 12_000), sale(start + 30 * DAY_MS, 4_000, 2)])
        held = Partition(policy_of(text)).run([*log, start + 500 * DAY_MS])
        due = below + grace * DAY_MS
        assert [(one.status, one.at, one.due_at, one.have, one.usual) for one in held.care] == [
            ("DUE", due - 10 * DAY_MS, due, 4_000.0, 10_000.0), ("EXPIRED", due, due, 4_000.0, 10_000.0),
        ]  # fmt: skip
        assert held.tiers("anna")[-1] == (due, "silver", "member")
        saved = Partition(policy_of(text)).run([*log, due - 5 * DAY_MS, *plainly([sale(due - 5 * DAY_MS, 6_000, 4)])])
        assert [one.status for one in saved.care] == ["DUE", "WITHDRAWN"]


def test_C1_who_bought_what_is_called_back_is_told_whenever_the_policy_says_so():
    kind = (
        '[[care]]\nkind = "RECALL"\nshape = "event"\non = "bought"\ncategory = "cd"\nexpires_days = 365\npriority = 1\n'
    )
    start = utc("2025-01-10T12:00")
    partition = Partition(policy_of(HEAD)).run([*plainly([sale(start)]), start + 50 * DAY_MS])
    later = policy_of(HEAD + kind)
    partition.around_is(tier.surroundings(later, since=start + 50 * DAY_MS), later)
    assert [(one.kind, one.status, one.at, one.what) for one in partition.care] == [
        ("RECALL", "DUE", start + 50 * DAY_MS, "cd"),
    ]


def test_C1_whom_a_new_policy_moves_is_told_at_once_though_the_tier_ends_after_the_grace():
    kind = '[[care]]\nkind = "POLICY_CHANGE"\nshape = "event"\non = "policy_change"\nexpires_days = 20\nfree = true\n'
    start, switch = utc("2025-01-10T12:00"), utc("2025-02-10T12:00")
    for worth, harder, told in (
        (12_000, 20_000, ["member"]),  # falls, after a grace of 30 days
        (12_000, 11_000, []),  # stays
        (9_000, 8_000, ["silver"]),  # rises at once
    ):
        held = Partition(policy_of(HEAD + SILVER + kind)).run([*plainly([sale(start, worth)]), switch - 1])
        later = policy_of(HEAD.replace("version = 1", "version = 2") + SILVER.replace("10_000", str(harder)) + kind)
        held.around_is(tier.surroundings(later, since=switch), later)
        assert [(one.status, one.at, one.what) for one in held.care] == [("DUE", switch, name) for name in told]
        held.run([switch + 40 * DAY_MS])
        assert [one.status for one in held.care] == ["DUE", "EXPIRED"] * len(told)


def test_C1_a_recall_reaches_who_bought_long_ago_once_and_not_for_each_purchase():
    kind = '[[care]]\nkind = "RECALL"\nshape = "event"\non = "bought"\ncategory = "cd"\npriority = 1\n'
    start = utc("2025-01-10T12:00")
    partition = Partition(policy_of(HEAD)).run([*plainly([sale(start)]), start + 200 * DAY_MS])
    later = policy_of(HEAD + kind)
    partition.around_is(tier.surroundings(later, since=start + 200 * DAY_MS), later)
    again = [sale(start + day * DAY_MS, 100, day) for day in (210, 220, 560, 900)]
    partition.run([*plainly(again), start + 1_300 * DAY_MS])
    assert partition.care[0].at == start + 200 * DAY_MS
    assert [one.status for one in partition.care] == ["DUE", "EXPIRED"]


def test_D1_no_tick_for_years_leaves_no_short_lived_reminder_out():
    kind = '[[care]]\nkind = "DAILY"\nshape = "silence"\nafter_days = 1\nexpires_days = 1\nfree = true\n'
    start = utc("2021-01-10T12:00")
    log = plainly([sale(start), sale(start + 1_200 * DAY_MS, 100, 1)])
    told = [Partition(policy_of(HEAD + kind)).run(one).care for one in (log, [log[0], *ticks(start, 1_199), log[1]])]
    assert len(told[0]) > 2_000
    assert plain(told[0]) == plain(told[1])


def ticks(start: int, days: int) -> list[int]:
    return [start + day * DAY_MS for day in range(30, days, 30)]


def plain(told: list[CareReminder]) -> list[tuple[str, str, int]]:
    return [(one.reminder_id, one.status, one.at) for one in told]


REPLY = (
    "[complaints]\nreply_hours = [72, 48, 24, 8, 4]\nescalate_to = ['store', 'area', 'head']\n"
    '[[care]]\nkind = "COMPLAINT_REPLY"\nshape = "promise"\npriority = 1\n'
    '[[care]]\nkind = "COMPLAINT_FOLLOW_UP"\nshape = "promise"\nexpires_days = 30\n'
)
HOUR = 3_600_000


def test_K1_a_complaint_is_owed_a_reply_by_severity_and_climbs_the_ladder_once_a_level():
    start = utc("2025-01-10T12:00")
    partition = Partition(policy_of(HEAD + REPLY)).run([*plainly([complaint(start)]), start + 30 * DAY_MS])
    found = [(one.status, (one.at - start) // HOUR, one.employee_id, one.step) for one in partition.care]
    assert found == [("DUE", 0, "store", 0), ("ESCALATED", 24, "area", 1), ("ESCALATED", 48, "head", 2)]
    assert partition.care[0].due_at == start + 24 * HOUR


def test_K1_K2_settling_it_fulfils_the_reply_and_starts_the_follow_up_and_reopening_starts_again_harder():
    start = utc("2025-01-10T12:00")
    log = [
        complaint(start), complaint(start + 5 * HOUR, "RESOLVED", satisfaction=4),
        complaint(start + 20 * DAY_MS, "REOPENED"),
    ]  # fmt: skip
    partition = Partition(policy_of(HEAD + REPLY)).run([*plainly(log), start + 20 * DAY_MS + HOUR])
    found = [
        (one.kind[10:], one.status, (one.at - start) // HOUR) for one in partition.care if one.status != "ESCALATED"
    ]
    assert found == [
        ("REPLY", "DUE", 0), ("REPLY", "FULFILLED", 5), ("FOLLOW_UP", "DUE", 7 * 24 + 5),
        ("FOLLOW_UP", "WITHDRAWN", 480), ("REPLY", "DUE", 480),
    ]  # fmt: skip
    assert partition.care[-1].due_at == start + 20 * DAY_MS + 8 * HOUR  # severity 3, once reopened: 4


def test_K1_K3_who_has_brought_others_is_answered_in_half_the_time_and_a_second_complaint_counts_more():
    start = utc("2025-01-10T12:00")
    log = [contact(start - HOUR, "REFERRAL", "IN", referred_customer_id="bob"), complaint(start)]
    partition = Partition(policy_of(HEAD + REPLY)).run([*plainly(log), start])
    assert partition.care[0].due_at == start + 12 * HOUR
    again = [complaint(start), complaint(start + 10 * DAY_MS, name="c2")]
    partition = Partition(policy_of(HEAD + REPLY)).run([*plainly(again), start + 10 * DAY_MS])
    assert partition.care[-1].due_at == start + 10 * DAY_MS + 8 * HOUR


def test_C2_K1_who_refuses_one_channel_is_answered_by_another_and_who_refuses_all_by_none():
    rules = '[care_rules]\nchannels = ["app", "phone"]\n'
    start = utc("2025-03-03T10:00")
    opened = {"topic": "complaints", "event_id": "k", "customer_id": "anna", "occurred_at": start, "complaint_id": "c",
              "status": "OPENED", "severity": 3, "about": "OTHER"}  # fmt: skip
    kept = Partition(policy_of(HEAD + rules + REPLY)).run(
        plainly([opened, profile(start + 1, consent={"app": False}), sale(start + 2)])
    )
    assert [(one.status, one.channel) for one in kept.care] == [("DUE", "app")]
    assert [one.channel for one in kept.customers["anna"].told.care.open] == ["phone"]
    kept.run(plainly([profile(start + 3, consent={"app": False, "phone": False})]))
    assert [one.status for one in kept.care] == ["DUE", "WITHDRAWN"]


def test_C4_a_contact_that_names_a_reminder_fulfils_that_one_and_a_declined_one_is_withdrawn():
    kinds = '[[care]]\nkind = "WELCOME"\nshape = "event"\non = "first_purchase"\n'
    kinds += '[[care]]\nkind = "AFTER_SALE"\nshape = "event"\non = "purchase"\n'
    start = utc("2025-01-10T12:00")
    partition = Partition(policy_of(HEAD + kinds)).run(plainly([sale(start)]))
    ids = {one.kind: one.reminder_id for one in partition.care}
    log = [
        contact(start + DAY_MS, reminder_id=ids["WELCOME"]),
        contact(start + 2 * DAY_MS, "DECLINED", "IN", reminder_id=ids["AFTER_SALE"]),
    ]
    partition.run(plainly(log))
    assert [(one.kind, one.status, one.at) for one in partition.care[2:]] == [
        ("WELCOME", "FULFILLED", start + DAY_MS), ("AFTER_SALE", "WITHDRAWN", start + 2 * DAY_MS),
    ]  # fmt: skip


def test_C2_C3_what_may_not_go_waits_and_the_higher_priority_goes_first():
    kinds = "[care_rules]\nmin_gap_days = 5\nmax_per_30_days = 2\nquiet_hours = ['20:00', '09:00']\n" + "".join(
        f'[[care]]\nkind = "{kind}"\nshape = "event"\non = "first_purchase"\npriority = {priority}\nexpires_days = 90\n'
        for kind, priority in (("THIRD", 4), ("FIRST", 1), ("SECOND", 2))
    )
    start = utc("2025-01-10T22:00")
    morning = utc("2025-01-11T09:00")
    assert told(kinds, [sale(start)], start + 80 * DAY_MS) == [
        ("FIRST", "DUE", morning),
        ("SECOND", "DUE", morning + 5 * DAY_MS),
        ("THIRD", "DUE", morning + 30 * DAY_MS),
    ]


def test_C2_what_never_may_go_is_dropped_and_counted_with_the_reason():
    kind = '[[care]]\nkind = "WELCOME"\nshape = "event"\non = "first_purchase"\nexpires_days = 10\n'
    start = utc("2025-01-10T22:00")
    refused = Partition(policy_of(HEAD + kind))
    refused.run([*plainly([profile(start, do_not_contact=True), sale(start)]), start + 11 * DAY_MS])
    assert (refused.care, refused.counts["care_dropped:WELCOME:consent"]) == ([], 1)
    capped = Partition(policy_of(HEAD + "[care_rules]\nmax_per_30_days = 1\n" + kind))
    capped.run([*plainly([contact(start, "CAMPAIGN"), sale(start)]), start + 11 * DAY_MS])
    assert (capped.care, capped.counts["care_dropped:WELCOME:cap"]) == ([], 1)


def test_V2_who_costs_more_than_they_bring_gets_free_care_and_promises_alone():
    kinds = "".join(
        f'[[care]]\nkind = "{kind}"\nshape = "event"\non = "first_purchase"\n{free}' for kind, free in
        (("WELCOME", ""), ("CARD", "free = true\n"))
    )  # fmt: skip
    start = utc("2025-01-10T12:00")
    log = [complaint(start - HOUR, compensation=5_000), sale(start, 100)]
    partition = Partition(policy_of(HEAD + kinds + REPLY)).run(plainly(log))
    assert [one.kind for one in partition.care] == ["COMPLAINT_REPLY", "CARD"]
    assert partition.counts["care_dropped:WELCOME:unprofitable"] == 1


def test_D4_forgetting_a_customer_withdraws_their_reminders():
    partition = Partition(policy_of(HEAD + REPLY)).run(plainly([complaint(utc("2025-01-10T12:00"))]))
    partition.erase("anna")
    assert [(one.status, one.reminder_id) for one in partition.care] == [
        (status, partition.care[0].reminder_id) for status in ("DUE", "WITHDRAWN")
    ]


def test_C8_the_control_group_is_told_as_held_out_at_the_moment_the_others_would_be():
    kind = '[[care]]\nkind = "WELCOME"\nshape = "event"\non = "first_purchase"\n'
    start = utc("2025-01-10T12:00")
    everybody = (HEAD + kind).replace("[programme]\n", "[programme]\nholdout = 1\n")
    partition = Partition(policy_of(everybody)).run([*plainly([sale(start)]), start + 40 * DAY_MS])
    assert [(one.kind, one.status, one.at) for one in partition.care] == [("WELCOME", "HELD_OUT", start)]


def test_D4_who_comes_back_after_an_erase_has_reminders_of_their_own():
    kind = '[[care]]\nkind = "WELCOME"\nshape = "event"\non = "first_purchase"\n'
    start = utc("2025-01-10T12:00")
    partition = Partition(policy_of(HEAD + kind)).run([*plainly([sale(start)]), start + DAY_MS])
    partition.erase("anna", plainly([sale(start + 2 * DAY_MS, number=1)]))
    ids = [(one.status, one.event_id) for one in partition.care]
    assert [status for status, _ in ids] == ["DUE", "WITHDRAWN", "DUE"]
    assert len({event_id for _, event_id in ids}) == 3


# ---- C6, C7


ROSTER = [Staff("eve"), Staff("adam", load=Rate.of("2")), Staff("zoe", skills=("RISK",)), Staff("li", stores=("s7",))]


def test_C7_the_roster_serves_evenly_by_load_skill_and_store_and_the_same_each_time():
    ids = [f"c{n}" for n in range(6_000)]
    count = Counter(assigned(name, "BIRTHDAY", "s1", ROSTER) for name in ids)
    assert set(count) == {"eve", "adam"}
    assert 1_850 < count["eve"] < 2_150  # a third; three standard deviations are 110
    assert set(Counter(assigned(name, "RISK", "s7", ROSTER) for name in ids)) == {"eve", "adam", "zoe", "li"}
    assert assigned("anna", "BIRTHDAY", None, ROSTER[2:]) is None
    assert assigned("anna", "BIRTHDAY", "s1", ROSTER) == assigned("anna", "BIRTHDAY", "s1", [*reversed(ROSTER)])


def test_C7_when_somebody_joins_or_leaves_only_theirs_move():
    before = {f"c{n}": assigned(f"c{n}", "RISK", None, ROSTER) for n in range(2_000)}
    for roster in (ROSTER[1:], [*ROSTER, Staff("new")]):
        changed = {name for name in before if assigned(name, "RISK", None, roster) != before[name]}
        moved = {before[name] for name in changed} | {assigned(name, "RISK", None, roster) for name in changed}
        assert changed
        assert "eve" in moved or "new" in moved
        assert all(before[name] == "eve" or assigned(name, "RISK", None, roster) == "new" for name in changed)


def test_C7_who_has_nobody_in_charge_is_served_by_the_roster():
    kind = '[[care]]\nkind = "WELCOME"\nshape = "event"\non = "first_purchase"\n'
    text = HEAD + '[[roster]]\nemployee = "eve"\nstores = ["s1"]\n' + kind
    start = utc("2025-01-10T12:00")
    own = Partition(policy_of(text)).run(plainly([profile(start, employee_id="adam"), sale(start)]))
    nobody = Partition(policy_of(text)).run(plainly([sale(start, store_id="s1")]))
    elsewhere = Partition(policy_of(text)).run(plainly([sale(start, store_id="s2")]))
    assert [one.care[0].employee_id for one in (own, nobody, elsewhere)] == ["adam", "eve", None]


IDEAS = "".join(
    f'[[ideas]]\nname = "{name}"\nkinds = ["SILENT"]\n{more}'
    f'texts = {{ en = "{name} {{category}}", zh = "想 {name}" }}\n'
    for name, more in (("first", ""), ("tea", 'category = "tea"\n'), ("cds", 'category = "cd"\n'), ("last", ""))
)


def test_C6_a_suggestion_fits_and_is_not_repeated_within_the_last_of_its_kind():
    kind = '[[care]]\nkind = "SILENT"\nshape = "silence"\nafter_days = 30\nexpires_days = 10\nfree = true\n'
    policy = policy_of(HEAD + "[care_rules]\nno_repeat = 2\n" + kind + IDEAS)
    start = utc("2025-01-10T12:00")
    log = [profile(start, language="zh"), sale(start)]
    told = Partition(policy).run([*plainly(log), start + 85 * DAY_MS]).care
    due = [one for one in told if one.status == "DUE"]
    assert [one.idea for one in due] == ["cds", "first", "last", "cds", "first", "last"]
    assert suggestion(due[0], policy) == "想 cds"
    english = Partition(policy).run([*plainly(log[1:]), start + 31 * DAY_MS]).care[0]
    assert suggestion(english, policy) == "cds cd"
    strict = policy_of(HEAD + "[care_rules]\nno_repeat = 9\n" + kind + IDEAS)
    told = Partition(strict).run([*plainly(log), start + 85 * DAY_MS]).care
    assert [one.idea for one in told if one.status == "DUE"] == ["cds", "first", "last", "", "", ""]


def test_T6_a_condition_of_nothing_may_be_missed_too():
    """A contribution below 0 misses a condition of 0."""
    text = HEAD + '[[tiers]]\nname = "silver"\nmin_contribution_365d = 0\nmin_purchases_365d = 1\n'
    text += '[[care]]\nkind = "TIER_AT_RISK"\nshape = "event"\non = "tier_falling"\nlead_days = 30\nfree = true\n'
    start = utc("2025-01-10T12:00")
    log = [sale(start, 100), complaint(start + DAY_MS, compensation=500)]
    told = Partition(policy_of(text)).run(plainly(log)).care
    assert [(one.what, one.have, one.usual) for one in told] == [("silver:min_contribution_365d", -475.0, 0.0)]


def test_C1_a_condition_over_the_view_decides_when_a_cause_comes_up():
    kinds = "".join(
        f'[[care]]\nkind = "{kind}"\nshape = "event"\non = "first_purchase"\nwhen = \'{when}\'\nfree = true\n'
        for kind, when in (
            ("BIG", "value_365d >= 5_000"), ("SMALL", "value_365d < 5_000"),
            ("GOOD", 'risk_level == "OK" and tier in ["member"] and lifetime_purchases == 1'),
        )
    )  # fmt: skip
    start = utc("2025-01-10T12:00")
    partition = Partition(policy_of(HEAD + kinds)).run(plainly([sale(start, 6_000)]))
    assert {one.kind for one in partition.care} == {"BIG", "GOOD"}
    assert partition.counts["care_dropped:SMALL:when"] == 1


def test_C4_who_moves_east_has_their_day_sooner_and_the_next_review_knows():
    kind = '[[care]]\nkind = "FESTIVAL"\nshape = "festival"\nexpires_days = 1\nfree = true\n'
    rules = "[care_rules]\nmax_per_30_days = 0\n[calendar]\nfestivals = [ { name = 'New Year', date = '01-01' } ]\n"
    start = utc("2025-12-20T12:00")
    for bounds in (rules, rules.replace("max_per_30_days = 0\n", "")):  # it waits; it is open
        log = [sale(start), profile(utc("2026-01-01T06:00"), time_zone="Asia/Kathmandu")]
        held = Partition(policy_of(HEAD + bounds + kind)).run([*plainly(log), utc("2026-01-01T07:00")])
        ends = utc("2026-01-01T18:15")  # their midnight
        assert held.customers["anna"].next_review == ends
        held.run([ends])
        assert not held.customers["anna"].told.care.open + held.customers["anna"].told.care.waiting


def test_C1_a_sentence_names_the_customers_own_day():
    kind = '[[care]]\nkind = "BIRTHDAY"\nshape = "calendar"\nlead_days = 3\nexpires_days = 7\n'
    english = Wording((ROOT / "processors/texts/en.toml").read_text(), "en")
    for zone in (None, "America/New_York", "Asia/Shanghai"):
        log = [profile(utc("2025-01-05T12:00"), birthday="01-12", time_zone=zone)]
        partition = Partition(policy_of(HEAD + kind)).run([*plainly(log), utc("2025-01-11T12:00")])
        assert english.care(partition.care[0], partition.policy) == "Birthday on 2025-01-12: congratulate"


def test_C1_a_time_zone_that_is_not_known_here_is_the_programmes():
    """A profile stays, the database of time zones of the machine that reads it need not be the same."""
    kind = '[[care]]\nkind = "BIRTHDAY"\nshape = "calendar"\nlead_days = 3\nexpires_days = 7\n'
    told = []
    for zone in (None, "Mars/Base", "A" * 64):
        log = [profile(utc("2025-01-05T12:00"), birthday="01-12", time_zone=zone)]
        partition = Partition(policy_of(HEAD + kind)).run([*plainly(log), utc("2025-01-11T12:00")])
        told.append(partition.care)
    assert told[0]
    assert told[0] == told[1] == told[2]


def test_C1_a_policys_own_sentence_comes_before_the_languages():
    kind = '[[care]]\nkind = "THANKS"\nshape = "silence"\nafter_days = 1\n'
    kind += "texts = { en = 'Silent for {have:day|days} (usual: {usual}): call this {tier}, {date}' }\n"
    start = utc("2025-01-05T12:00")
    partition = Partition(policy_of(HEAD + kind)).run([*plainly([sale(start, 6_000)]), start + 2 * DAY_MS])
    english = Wording((ROOT / "processors/texts/en.toml").read_text(), "en")
    assert (
        english.care(partition.care[0], partition.policy) == "Silent for 1 day (usual: 1): call this member, 2025-01-06"
    )


OF_EVENTS = "".join(
    f'[[care]]\nkind = "X{n}"\nshape = "event"\non = "{on}"\nfree = true\n'
    for n, on in enumerate(EVENTS)
    if on != "bought"
)


@given(policies(), rules(), st.data())
def test_C1_a_reminder_is_given_what_its_sentence_may_name_and_nothing_else(text, care, data):
    """What a kind is not given is empty in all that is told of it: a sentence that could name it would say nothing."""
    policy = policy_of(policy_text(text, care + OF_EVENTS))
    kinds = {one.kind: one for one in policy.care}
    log = data.draw(lives(policy.programme.time_zone))
    for one in Partition(policy).run(plainly(log)).care:
        fields = kinds[one.kind].text_fields
        for name in ("have", "usual", "what"):
            falling = name != "what" and "step" in fields  # its two numbers say `step`
            assert name in fields or falling or not getattr(one, name), (one.kind, name)
