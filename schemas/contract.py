"""What the contract asks of input fields beyond their Avro type: one table, by topic and path.

Checked once, where bytes become events (`codec.decode`); everything behind it trusts its events.
"""

from __future__ import annotations

import re
from datetime import date

from processors.care.actions import PLACE
from processors.days import known_calendar
from processors.events import TIME_END_MS, Served
from processors.grade import EMPLOYEE_BYTES_MAX, INSIDE
from schemas import topics
from schemas.reader import Rule, Rules

CUSTOMER_ID_BYTES_MAX = 128
NAME_BYTES_MAX = 256
"""Of what a customer's state keeps as text (categories, channels, stores): a bound on the state, far above any real
name; and on what is told, for an output that the broker does not take would stop all others of its partition."""
REFERENCE_BYTES_MAX = 1_024
"""Of ids that are compared, or told as a cause, and name no customer."""
AMOUNT_MAX = 10**13
QUANTITY_END = 2**31
LINES_MAX = 10_000

_DAY = re.compile(r"(?:(\d{4})-)?(\d{2})-(\d{2})", re.ASCII)
_LEAP_YEAR = 2000
FIRST_YEAR, LAST_YEAR = 1800, 2199
_TIME_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+/-]{0,63}", re.ASCII)
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}", re.ASCII)
_SHARE = re.compile(r"0?\.\d{1,9}|1|1\.0{1,9}", re.ASCII)
_POLICY = re.compile(r"[^\x00-\x1f]+@\d+#[0-9a-f]{8}", re.ASCII)


def is_day(text: str) -> bool:
    """MM-DD (02-29 included) or YYYY-MM-DD, a day that exists, of the years in which anybody could have one."""
    match = _DAY.fullmatch(text)
    if match is None:
        return False
    year, month, day = match.groups()
    if year is not None and not FIRST_YEAR <= int(year) <= LAST_YEAR:
        return False
    try:
        date(int(year or _LEAP_YEAR), int(month), int(day))
    except ValueError:
        return False
    return True


def is_time_zone(text: str) -> bool:
    """It is an IANA name, and this machine's database has it."""
    return _TIME_ZONE.fullmatch(text) is not None and known_calendar(text) is not None


def is_language(text: str) -> bool:
    """It could be a BCP 47 tag."""
    return _LANGUAGE.fullmatch(text) is not None


def is_share(text: str) -> bool:
    """A share of customers by value, or by average order, above 0 and up to 1, as plain decimals."""
    text = text.removeprefix("average_order:")
    return _SHARE.fullmatch(text) is not None and any(digit != "0" for digit in text if digit.isdigit())


def is_policy(text: str) -> bool:
    """Empty, or name@version# and eight hex digits."""
    return not text or _POLICY.fullmatch(text) is not None


_EVENT_ID = Rule("n", "must not be empty: give each event its own id")
_OWN_EVENT_ID = Rule(
    f"0 < n <= {REFERENCE_BYTES_MAX}",
    f"must not be empty, and have at most {REFERENCE_BYTES_MAX:,} bytes of UTF-8: give each event its own id",
)
_REFERENCE = Rule(f"n <= {REFERENCE_BYTES_MAX}", f"must be at most {REFERENCE_BYTES_MAX:,} bytes of UTF-8")
_CUSTOMER_ID = Rule(f"0 < n <= {CUSTOMER_ID_BYTES_MAX}", "must be 1 to 128 bytes of UTF-8; leave it null if unknown")
_INSTANT = Rule(f"0 <= v < {TIME_END_MS}", f"must lie in 0 <= ms < {TIME_END_MS} (UTC milliseconds, not s or us)")
_AMOUNT = Rule(f"{-AMOUNT_MAX} <= v <= {AMOUNT_MAX}", "must lie within 10^13 minor units", narrow=True)
_ID = Rule(f"0 < n <= {CUSTOMER_ID_BYTES_MAX}", "must be 1 to 128 bytes of UTF-8")
_NAME = Rule(f"n <= {NAME_BYTES_MAX}", f"must be at most {NAME_BYTES_MAX} bytes of UTF-8", shared=True)
_FIVE = Rule("1 <= v <= 5", "must be 1 to 5")
_COUNTED = Rule("v >= 0", "must be >= 0")
_DATE = Rule(
    "is_day(v)", f"must be MM-DD or YYYY-MM-DD, a day that exists, {FIRST_YEAR} to {LAST_YEAR}", uses=(is_day,)
)

_OURS = (PLACE, INSIDE)
_NOT_OURS = " and ".join(f'v[:{len(name)}] != "{name}"' for name in _OURS)
_OTHER = Rule(
    f"{_CUSTOMER_ID.test} and {_NOT_OURS}",
    f'must be 1 to 128 bytes of UTF-8, and not begin with "{PLACE}" or "{INSIDE}", as ids of ours do; '
    "leave it null if unknown",
)

_RELAYED: Rules = {
    "event_id": _EVENT_ID,
    "customer_id": Rule(_CUSTOMER_ID.test, "must be 1 to 128 bytes of UTF-8"),
    "occurred_at": _INSTANT,
}
_COMMON: Rules = {
    **_RELAYED,
    "event_id": _OWN_EVENT_ID,
    "customer_id": Rule(
        f"{_CUSTOMER_ID.test} and {_NOT_OURS}",
        f'must be 1 to 128 bytes of UTF-8, and not begin with "{PLACE}" or "{INSIDE}", as ids of ours do',
    ),
}

RULES: dict[str, Rules] = {
    topics.PURCHASES: {
        **_COMMON,
        "store_id": _NAME,
        "channel": _NAME,
        "currency": Rule(
            "len(v) == 3 and v.isascii() and v.isalpha() and v.isupper()",
            "must be three upper-case letters of ISO 4217, as in USD",
            shared=True,
        ),
        "lines": Rule(f"0 < len(v) <= {LINES_MAX}", f"must hold 1 to {LINES_MAX:,} lines"),
        "lines[].category": _NAME,
        "lines[].quantity": Rule(f"{-QUANTITY_END} < v < {QUANTITY_END}", "must lie within 2^31 pieces", narrow=True),
        "lines[].net_amount": Rule(
            f"0 <= v <= {AMOUNT_MAX}", "must be >= 0 and at most 10^13 minor units; send what came back as kind RETURN"
        ),
        "lines[].cost": _AMOUNT,
        "original_event_id": _REFERENCE,
        "coupon_ids": Rule(f"len(v) <= {LINES_MAX}", f"must hold at most {LINES_MAX:,} coupons"),
        "coupon_ids[]": _REFERENCE,
        "referrer_id": _OTHER,
        "employee_id": _NAME,
    },
    topics.COMPLAINTS: {
        **_COMMON,
        "complaint_id": _ID,
        "severity": _FIVE,
        "satisfaction": _FIVE,
        "compensation": _AMOUNT,
        "store_id": _NAME,
        "reward": _AMOUNT,
    },
    topics.CONTACTS: {
        **_COMMON,
        "channel": _NAME,
        "reminder_id": _REFERENCE,
        "score": Rule("0 <= v <= 10", "must be 0 to 10"),
        "referred_customer_id": _OTHER,
        "employee_id": _NAME,
        "cost": _AMOUNT,
        "item": _NAME,
        "due_at": _INSTANT,
        "reason": Rule("0 < n <= 64", "must be 1 to 64 bytes of UTF-8: a reason by which losses are counted"),
    },
    topics.CUSTOMERS: {
        **_COMMON,
        "joined_at": _INSTANT,
        "birthday": _DATE,
        "anniversaries": Rule("len(v) <= 100", "must hold at most 100 days"),
        "anniversaries[].name": _NAME,
        "anniversaries[].date": _DATE,
        "consent": Rule("len(v) <= 100", "must hold at most 100 channels"),
        "consent{key}": _NAME,
        "employee_id": _NAME,
        "time_zone": Rule(
            "is_time_zone(v)", "must be a name of the IANA database, as in Europe/Berlin", uses=(is_time_zone,)
        ),
        "language": Rule("is_language(v)", "must be a BCP 47 tag, as in en or zh", uses=(is_language,)),
        "acquisition_cost": _AMOUNT,
        "preferred_channel": _NAME,
        "merged_into": _COMMON["customer_id"],
    },
    topics.TICKS: {
        "at": _INSTANT,
        "value_at_share{key}": Rule("is_share(v)", "must be a share above 0 and up to 1, as in 0.2", uses=(is_share,)),
        "policy": Rule(
            "is_policy(v)", "must be name@version# and 8 hex digits of the text's SHA-256, or empty", uses=(is_policy,)
        ),
        "served": Rule(f"len(v) <= {LINES_MAX}", f"must hold at most {LINES_MAX:,} employees"),
        "served[].employee_id": Rule(
            f"0 < n <= {EMPLOYEE_BYTES_MAX}", f"must be 1 to {EMPLOYEE_BYTES_MAX} bytes of UTF-8"
        ),
        **dict.fromkeys((f"served[].{name}" for name in Served.__struct_fields__[1:]), _COUNTED),
    },
    topics.RELAY: {
        **_RELAYED,
        "recorded_at": _INSTANT,
        "referred_customer_id": _CUSTOMER_ID,
    },
}
