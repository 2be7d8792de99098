"""A year and more of a shop, from one generator: input logs as tills, tools and time write them, the bad records too.

Three kinds of customer, by what may be asked of them at the end:

    settled   their events reach their partition by its own logs alone: told is the same in every run
    relayed   some events come by `relay` (misplaced, referrals), or come in another order live: facts are the same
    gone      erased by a null that itself came to the wrong partition
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from random import Random
from typing import Any

from msgspec import Struct

from processors.policy import Policy, load_policy
from schemas.codec import read, write
from schemas.partitioner import partition_of
from schemas.topics import COMPLAINTS, CONTACTS, CUSTOMERS, PURCHASES, TICKS

DAY = 86_400_000
HOUR = 3_600_000
START = 1_704_067_200_000  # 2024-01-01
DAYS = 420
END = START + DAYS * DAY
HORIZON_DAYS = 300
HORIZON = HORIZON_DAYS * DAY

_POLICY = """
[programme]
name = "sim"
version = {version}
currency = "USD"
time_zone = "{zone}"
[[tiers]]
name = "member"
[[tiers]]
name = "silver"
min_value_365d = {silver}
[[tiers]]
name = "gold"
min_value_365d = 30_000
min_purchases_365d = 3
benefits = ["free delivery"]
[[tiers]]
name = "top"
{top}
[tier_rules]
grace_days = {grace}
one_step_down = {step}
[margin]
rates = {{ food = 0.2 }}
[costs]
complaint = 500
channels = {{ mail = 60 }}
[currencies]
rates = {{ EUR = 1.08 }}
[[benefits]]
name = "coffee"
buy = {{ amount = 6_000 }}
worth = 300
expires_days = 30
[[benefits]]
name = "visit"
tiers = ["silver", "gold"]
get = "a visit"

[[segments]]
name = "steady"
when = "active_periods_360d >= 2"

[[segments]]
name = "big-ticket"
when = "average_order_share_rank <= 0.2 and value_share_rank <= 0.2"

[[segments]]
name = "unprofitable"
when = "contribution_365d < 0"

[[grades]]
name = "adviser"
[[grades]]
name = "senior"
min_cases = {version}
min_retention = 0.5
[[grades]]
name = "head"
min_cases = 3
min_in_time = 0.6
min_satisfaction = 3.5
"""

_CARE = """
[care_rules]
max_per_30_days = 2
min_gap_days = {gap}
quiet_hours = ["20:00", "09:00"]
[[care]]
kind = "WELCOME"
shape = "event"
on = "first_purchase"
expires_days = 10
[[care]]
kind = "SILENT"
shape = "silence"
after_days = 40
expires_days = 15
free = true
[[care]]
kind = "RISK"
shape = "level"
level = "AT_RISK"
priority = 2
free = true
[[care]]
kind = "BIRTHDAY"
shape = "calendar"
lead_days = 2
expires_days = 5
[[care]]
kind = "COMPLAINT_REPLY"
shape = "promise"
priority = 1
[[care]]
kind = "KEEP_WORD"
shape = "promise"
on = "agreed"
expires_days = 20
[[care]]
kind = "KEEP_IN_TOUCH"
shape = "silence"
on = "owner"
lead_days = 8
free = true
[[care]]
kind = "ACTION"
shape = "rate"
min_complaints = 2
within_days = 40
escalate_days = 9
[employees]
span_days = 30
[[care]]
kind = "TIER_UP"
shape = "event"
on = "tier_up"
"""


@cache
def policy(version: int, zone: str, silver: int, top: str, grace: int, step: str, gap: int | None = None) -> Policy:
    """One of a few policies. gap: least days between two reminders, None: there is no care."""
    fields = {"version": version, "zone": zone, "silver": silver, "top": top, "grace": grace, "step": step, "gap": gap}
    return load_policy((_POLICY if gap is None else _POLICY + _CARE).format(**fields))


def some_policy(rng: Random, version: int, zone: str) -> Policy:
    """A policy that differs from another in ways that move people, but books alike: what comes by `relay` may be booked
    under another than in an undisturbed run."""
    return policy(
        version,
        zone,
        rng.choice((8_000, 12_000)),
        rng.choice(("min_value_share_rank = 0.2", "min_contribution_365d = 9_000", "min_referrals_365d = 2")),
        rng.choice((0, 10, 30)),
        rng.choice(("true", "false")),
        rng.choice((0, 5)),
    )


class Row(Struct):
    """What is written at `at` (ms) to a log. value: bytes; None: a null. dead: the error it becomes a dead letter by.
    kind: record; hidden: of an aborted transaction; gap: an offset that carries nothing."""

    topic: str
    partition: int
    at: int
    key: bytes | None = None
    value: bytes | None = None
    dead: str | None = None
    kind: str = "record"


class Shop(Struct):
    """rows in the order in which they are written. sales: customer -> id of each sale accepted -> its amount."""

    partitions: int
    live: bool
    policy: Policy
    policies: dict[str, Policy]
    rows: list[Row]
    settled: set[str]
    relayed: set[str]
    gone: set[str]
    erased: set[str]
    sales: dict[str, dict[str, int]]
    misplaced: int = 0
    merges: bool = False

    def behind_a_tick(self) -> set[str]:
        """Customers of whom some event was written only after a tick of its partition had passed it."""
        late, seen = set(), set()
        clock: dict[int, int] = {}
        for row in self.rows:
            if row.kind != "record" or row.value is None or row.dead:
                continue
            if row.topic == TICKS:
                clock[row.partition] = row.at
                continue
            event = read(row.topic, row.value)
            name = event["customer_id"], row.topic, event["event_id"]
            if name not in seen and event["occurred_at"] <= clock.get(row.partition, -1):
                late.add(name[0])
            seen.add(name)
        return late


def served(rng: Random) -> list[dict[str, Any]]:
    """What a tick says of who serves, wherever their grades are decided: mostly nothing, or little that is new."""
    rows = []
    for name in ("eve", "adam", "zoë", "瑞") if rng.random() < 0.4 else ():
        if rng.random() < 0.7:
            buyers, in_time = rng.randint(0, 4), rng.randint(0, 4)
            row = {"customers": rng.randint(0, 5), "buyers": buyers, "kept": rng.randint(0, buyers)}
            row |= {"in_time": in_time, "missed": 4 - in_time, "rated": 2, "satisfaction": rng.randint(2, 10)}
            rows.append({"employee_id": name, **row})
    return rows


def shop_year(rng: Random) -> Shop:
    """One shop. live: rows are written while the workers run; else all lie there before the first worker starts."""
    return _Maker(rng).made()


class _Maker:
    def __init__(self, rng: Random) -> None:
        self.rng = rng
        live = rng.random() < 0.35
        names = rng.sample(("anna", "bo", "chen", "dora", "emil", "fay", "李雷", "gül", "hugo", "ines", "jo", "kim"), 9)
        zone = rng.choice(("America/New_York", "UTC", "Asia/Shanghai"))
        policies = [some_policy(rng, version, zone) for version in (1, 2, 3)]
        self.ticks: list[int] = []
        self.shop = Shop(
            partitions=rng.choice((2, 2, 3)),
            live=live,
            policy=policies[0],
            policies={one.key: one for one in policies},
            rows=[],
            settled=set(names[:5]),
            relayed=set(names[5:8]),
            gone=set(names[8:]) if not live else set(),
            erased=set(),
            sales={},
        )
        self.names = names if not live else names[:8]
        self.ids: Counter[str] = Counter()
        self.shop.merges = rng.random() < 0.5  # in one of two, profiles merge the ids whose events travel (D5)

    # -- pieces

    def place(self, name: str) -> int:
        return partition_of(name.encode(), self.shop.partitions)

    def put(
        self, topic: str, partition: int, at: int, name: str | None, value: bytes | None, dead: str | None = None
    ) -> None:
        key = None if name is None else name.encode()
        self.shop.rows.append(Row(topic, partition, at, key, value, dead))

    def elsewhere(self, name: str) -> int:
        return (self.place(name) + self.rng.randint(1, self.shop.partitions - 1)) % self.shop.partitions

    def next_id(self, name: str) -> str:
        """Ids are unique within a customer only."""
        self.ids[name] += 1
        return f"e{self.ids[name]}"

    def purchase(self, name: str, at: int, **more: Any) -> tuple[dict[str, Any], int]:
        """The record of a purchase and its amount in the programme's currency."""
        rng = self.rng
        lines = []
        for _ in range(rng.randint(1, 2)):
            cost = rng.choice((None, rng.randint(100, 3_000)))
            line: dict[str, Any] = {"category": rng.choice(("food", "cd", "tea")), "quantity": 1, "cost": cost}
            lines.append(line | {"net_amount": rng.randint(0, 9_000)})
        record = {
            "event_id": self.next_id(name),
            "customer_id": name,
            "occurred_at": at,
            "kind": "SALE",
            "store_id": "s1",
            "currency": "USD",
            "lines": lines,
            **more,
        }
        if rng.random() < 0.3:  # uses what some sale may have earned, or this year's of the tier; or gives it back
            earned = f"coffee:e{rng.randint(1, self.ids[name])}"
            record["coupon_ids"] = [f"benefit:{rng.choice((earned, earned, 'visit:2024'))}"]
        if record["kind"] == "RETURN":
            record["original_event_id"] = f"e{rng.randint(1, self.ids[name] + 1)}"
        return record, sum(line["net_amount"] for line in lines)

    def sold(self, record: dict[str, Any], amount: int) -> None:
        held = self.shop.sales.setdefault(record["customer_id"], {})
        assert record["event_id"] not in held
        held[record["event_id"]] = amount

    # -- the year

    def made(self) -> Shop:
        self.time()
        for name in self.names:
            self.customer(name)
        self.noise()
        if not self.shop.live:
            self.edges()
            self.too_late_to_save()
        self.shop.rows.sort(key=lambda row: (row.at, row.topic == TICKS))
        self.holes()
        return self.shop

    def time(self) -> None:
        """Ticks of every partition; some carry a policy, thresholds, both, or nothing new."""
        rng = self.rng
        at = START + rng.randint(0, 3) * HOUR
        step = rng.choice((4 * DAY, 10 * DAY, 30 * DAY))
        while at < END:
            self.ticks.append(at)
            at += rng.randint(HOUR, step) if rng.random() < 0.8 else DAY - (at - START) % DAY
        self.ticks.append(END)
        known = list(self.shop.policies)
        clerks = Random(sum(self.ticks))  # of its own: nobody else's year hangs on theirs
        for at in self.ticks:
            fields: dict[str, Any] = {"at": at, "served": served(clerks)}
            draw = rng.random()
            if not self.shop.live and draw < 0.06:
                fields["policy"] = rng.choice(known)
            if not self.shop.live and (draw < 0.02 or draw > 0.9):
                least = rng.randint(2, 9) * 5_000
                fields["value_at_share"] = {"0.2": least, "average_order:0.2": least // 4}
            for partition in range(self.shop.partitions):
                self.put(TICKS, partition, at, None, write(TICKS, fields))
                if rng.random() < 0.05:
                    stale = {"at": at - rng.choice((0, HOUR)), "policy": rng.choice(("", known[1]))}
                    stale["served"] = served(clerks)
                    if self.shop.live:
                        stale["policy"] = ""
                    self.put(TICKS, partition, at, None, write(TICKS, stale))

    def customer(self, name: str) -> None:
        rng = self.rng
        if rng.random() < 0.5:
            self.profile(name, rng.randint(START, END))
        begin = rng.randint(START, START + 200 * DAY)
        busy_until = rng.randint(begin, END)  # then silence, so that tiers fall
        for _ in range(rng.randint(2, 14)):
            self.event(name, rng.randint(begin, busy_until))
        if name in self.shop.gone:
            self.put(CUSTOMERS, self.elsewhere(name), END - DAY, name, None)
        elif not self.shop.live and name in self.shop.settled and rng.random() < 0.5:
            self.erase(name)

    def event(self, name: str, at: int) -> None:
        rng = self.rng
        draw = rng.random()
        if self.shop.live and name in self.shop.settled:
            self.buy(name, at, late=False)  # one topic, in order: only then is its order the same live
        elif draw < 0.7:
            self.buy(name, at, late=rng.random() < 0.2)
        elif draw < 0.8:
            status = rng.choice(("OPENED", "OPENED", "RESOLVED"))
            record = {"complaint_id": f"c{rng.randint(1, 3)}", "status": status, "severity": 2, "about": "PRICE"}
            record["store_id"] = rng.choice(("s1", "s1", None))
            self.dated(COMPLAINTS, name, at, record | {"compensation": rng.choice((0, 300))})
        elif draw < 0.95:
            kind = rng.choice(("CAMPAIGN", "CAMPAIGN", "CARE"))
            record = {"kind": kind, "direction": "OUT", "channel": rng.choice(("mail", "app"))}
            record["employee_id"] = rng.choice(("eve", None))
            if rng.random() < 0.3:
                record |= {"item": "DELIVERY", "due_at": at + rng.randint(1, 90) * HOUR}
            if rng.random() < 0.3 and name not in self.shop.gone:
                fights = sorted(self.shop.relayed) if name in self.shop.relayed else [f"a friend of {name}"]
                record |= {"kind": "REFERRAL", "referred_customer_id": rng.choice(fights)}
            self.dated(CONTACTS, name, at, record)
        else:
            self.profile(name, at)

    def dated(self, topic: str, name: str, at: int, fields: dict[str, Any]) -> None:
        record = {"event_id": self.next_id(name), "customer_id": name, "occurred_at": at, **fields}
        self.put(topic, self.place(name), at, name, write(topic, record))

    def profile(self, name: str, at: int) -> None:
        rng = self.rng
        if not (self.shop.live and name in self.shop.settled):
            more = {"birthday": rng.choice(("02-29", "06-01", None)), "consent": rng.choice(({}, {"store": False}))}
            zone = rng.choice((None, "Asia/Kathmandu"))
            more |= {"employee_id": rng.choice(("eve", None)), "staff": rng.random() < 0.1}
            if name in self.shop.relayed and self.shop.merges:
                more["merged_into"] = rng.choice((*sorted(self.shop.relayed), "nobody yet", None))
            self.dated(CUSTOMERS, name, at, {"joined_at": START, "language": "en", "time_zone": zone, **more})

    def buy(self, name: str, at: int, late: bool) -> None:
        """A purchase: late, repeated, misplaced, through a friend, in euros, or plain."""
        rng = self.rng
        more: dict[str, Any] = {}
        recent = at > END - HORIZON + 10 * DAY  # what travels must never arrive too late
        if rng.random() < 0.12:
            more["kind"] = "RETURN"
        elif recent and rng.random() < 0.15:
            friends = sorted(self.shop.relayed)  # of whom news comes whenever it comes
            more["referrer_id"] = f"a patron of {name}" if name in self.shop.settled else rng.choice(friends)
        if rng.random() < 0.1:
            more["currency"] = "EUR"
        record, amount = self.purchase(name, at, **more)
        if not more.get("kind"):
            self.sold(record, amount if "currency" not in more else -1)
        written = min(at + rng.randint(0, 20) * DAY, END - 1) if late else at
        astray = recent and name in self.shop.relayed and rng.random() < 0.3
        self.shop.misplaced += astray
        value = write(PURCHASES, record)
        self.put(PURCHASES, self.elsewhere(name) if astray else self.place(name), max(written, at), name, value)
        if rng.random() < 0.15:
            again = min(max(written, at) + rng.randint(0, 15 * DAY), END - 1)
            if name in self.shop.settled and rng.random() < 0.3:
                record["lines"][0]["net_amount"] += 1  # another content under the same id: the first wins
                value = write(PURCHASES, record)
            if again >= max(written, at):
                self.put(PURCHASES, self.place(name), again, name, value)

    def erase(self, name: str) -> None:
        """A null, its log's time the only one it has; what happened up to then stays away, what comes later is new."""
        self.put(CUSTOMERS, self.place(name), self.rng.randint(START + 20 * DAY, END - 1), name, None)
        self.shop.erased.add(name)

    def noise(self) -> None:
        """Records that can't be folded."""
        rng = self.rng
        first = self.ticks[0]
        for _ in range(rng.randint(0, 6)):
            name, at = rng.choice(self.names), rng.randint(first + 1, END - 2)
            partition = rng.randrange(self.shop.partitions)
            record, _ = self.purchase(name, at)
            whole = write(PURCHASES, record)
            negative = record | {"lines": [{"category": "tea", "quantity": 1, "net_amount": -5}]}
            for value, error in rng.choices(
                (
                    (b"?" + rng.randbytes(rng.randint(0, 30)), "UnknownSchema"),
                    (whole[:-1], "BrokenAvro"),
                    (whole + b"\0", "BrokenAvro"),
                    (None, "BrokenAvro"),
                    (b"\0" + whole, "ConfluentFramed"),
                    (write(PURCHASES, negative), "BadField"),
                )
            ):
                self.put(PURCHASES, partition, at, name, value, error)
        for _ in range(rng.randint(0, 2)):
            name, at = rng.choice(self.names), rng.randint(first + 1, END - 2)
            record, _ = self.purchase(name, at, currency="JPY")
            self.put(PURCHASES, self.place(name), at, name, write(PURCHASES, record), "UnknownCurrency")
        if rng.random() < 0.5 and not self.shop.live:
            name, at = rng.choice(self.names), rng.randint(first + 1, END - 2)
            record, _ = self.purchase(name, at + rng.randint(28, 5_000) * HOUR)
            self.put(PURCHASES, self.place(name), at, name, write(PURCHASES, record), "TooFarAhead")

    def edges(self) -> None:
        """Around a tick X: what happened at X - horizon is just in time, and a repeat of it still known as one; a
        millisecond earlier is too late."""
        rng = self.rng
        between = zip(self.ticks, self.ticks[1:], strict=False)
        fit = [at for at, then in between if at > START + HORIZON and then > at + 3 * HOUR]
        names = sorted(self.shop.settled - self.shop.erased)
        if not fit or not names:
            return
        name, tick = rng.choice(names), rng.choice(fit)
        edge = tick - HORIZON
        first, amount = self.purchase(name, edge)
        self.sold(first, amount)
        if rng.random() < 0.7:  # on its day, and again when it is just not too late
            self.put(PURCHASES, self.place(name), edge, name, write(PURCHASES, first))
        anchor, amount = self.purchase(name, tick + HOUR)
        self.sold(anchor, amount)
        self.put(PURCHASES, self.place(name), tick + HOUR, name, write(PURCHASES, anchor))
        self.put(PURCHASES, self.place(name), tick + HOUR + 1, name, write(PURCHASES, first))
        late, _ = self.purchase(name, edge - 1)
        self.put(PURCHASES, self.place(name), tick + HOUR + 2, name, write(PURCHASES, late), "TooLate")

    def too_late_to_save(self) -> None:
        """All is brought back, the grace ends, and then a purchase comes that would have kept the tier."""
        rng = self.rng
        names = sorted(self.shop.settled - self.shop.erased)
        if not names or rng.random() < 0.5:
            return
        name, at = rng.choice(names), rng.randint(START + DAY, END - 60 * DAY)
        lines = [{"category": "tea", "quantity": 1, "net_amount": 29_000}]
        for after, kind, late in ((0, "SALE", 0), (1, "RETURN", 0), (2, "SALE", rng.randint(15, 50))):
            record, _ = self.purchase(name, at + after * DAY, kind=kind, lines=lines)
            if kind == "SALE":
                self.sold(record, 29_000)
            self.put(PURCHASES, self.place(name), at + (after + late) * DAY, name, write(PURCHASES, record))

    def holes(self) -> None:
        """Markers, compacted records and records of aborted transactions between the others, and behind the last."""
        rng, rows = self.rng, []
        for row in self.shop.rows:
            if rng.random() < 0.06:
                rows.append(Row(row.topic, row.partition, row.at, kind="gap"))
            if rng.random() < 0.04:
                rows.append(Row(row.topic, row.partition, row.at, row.key, row.value, kind="hidden"))
            rows.append(row)
        rows += [
            Row(topic, partition, END, kind="gap")
            for topic in (PURCHASES, CONTACTS, TICKS)
            for partition in range(self.shop.partitions)
            if rng.random() < 0.3
        ]
        self.shop.rows = rows
