"""The third layer: values at and beyond every bound, in records that follow their schema."""

from __future__ import annotations

from random import Random
from typing import Any

from processors.events import TIME_END_MS
from schemas.topics import COMPLAINTS, CONTACTS, CUSTOMERS, PURCHASES, RELAY, TICKS
from tests.fuzz.bases import ANNA, BO, CLEO, DAN, DAY, ELSEWHERE, EVE, HOUR, NEW, PLACE, POOR, RICH, SERVED, Fields, T
from tests.simulation.shop import HORIZON

INT64 = (-(2**63), 2**63 - 1)
INT32 = (-(2**31), 2**31 - 1)
AHEAD = 26 * HOUR

AMOUNTS = (
    *INT64,
    -1,
    0,
    1,
    10**13,
    10**13 + 1,
    -(10**13),
    -(10**13) - 1,
    2**53 + 1,
    63,
    64,
    -64,
    -65,
    8191,
    8192,
    -8193,
)
NUMBERS = (*INT32, 0, 1, -1, 5, 6, 10, 11, 63, 64, 8192, -(2**31) + 1)
INSTANTS = (
    *INT64, -1, 0, 1, TIME_END_MS - 1, TIME_END_MS, -5_364_662_400_000, 7_258_118_400_000, T // 1000, T * 1000,
    T, T + 1, T - HORIZON, T - HORIZON - 1, T + AHEAD, T + AHEAD + 1, 253_402_300_800_000, 951_782_400_000,
    T - 2 * HORIZON, DAY - 1,
)  # fmt: skip
OF_TICKS = (*INT64, -1, T - 1, T, T + 1, T + 12 * HOUR, T + 3 * DAY, T + 40 * DAY, TIME_END_MS, T // 1000, T * 1000)
"""Of ticks hardly one lies decades ahead, for all whom it wakes live through them."""
TEXTS = (
    "", "a", "x" * 128, "x" * 129, "x" * 256, "x" * 257, "y" * 2_000, "张" * 42, "张" * 43, "ü" * 128, "\0", "a\0b",
    "\x1b[31m", "\n", "\t", " ", "\u202e", "\ufeff", "😀", "\U0010ffff", "\ud7ff", "%s{}{0}", "'\";--", "{p}",
    "a:b@c#d|e,f=g", "null", "NaN", "benefit:coffee:e-1", "benefit:", PLACE, "place:", ANNA,
)  # fmt: skip
IDS = (
    ANNA,
    BO,
    CLEO,
    DAN,
    EVE,
    RICH,
    POOR,
    *NEW,
    *ELSEWHERE,
    PLACE,
    "place:",
    "",
    "x" * 128,
    "x" * 129,
    "张" * 42,
    "\0",
    " ",
)
CURRENCIES = (
    "USD",
    "EUR",
    "JPY",
    "KWD",
    "GBP",
    "XXX",
    "XAU",
    "usd",
    "Usd",
    "US",
    "USDX",
    "",
    "ÄÖÜ",
    "US\0",
    "U D",
    "USD ",
    "١٢٣",
)
DATES = (
    "02-29", "02-30", "2001-02-29", "2000-02-29", "1800-01-01", "1799-12-31", "2199-12-31", "2200-01-01", "12-31",
    "13-01", "00-10", "10-00", "1-1", "", "1984-08-30T00", "٢٠٠١-02-28", "0000-01-01", "9999-12-31", "02-29\n",
)  # fmt: skip
ZONES = (
    "Europe/Berlin", "America/Argentina/Buenos_Aires", "UTC", "Etc/GMT+3", "America", "Mars/Base", "Mars Base",
    "../etc/x", "/etc/localtime", "A" * 64, "A" * 65, "", "a", "Europe/", "GMT0", "posixrules", "+03:00", "Zürich",
    "UTC\0", "a//b", "tzdata.zi",
)  # fmt: skip
LANGUAGES = (
    "en",
    "zh",
    "zh-Hant-TW",
    "e",
    "",
    "EN",
    "xx-" + "a" * 8,
    "en_US",
    "abcdefghi",
    "en-",
    "en-1-2-3-4",
    "en-1-2-3-4-5",
    "日本",
)
POLICIES = (
    "",
    "a@1#0a1b2c3d",
    "sim@9#ffffffff",
    "x y@12#0a1b2c3d",
    "@1#0a1b2c3d",
    "a@1#0A1B2C3D",
    "a@1",
    "a@-1#0a1b2c3d",
    "a\n@1#0a1b2c3d",
    "a@1#0a1b2c3d\n",
    "a@٣#0a1b2c3d",
)
SHARES = (
    "0.2",
    ".2",
    "1",
    "1.0",
    "0",
    "0.0",
    "1.1",
    "20%",
    "",
    "-0.2",
    "0.1234567890",
    "0.123456789",
    "0.2\n",
    "٠.2",
    "0.20",
    "1e-1",
)

_BY_NAME: dict[str, tuple[Any, ...]] = {
    "customer_id": IDS, "referrer_id": IDS, "referred_customer_id": IDS, "merged_into": IDS, "other_id": IDS,
    "currency": CURRENCIES, "birthday": DATES, "anniversaries[].date": DATES, "time_zone": ZONES, "language": LANGUAGES,
    "policy": POLICIES, "level": ("OK", "UNHAPPY", "LOST", "", "ok", "Lost"), "quantity": NUMBERS,
    "at": OF_TICKS, "topic": (PURCHASES, CUSTOMERS, RELAY, TICKS, "", "x"), "complaint_id": ("c-1", "c-2", *TEXTS),
    "channel": ("mail", *TEXTS), "event_id": ("e-anna-0", "e-bo-0", *TEXTS),
    "record": (b"", b"\x01", b"\x01\x92", b"\xc3\x01"), "key": (b"", b"\xff"),
}  # fmt: skip


def some(rng: Random, schema: Any, path: str, now: Any) -> Any:
    """A value of `schema` that hurts, or one with such a value somewhere in it; `now`: what is there."""
    name = path.rpartition("[].")[2]
    if isinstance(schema, list):
        return None if rng.random() < 0.15 else some(rng, schema[1], path, now)
    named = _BY_NAME.get(path) or _BY_NAME.get(name)
    if named is not None:
        return rng.choice(named)
    kind = schema if isinstance(schema, str) else schema["type"]
    if isinstance(kind, dict):
        return some(rng, kind, path, now)
    if isinstance(schema, dict) and schema.get("logicalType") == "timestamp-millis":
        return rng.choice(INSTANTS)
    if kind == "array":
        return _items(rng, schema["items"], path, now or [])
    if kind == "map":
        return _entries(rng, path, now or {})
    if kind == "record":
        field = rng.choice(schema["fields"])
        return now | {field["name"]: some(rng, field["type"], f"{path}.{field['name']}", now.get(field["name"]))}
    if kind == "enum":
        return rng.choice(schema["symbols"])
    if kind == "boolean":
        return rng.random() < 0.5
    return rng.choice({"string": TEXTS, "long": AMOUNTS, "int": NUMBERS, "bytes": (b"", b"\0", b"\xff" * 9)}[kind])


def _items(rng: Random, schema: Any, path: str, now: list[Any]) -> list[Any]:
    """Mostly one item changed; none; each twice; now and then more than may be."""
    chance = rng.random()
    if not now or chance < 0.1:
        new = {"anniversaries": {"name": "n", "date": "01-02"}, "served": SERVED}.get(path, "")
        return [] if now or path == "lines" else [some(rng, schema, f"{path}[]", new)]
    if chance < 0.2:
        return now + now
    if chance < 0.22:
        return now[:1] * rng.choice((100, 101))
    if chance < 0.222:
        return now[:1] * rng.choice((10_000, 10_001))
    at = rng.randrange(len(now))
    return [*now[:at], some(rng, schema, f"{path}[]", now[at]), *now[at + 1 :]]


def _entries(rng: Random, path: str, now: dict[str, Any]) -> dict[str, Any]:
    if path == "consent":
        if rng.random() < 0.1:
            return {f"channel-{n}": True for n in range(rng.choice((100, 101)))}
        return now | {rng.choice(("phone", *TEXTS)): rng.random() < 0.5}
    return now | {rng.choice(SHARES): rng.choice(AMOUNTS)}


def of_oneself(rng: Random, topic: str, fields: Fields) -> Fields:
    """Whoever refers to themself, or says again what was said."""
    me = fields["customer_id"]
    if topic == PURCHASES:
        return fields | rng.choice(({"referrer_id": me}, {"original_event_id": fields["event_id"]}, {"kind": "RETURN"}))
    if topic == COMPLAINTS:
        return fields | {"complaint_id": "c-1", "status": rng.choice(("OPENED", "REOPENED", "RESOLVED"))}
    if topic == CONTACTS:
        return fields | {"referred_customer_id": me, "kind": "REFERRAL"}
    if topic == CUSTOMERS:
        return fields | {"merged_into": me}
    name = rng.choice(("referred_customer_id", "referrer_id", "other_id"))
    return fields | {name: me}


def again(rng: Random, fields: Fields) -> Fields:
    """An id that was seen already, with the same content or another."""
    name = rng.choice((ANNA, BO))
    short = "anna" if name == ANNA else "bo"
    return fields | {"customer_id": name, "event_id": f"e-{short}-{rng.randrange(2)}"}


def too_much(rng: Random, fields: Fields) -> Fields:
    """As much as one record may be worth, for those who have nearly as much as a sum holds."""
    line = {"category": "cd", "sku": None, "quantity": 1, "net_amount": 10**13, "cost": rng.choice((None, -(10**13)))}
    rich = rng.random() < 0.5
    who = {"customer_id": RICH if rich else POOR, "kind": "SALE" if rich else "RETURN", "referrer_id": None}
    return fields | who | {"currency": rng.choice(("USD", "EUR")), "lines": [line] * rng.choice((1, 5, 60))}
