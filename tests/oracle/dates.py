"""Days and midnights of the programme, said plainly: a day is a number (proleptic ordinal) in the programme's zone.

Local times that come twice or not at all are read with `fold=0` of PEP 495, as the contract says.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY_MS = 86_400_000
NEVER_MS = 253_402_300_800_000
"""The year 10000: when nothing is going to change by time alone."""


def utc(ms: int) -> datetime:
    return EPOCH + timedelta(milliseconds=ms)


def to_ms(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(milliseconds=1)


@lru_cache(maxsize=1_000_000)
def day(ms: int, zone: str) -> int:
    """The calendar day of the instant, in that zone."""
    return utc(ms).astimezone(ZoneInfo(zone)).date().toordinal()


@lru_cache(maxsize=1_000_000)
def midnight(ordinal: int, zone: str) -> int:
    """The instant (ms) at which that day begins: the first at which clocks of that zone show it, or a later day."""
    start = date.fromordinal(ordinal)
    guess = to_ms(datetime(start.year, start.month, start.day, tzinfo=UTC))
    early, late = guess - 2 * DAY_MS, guess + 2 * DAY_MS
    while early < late:
        middle = (early + late) // 2
        if day(middle, zone) < ordinal:
            early = middle + 1
        else:
            late = middle
    return late


def same_local_time(ms: int, days: int, zone: str) -> int:
    """The instant at the same local time, so many calendar days later; never before `ms` itself."""
    local = utc(ms).astimezone(ZoneInfo(zone)).replace(tzinfo=None) + timedelta(days=days)
    return max(ms, to_ms(local.replace(tzinfo=ZoneInfo(zone), fold=0)))


def years_later(ordinal: int, years: int) -> int:
    """The same date so many years later; the day after 28 February where there is no 29th."""
    start = date.fromordinal(ordinal)
    before = date(start.year + years, start.month, min(start.day, 28)).toordinal()
    return before + start.day - min(start.day, 28)
