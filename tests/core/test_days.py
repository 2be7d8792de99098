"""Calendar days against the plain datetime and zoneinfo sentence of the contract."""

import struct
from datetime import UTC, date, datetime, timedelta
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from processors.days import DAY_MS, Calendar, utc_iso

ZONES = (
    "UTC", "America/New_York", "Pacific/Apia", "Australia/Lord_Howe", "America/St_Johns", "America/Sao_Paulo",
    "Asia/Kathmandu", "Asia/Shanghai", "Europe/London", "Africa/Monrovia", "Asia/Pyongyang", "Antarctica/Troll",
    "Pacific/Kwajalein", "Africa/Casablanca",
)  # fmt: skip
LAST_MS = 4_102_444_799_999
EPOCH_ORDINAL = date(1970, 1, 1).toordinal()

zones = st.sampled_from(ZONES)


@cache
def calendar(zone: str) -> Calendar:
    return Calendar(zone)


def ms(year: int, month: int, day: int, *clock: int, tz: str = "UTC", fold: int = 0) -> int:
    hour, minute, second = (*clock, 0, 0, 0)[:3]
    return round(datetime(year, month, day, hour, minute, second, tzinfo=ZoneInfo(tz), fold=fold).timestamp()) * 1000


@cache
def changes(zone: str) -> tuple[int, ...]:
    """The UTC days (their first ms) of all valid time on which the zone changes its offset."""
    info = ZoneInfo(zone)
    offsets = [datetime.fromtimestamp(at // 1000, info).utcoffset() for at in range(0, LAST_MS + 2, DAY_MS)]
    return tuple(day * DAY_MS for day, pair in enumerate(pairwise(offsets)) if pair[0] != pair[1])


def transitions_in_file(zone: str) -> tuple[int, ...]:
    """The instants (ms) from 1970 on that the zone's own file lists; what follows them is a rule of two a year."""
    data = (files("tzdata") / "zoneinfo" / zone).read_bytes()
    counts = struct.unpack(">6l", data[20:44])
    first = 44 + counts[3] * 5 + counts[4] * 6 + counts[5] + counts[2] * 8 + counts[1] + counts[0]
    times = struct.unpack(">6l", data[first + 20 : first + 44])[3]
    return tuple(at * 1000 for at in struct.unpack_from(f">{times}q", data, first + 44) if at >= 0)


@st.composite
def instants(draw: Any, zone: str) -> int:
    """Any valid time; half of them around a change of the zone's offset, where the faults are."""
    near = changes(zone)
    if near and draw(st.booleans()):
        at = draw(st.sampled_from(near)) + draw(st.integers(-DAY_MS, 2 * DAY_MS))
        return int(min(max(at, 0), LAST_MS))
    return int(draw(st.integers(0, LAST_MS)))


def plain_day(at: int, zone: str) -> int:
    local = datetime.fromtimestamp(at // 1000, ZoneInfo(zone))
    return local.date().toordinal() - EPOCH_ORDINAL


def plain_plus(at: int, days: int, zone: str) -> int:
    local = datetime.fromtimestamp(at // 1000, ZoneInfo(zone)).replace(tzinfo=None, fold=0) + timedelta(days=days)
    utc = local.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    return round(utc.timestamp()) * 1000 + at % 1000


@given(zones, st.data())
def test_a_day_is_the_local_date(zone: str, data: st.DataObject) -> None:
    at = data.draw(instants(zone))
    assert calendar(zone).day_of(at) == plain_day(at, zone)
    assert Calendar(zone).day_of(at) == plain_day(at, zone)  # nothing remembered yet


@given(zones, st.data(), st.integers(0, 400))
def test_days_are_added_at_the_same_local_time(zone: str, data: st.DataObject, days: int) -> None:
    at = data.draw(instants(zone))
    later = calendar(zone).plus_days(at, days)
    assert later == (plain_plus(at, days, zone) if days else at)
    assert later % 1000 == at % 1000


@given(zones, st.data())
@example("Pacific/Apia", None)
def test_a_midnight_is_the_first_instant_of_its_day(zone: str, data: st.DataObject | None) -> None:
    at = ms(2011, 12, 30, 12) if data is None else data.draw(instants(zone))
    day = calendar(zone).day_of(at)
    begin = calendar(zone).midnight(day)
    assert calendar(zone).day_of(begin) == day
    assert calendar(zone).day_of(begin - 1) < day
    local = datetime.fromordinal(day + EPOCH_ORDINAL).replace(tzinfo=ZoneInfo(zone))
    if local.astimezone(UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None) == local.replace(tzinfo=None):
        assert begin == round(local.timestamp()) * 1000  # it exists: fold=0


@given(zones, st.data(), st.integers(1, 400))
def test_waiting_for_a_day_ends_later_than_it_began_and_on_that_day(zone: str, data: st.DataObject, days: int) -> None:
    at = data.draw(instants(zone))
    day = calendar(zone).day_of(at) + days
    begin = calendar(zone).begins_after(day, at)
    assert begin > at
    assert calendar(zone).day_of(begin) >= day
    if begin != calendar(zone).midnight(day):
        assert calendar(zone).midnight(day) <= at  # the clocks were set back across it


@pytest.mark.parametrize(
    ("zone", "at", "day"),
    [
        ("America/New_York", ms(2017, 12, 31, 4, 59, 59), "2017-12-30"),
        ("America/New_York", ms(2017, 12, 31, 5), "2017-12-31"),
        ("UTC", ms(2024, 2, 29, 23, 59, 59), "2024-02-29"),
        ("UTC", 0, "1970-01-01"),
        ("America/New_York", 0, "1969-12-31"),
        ("Asia/Kathmandu", ms(2024, 2, 29, 18, 15), "2024-03-01"),
        ("Pacific/Apia", ms(2011, 12, 30, 9, 59, 59), "2011-12-29"),
        ("Pacific/Apia", ms(2011, 12, 30, 10), "2011-12-31"),
    ],
)
def test_days_that_are_known(zone: str, at: int, day: str) -> None:
    days = Calendar(zone)
    assert days.iso_day(days.day_of(at)) == day


def test_a_midnight_that_the_clocks_jump_over_is_the_instant_of_the_jump() -> None:
    sao_paulo = Calendar("America/Sao_Paulo")
    jump = ms(2017, 10, 15, 3)
    assert sao_paulo.midnight(sao_paulo.day_of(jump)) == jump
    apia = Calendar("Pacific/Apia")
    missing = date(2011, 12, 30).toordinal() - EPOCH_ORDINAL
    assert apia.midnight(missing) == apia.midnight(missing + 1) == ms(2011, 12, 30, 10)


def test_a_jump_from_before_midnight_begins_the_day() -> None:
    toronto = Calendar("America/Toronto")  # 1919-03-30 23:30 became 31 March 00:30
    day = date(1919, 3, 31).toordinal() - EPOCH_ORDINAL
    begin = toronto.midnight(day)
    assert toronto.day_of(begin) == day
    assert toronto.day_of(begin - 1) == day - 1


def test_a_midnight_that_comes_twice_is_the_first_and_waiting_in_the_evening_between_gives_the_second() -> None:
    st_johns = Calendar("America/St_Johns")  # 2010-11-07 00:01 became 6 November 23:01
    day = date(2010, 11, 7).toordinal() - EPOCH_ORDINAL
    first, second = ms(2010, 11, 7, 2, 30), ms(2010, 11, 7, 3, 30)
    assert st_johns.midnight(day) == first
    evening = ms(2010, 11, 7, 3)
    assert st_johns.day_of(evening) == day - 1
    assert st_johns.begins_after(day, evening) == second
    assert st_johns.begins_after(day, first - 1) == first


def test_local_times_that_come_twice_or_not_at_all_are_read_with_fold_0() -> None:
    new_york = Calendar("America/New_York")
    before = ms(2017, 11, 4, 1, 30, tz="America/New_York")
    assert new_york.plus_days(before + 7, 1) == ms(2017, 11, 5, 1, 30, tz="America/New_York", fold=0) + 7
    assert new_york.plus_days(ms(2017, 3, 11, 2, 30, tz="America/New_York"), 1) == ms(2017, 3, 12, 7, 30)


def test_no_days_later_is_the_same_instant_also_in_an_hour_that_comes_twice() -> None:
    again = ms(2017, 11, 5, 1, 30, tz="America/New_York", fold=1)
    assert Calendar("America/New_York").plus_days(again, 0) == again


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "America", "../etc/passwd", "x" * 5000, "\0"])
def test_an_unknown_zone_is_named(zone: str) -> None:
    with pytest.raises(ValueError, match="is no time zone of the IANA database"):
        Calendar(zone)


def test_no_zone_changes_its_offset_twice_within_a_utc_day_so_that_an_offset_may_be_remembered_by_day() -> None:
    assert len(transitions_in_file("America/New_York")) > 70
    for zone in sorted(available_timezones() & set(_files())):
        days = [at // DAY_MS for at in transitions_in_file(zone)]
        assert len(days) == len(set(days)), zone


def _files() -> list[str]:
    return (files("tzdata") / "zones").read_text().split()


def test_instants_in_messages_are_utc_to_the_millisecond() -> None:
    assert utc_iso(1_485_838_800_007) == "2017-01-31T05:00:00.007Z"
