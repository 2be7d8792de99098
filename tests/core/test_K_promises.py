"""K0, K3, K4, E1, E3: promises kept, late and broken; complaints as figures; who is in charge, and for how long."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from processors.review import review
from processors.view import view
from tests.core.driving import Partition, plainly
from tests.core.events import ny, sale
from tests.strategies import DAY_MS, Plain, histories, policies, policy_of

HOUR_MS = 3_600_000
NOON = ny("2023-03-01 12:00")

BASE = """
[programme]
name = "promises"
version = 1
currency = "USD"
time_zone = "America/New_York"
[[tiers]]
name = "member"
[complaints]
reply_hours = [72, 48, 24, 8, 4]
escalate_to = ["manager", "head"]
[promises]
inner_share = 0.25
"""
REPLY = '[[care]]\nkind = "COMPLAINT_REPLY"\nshape = "promise"\npriority = 1\nexpires_days = 5\n'
AGREED = '[[care]]\nkind = "KEEP_WORD"\nshape = "promise"\non = "agreed"\nexpires_days = 5\n'
SPAN = "[employees]\nspan_days = 30\n"
TOUCH = '[[care]]\nkind = "TOUCH"\nshape = "silence"\non = "owner"\nlead_days = 7\nfree = true\n'
OWNER = SPAN + TOUCH


def complaint(at: int, status: str, number: int = 1, **fields: object) -> Plain:
    plain = {"topic": "complaints", "event_id": f"k{number}-{at}-{status}", "customer_id": "anna", "occurred_at": at,
             "complaint_id": f"c{number}", "status": status, "severity": 3, "about": "DELIVERY",
             "store_id": "s1"}  # fmt: skip
    return plain | fields


def contact(at: int, kind: str, direction: str = "OUT", **fields: object) -> Plain:
    plain = {"topic": "contacts", "event_id": f"t-{at}-{kind}", "customer_id": "anna", "occurred_at": at, "kind": kind,
             "direction": direction, "channel": "phone"}  # fmt: skip
    return plain | fields


def profile(at: int, **fields: object) -> Plain:
    return {
        "topic": "customers",
        "event_id": f"p-{at}",
        "customer_id": "anna",
        "occurred_at": at,
        "joined_at": 0,
    } | fields


def after(care: str, *log: Any) -> Partition:
    return Partition(policy_of(BASE + care)).run(plainly(log))


def counted(partition: Partition, *families: str) -> dict[str, int]:
    return {name: n for name, n in partition.counts.items() if n and name.partition(":")[0] in families}


ENDS = ("kept", "late", "broken", "in_target", "overdue")


def test_K0_a_reply_is_kept_late_or_broken_by_kind_store_and_employee():
    due = NOON + 24 * HOUR_MS
    for done, ends in (
        (NOON + 6 * HOUR_MS, ("kept", "in_target")),  # a quarter of the day: the inner target, to the ms
        (NOON + 6 * HOUR_MS + 1, ("kept",)),
        (due, ("kept",)),
        (due + 1, ("late",)),
    ):
        log = complaint(NOON, "OPENED"), contact(done, "CARE"), done + DAY_MS * 30
        sorts = ("kind:COMPLAINT_REPLY", "store:s1", "employee:manager")  # whose it was, whoever it climbed to
        assert counted(after(REPLY, *log), *ENDS) == {f"{end}:{sort}": 1 for end in ends for sort in sorts}
    broken = counted(after(REPLY, complaint(NOON, "OPENED"), NOON + 300 * DAY_MS), *ENDS)
    assert broken == {f"broken:{sort}": 1 for sort in ("kind:COMPLAINT_REPLY", "store:s1", "employee:manager")}


def test_K0_a_promise_is_overdue_from_its_due_to_its_end_by_time_alone():
    log = complaint(NOON, "OPENED"), NOON + 24 * HOUR_MS - 1
    assert counted(after(REPLY, *log), "overdue") == {}
    held = after(REPLY, *log, NOON + 24 * HOUR_MS)
    assert counted(held, "overdue") == {"overdue:kind:COMPLAINT_REPLY": 1, "overdue:store:s1": 1}
    by_cause = [f"complaints_overdue:{one}" for one in ("about:DELIVERY", "store:s1", "severity:3")]
    assert counted(held, "complaints_overdue") == dict.fromkeys(by_cause, 1)
    held.run(plainly([complaint(NOON + 30 * HOUR_MS, "RESOLVED")]))
    assert counted(held, "overdue") == {}
    assert counted(held, "late")["late:kind:COMPLAINT_REPLY"] == 1


def test_K0_what_was_agreed_is_a_promise_whatever_it_is():
    asked = contact(NOON, "INQUIRY", "IN", item="CALL_BACK", due_at=NOON + 4 * HOUR_MS)
    told = after(AGREED, asked).care
    assert [(one.status, one.due_at, one.target_at, one.what) for one in told] == [
        ("DUE", NOON + 4 * HOUR_MS, NOON + HOUR_MS, "CALL_BACK")
    ]
    kept = after(AGREED, asked, contact(NOON + HOUR_MS, "SERVICE", item="CALL_BACK"))
    assert (kept.care[-1].status, kept.care[-1].done_at) == ("FULFILLED", NOON + HOUR_MS)
    other = after(AGREED, asked, contact(NOON + HOUR_MS, "SERVICE", item="DELIVERY"), contact(NOON + HOUR_MS, "CARE"))
    assert [one.status for one in other.care] == ["DUE"]  # another thing done keeps no word
    named = contact(NOON + 5 * HOUR_MS, "CARE", reminder_id=told[0].reminder_id)
    assert counted(after(AGREED, asked, named), *ENDS)["late:kind:KEEP_WORD"] == 1


def test_K0_the_same_agreed_twice_at_one_instant_is_one_promise_due_at_the_latest():
    shy = profile(NOON - 1, do_not_contact=True)
    soon, late = (contact(NOON, "CARE", item="CALL_BACK", due_at=NOON + hours * HOUR_MS) for hours in (4, 30))
    late["event_id"] += "b"
    for asked in ((soon, late), (late, soon)):
        held = after(AGREED, shy, *asked, NOON + HOUR_MS)
        (waits,) = held.customers["anna"].told.care.waiting
        assert (waits.due_at, waits.expires_at) == (NOON + 30 * HOUR_MS, NOON + 30 * HOUR_MS + 5 * DAY_MS)
        assert held.customers["anna"].next_review <= waits.expires_at
        held.run([waits.expires_at - 1])
        assert len(held.customers["anna"].told.care.waiting) == 1
        held.run([waits.expires_at])
        assert held.customers["anna"].told.care.waiting == ()


def test_K0_a_promise_kept_before_it_was_heard_of_is_kept_and_nobody_is_reminded():
    asked, answered = contact(NOON, "INQUIRY", "IN"), contact(NOON + HOUR_MS, "CARE")
    kind = '[[care]]\nkind = "ANSWER"\nshape = "promise"\non = "inquiry"\nreply_hours = 24\n'
    in_turn, late = after(kind, asked, answered), after(kind, answered, asked)
    assert [one.status for one in in_turn.care] == ["DUE", "FULFILLED"]
    assert late.care == []
    assert counted(late, *ENDS) == counted(in_turn, *ENDS) != {}
    before = after(kind, contact(NOON - HOUR_MS, "CARE"), asked)
    assert [one.status for one in before.care] == ["DUE"]  # what was done before it was asked is no answer
    held = late.customers["anna"]
    assert review(held, held.now, late.around, late.policy).customer.told.care == held.told.care


def test_K0_E3_once_in_the_pool_the_ladder_begins_with_its_first_and_the_next_review_knows():
    eve = profile(NOON, employee_id="eve")
    asked = contact(NOON, "INQUIRY", "IN", item="CALL_BACK", due_at=NOON + 20 * DAY_MS)
    expires_late = AGREED.replace("expires_days = 5", "expires_days = 90")
    anna = (held := after(OWNER + expires_late, eve, asked, NOON + 30 * DAY_MS)).customers["anna"]
    assert anna.told.charge is not None
    assert anna.told.charge.pooled_at == anna.now
    again = review(anna, anna.now, held.around, held.policy).customer
    assert again.next_review == anna.next_review


def test_K0_K1_whose_the_promise_was_answers_for_it_and_the_ladder_begins_behind_them():
    log = profile(NOON, employee_id="eve"), complaint(NOON, "OPENED"), contact(NOON + 90 * HOUR_MS, "CARE")
    held = after(REPLY, *log)
    steps = [(one.status, one.employee_id) for one in held.care]
    assert steps == [("DUE", "eve"), ("ESCALATED", "manager"), ("ESCALATED", "head"), ("FULFILLED", "head")]
    assert counted(held, *ENDS)["late:employee:eve"] == 1
    assert counted(held, "in_time", "missed") == {"missed:eve": 1}  # done, and late
    alone = after(REPLY, *log[1:])
    assert [one.employee_id for one in alone.care] == ["manager", "head", "head"]


def test_K0_a_promise_kept_while_its_reminder_waits_is_kept_and_nobody_is_reminded():
    night = '[care_rules]\nquiet_hours = ["20:00", "09:00"]\n'
    kind = '[[care]]\nkind = "ANSWER"\nshape = "promise"\non = "inquiry"\nreply_hours = 24\n'
    asked = ny("2023-03-01 21:00")
    held = after(night + kind, contact(asked, "INQUIRY", "IN"), contact(asked + HOUR_MS, "CARE"), asked + 30 * DAY_MS)
    assert held.care == []
    assert counted(held, *ENDS) == {"kept:kind:ANSWER": 1, "in_target:kind:ANSWER": 1, "kept:employee:manager": 1,
                                    "in_target:employee:manager": 1}  # fmt: skip
    broken = after(kind, contact(asked, "INQUIRY", "IN"), asked + 500 * DAY_MS)
    assert [one.status for one in broken.care] == ["DUE", "ESCALATED", "EXPIRED"]  # before the contact is forgotten
    assert counted(broken, "broken")["broken:kind:ANSWER"] == 1


def test_K0_what_was_agreed_is_not_held_back_by_campaigns():
    rules = "[care_rules]\nmin_gap_days = 5\nmax_per_30_days = 1\n"
    agreed = contact(NOON, "INQUIRY", "IN", item="CALL_BACK", due_at=NOON + 4 * HOUR_MS)
    held = after(rules + AGREED, contact(NOON - HOUR_MS, "CAMPAIGN"), agreed)
    assert [(one.status, one.at) for one in held.care] == [("DUE", NOON)]


FOLLOW = REPLY + '[[care]]\nkind = "COMPLAINT_FOLLOW_UP"\nshape = "promise"\non = "follow_up"\nexpires_days = 30\n'


def test_K2_how_content_they_are_ends_the_follow_up_and_starts_no_other():
    day = [NOON + n * DAY_MS for n in range(40)]
    log = [complaint(day[0], "OPENED"), complaint(day[1], "RESOLVED"), day[8]]
    content = complaint(day[9], "RESOLVED", satisfaction=5)
    held = after(FOLLOW, *log, content, day[39])
    assert [(one.kind[10:], one.status, one.at) for one in held.care][-2:] == [
        ("FOLLOW_UP", "DUE", day[8]), ("FOLLOW_UP", "FULFILLED", day[9]),
    ]  # fmt: skip
    assert counted(held, "resolve_le_24")["resolve_le_24:severity:3"] == 1  # it took a day, whatever was noted since


def test_K2_a_bad_remedy_starts_again_one_severity_harder():
    day = [NOON + n * DAY_MS for n in range(40)]
    log = [complaint(day[0], "OPENED"), complaint(day[1], "RESOLVED", satisfaction=2), day[2]]
    held = after(FOLLOW, *log)
    assert [(one.kind[10:], one.status, one.have, one.at) for one in held.care] == [
        ("REPLY", "DUE", 3.0, day[0]), ("REPLY", "FULFILLED", 3.0, day[1]),
        ("REPLY", "DUE", 4.0, day[1]), ("REPLY", "ESCALATED", 4.0, day[1] + 8 * HOUR_MS),
    ]  # fmt: skip
    held.run(plainly([complaint(day[3], "RESOLVED", satisfaction=4)]))
    assert held.care[-1].status == "FULFILLED"


def test_K4_times_to_reply_and_to_resolve_are_counted_by_classes_of_hours():
    log = [
        complaint(NOON, "OPENED"),
        contact(NOON + 8 * HOUR_MS, "CARE"),
        complaint(NOON + 72 * HOUR_MS + 1, "RESOLVED", satisfaction=4),
        complaint(NOON + 80 * HOUR_MS, "OPENED", 2, about="PRICE", severity=5, reward=700),
    ]
    held = after(REPLY, *log)
    assert counted(held, "reply_le_8") == {
        f"reply_le_8:{one}": 1 for one in ("about:DELIVERY", "store:s1", "severity:3")
    }
    assert counted(held, "resolve_le_168") == {
        f"resolve_le_168:{one}": 1 for one in ("about:DELIVERY", "store:s1", "severity:3")
    }
    assert counted(held, "complaints_recovered") == {
        f"complaints_recovered:{one}": 1 for one in ("about:DELIVERY", "store:s1", "severity:3")
    }
    assert counted(held, "complaints_open") == {
        f"complaints_open:{one}": 1 for one in ("about:PRICE", "store:s1", "severity:5")
    }
    assert held.counts["complaints_reward"] == 700
    assert view(held.customers["anna"], held.policy)["cost_to_serve_365d"] == 0  # a reward is no cost of serving


# ---- K5: from complaint to cause

RATE = '[[care]]\nkind = "ACTION"\nshape = "rate"\nmin_complaints = 3\nwithin_days = 30\nescalate_days = 10\n'
NIGHT = (
    '[care_rules]\nquiet_hours = ["00:00", "23:59"]\nmax_per_30_days = 0\n'  # nothing that bounds contacts bounds it
)


def at_place(log: list[Any], care: str = RATE) -> Partition:
    """The log through the customers' partition, and what it tells the places, in turn, through theirs."""
    held = after(care, *log)
    places = Partition(held.policy).run([*held.mishaps, *(at for at in log if isinstance(at, int))])
    assert not any(one.startswith("customers") for one in places.counts)  # a place is nobody
    return places


def several(*days: int) -> list[Plain]:
    return [
        complaint(NOON + day * DAY_MS, "OPENED", number, customer_id=f"c{number}") for number, day in enumerate(days)
    ]


def test_K5_complaints_above_the_rate_open_an_action_that_the_rate_alone_closes():
    assert at_place([*several(0, 5), NOON + 300 * DAY_MS]).care == []
    log = [*several(0, 5, 9), NOON + 9 * DAY_MS]
    opened = at_place(log, RATE + NIGHT).care
    assert [(one.status, one.customer_id, one.what, one.have, one.employee_id) for one in opened] == [
        ("DUE", "place:DELIVERY@s1", "DELIVERY", 3.0, "manager")
    ]
    assert opened[0].due_at == NOON + 19 * DAY_MS
    mended = ny("2023-03-31 00:00")  # the first of the three has left the last 30 days
    steps = at_place([*log, mended]).care
    assert [(one.status, one.at, one.employee_id) for one in steps[1:]] == [
        ("ESCALATED", NOON + 19 * DAY_MS, "head"),
        ("FULFILLED", mended, "head"),
    ]
    again = at_place([*several(0, 5, 9, 20), mended, *several(0, 5, 9, 20, 35)[-1:], NOON + 38 * DAY_MS])
    assert [one.status for one in again.care] == ["DUE", "ESCALATED", "FULFILLED", "DUE"]
    assert len({one.reminder_id for one in again.care}) == 2


def test_K5_only_complaints_about_the_same_at_the_same_place_count_each_once():
    other = [*several(0, 1)]
    for fields in ({"about": "PRICE"}, {"store_id": "s2"}, {"store_id": None}, {"status": "UPDATED"}):
        assert at_place([*other, complaint(NOON + DAY_MS, "OPENED", 9) | fields]).care == []
    twice = complaint(NOON + DAY_MS, "OPENED", 1, customer_id="c1") | {"event_id": "again"}
    assert at_place([*other, twice]).care == []
    assert [one.status for one in at_place([*other, complaint(NOON + DAY_MS, "OPENED", 9)]).care] == ["DUE"]


@given(st.permutations(range(9)), st.data())
def test_K5_what_is_known_of_a_place_is_the_same_in_any_order_and_with_repeats(order, data):
    log = [*several(0, 0, 5, 9, 20, 20, 33), complaint(NOON + 400 * DAY_MS, "OPENED", 1, customer_id="c1")]
    log.append(complaint(NOON + 410 * DAY_MS, "OPENED", 9, customer_id="c9"))
    told = after(RATE, *log).mishaps
    arrived = [told[n] for n in (*order, *data.draw(st.lists(st.sampled_from(order))))]
    policy = policy_of(BASE + RATE)
    plain, other = (Partition(policy).run(one).customers["place:DELIVERY@s1"].history for one in (told, arrived))
    assert plain == other


def plain_complaints(log: list[Plain]) -> dict[str, int]:
    """The oracle: of each complaint the latest record by (time, id), counted by what it says; it took as long as from
    the last opening to the first settling since."""
    latest: dict[tuple[str, str], Plain] = {}
    opened: dict[tuple[str, str], int] = {}
    settled: dict[tuple[str, str], list[int]] = {}
    for event in log:
        if event["topic"] == "complaints":
            name = event["customer_id"], event["complaint_id"]
            held = latest.get(name)
            if held is None or (held["occurred_at"], held["event_id"]) <= (event["occurred_at"], event["event_id"]):
                latest[name] = event
            if event["status"] in ("OPENED", "REOPENED"):
                opened[name] = max(opened.get(name, -1), event["occurred_at"])
            if event["status"] == "RESOLVED":
                settled.setdefault(name, []).append(event["occurred_at"])
    found: Counter[str] = Counter()
    for name, one in latest.items():
        numbers = {"complaints_open": 1}
        if one["status"] == "RESOLVED":
            begun = opened.get(name)
            since = [] if begun is None else [at for at in settled[name] if at >= begun]
            took = 0 if begun is None else max(min(since, default=one["occurred_at"]) - begun, 0) / HOUR_MS
            bound = next((hours for hours in (1, 4, 8, 24, 72, 168, 720) if took <= hours), "above")
            numbers = {"complaints_resolved": 1, f"resolve_le_{bound}": 1}
        if one["satisfaction"] is not None:
            numbers |= {"complaints_rated": 1, "complaints_satisfaction": one["satisfaction"]}
            numbers["complaints_recovered"] = int(one["satisfaction"] >= 4)
        for sort in (f"about:{one['about']}", f"severity:{one['severity']}"):
            for what, number in numbers.items():
                found[f"{what}:{sort}"] += number
    return {name: n for name, n in found.items() if n}


@given(policies(), st.data())
@settings(max_examples=100, deadline=None)
def test_K4_complaints_are_counted_as_they_are_in_any_order_and_with_repeats(text, data):
    policy = policy_of(text)
    log = data.draw(histories(policy.programme.time_zone, ("anna", "bert"), purchases=False))
    arrived = data.draw(st.permutations(log + log[:2]))
    held = Partition(policy).run(plainly(arrived))
    families = {name.partition(":")[0] for name in held.counts}
    ours = [one for one in families if one.startswith(("complaints_", "resolve_le_"))]
    assert {n: c for n, c in counted(held, *ours).items() if ":employee:" not in n} == plain_complaints(log)


# ---- E3: who is in charge


def test_E3_the_owner_is_warned_and_then_the_customer_goes_back_to_the_pool():
    begun = profile(NOON, employee_id="eve")
    due = ny("2023-03-31 12:00")
    held = after(OWNER, begun, due - 7 * DAY_MS - 1)
    assert held.care == []
    held.run([due - 7 * DAY_MS])
    assert [(one.kind, one.status, one.employee_id) for one in held.care] == [("TOUCH", "DUE", "eve")]
    assert shown(held) == "eve"
    assert shown(held.run([due - 1])) == "eve"
    held.run([due])
    assert [one.status for one in held.care] == ["DUE", "EXPIRED"]
    assert shown(held) is None
    held.run([NOON + 300 * DAY_MS])
    assert len(held.care) == 2  # nobody is warned of whom they have lost
    again = profile(NOON + 301 * DAY_MS, employee_id="eve")
    assert shown(held.run(plainly([again, NOON + 302 * DAY_MS]))) == "eve"


def test_E3_only_the_owners_own_touch_keeps_the_customer_with_them():
    begun = profile(NOON, employee_id="eve")
    for employee, owner in (("eve", "eve"), ("tom", None), (None, None)):
        touch = contact(NOON + 25 * DAY_MS, "CARE", employee_id=employee)
        assert shown(after(OWNER, begun, touch, NOON + 40 * DAY_MS)) == owner
    early = contact(NOON + 10 * DAY_MS, "CAMPAIGN", employee_id="eve")
    held = after(OWNER, begun, early, ny("2023-04-10 12:00") - 7 * DAY_MS - 1)
    assert held.care == []
    assert shown(held) == "eve"


def test_E3_without_a_span_the_profile_alone_says_who_is_in_charge():
    held = after(TOUCH, profile(NOON, employee_id="eve"), NOON + 900 * DAY_MS)
    assert held.care == []
    assert shown(held) == "eve"
    assert held.customers["anna"].told.charge is None


def test_E3_who_serves_is_cared_for_and_in_no_figure_of_customers():
    care = REPLY + '[[care]]\nkind = "JUBILEE"\nshape = "calendar"\non = "joined"\nwhom = "staff"\nexpires_days = 5\n'
    care += '[[care]]\nkind = "WELCOME"\nshape = "event"\non = "first_purchase"\nfree = true\n'
    joined = ny("2021-03-05 09:00")
    log = [profile(NOON, staff=True, joined_at=joined), complaint(NOON, "OPENED"), sale(NOON), NOON + 5 * DAY_MS]
    held = after(care, *log)
    assert {one.kind for one in held.care if one.status == "DUE"} == {"COMPLAINT_REPLY", "JUBILEE"}
    assert counted(held, "customers", "gained", "risk") == {}
    assert view(held.customers["anna"], held.policy)["staff"] == 1
    plain = after(care, *log[1:])
    assert {one.kind for one in plain.care if one.status == "DUE"} == {"COMPLAINT_REPLY", "WELCOME"}
    assert counted(plain, "customers", "gained") == {"customers:member": 1, "gained": 1}


def shown(held: Partition) -> object:
    return view(held.customers["anna"], held.policy)["employee_id"]


def test_E3_X1_who_is_lost_from_the_pool_is_lost_of_nobody():
    lost = "[risk]\nlost = { gaps = 2.0, least_days = 60, most_days = 90 }\n"
    bought = [sale(NOON + day * DAY_MS, number=day) for day in range(0, 40, 5)]
    for care, counted_of in ((OWNER, {}), (TOUCH, {"lost_of:eve": 1})):
        held = after(lost + care, profile(NOON, employee_id="eve"), *bought, NOON + 300 * DAY_MS)
        assert held.customers["anna"].told.level == "LOST"
        assert counted(held, "lost_of") == counted_of
