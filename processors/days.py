"""Calendar days in the programme's time zone: the only module that knows time zones.

A *day* is an integer: the local date's distance in days from 1970-01-01, so that windows are plain subtraction.
Instants are UTC milliseconds. Local times that come twice or not at all are read as PEP 495's ``fold=0`` says.

Speed: within one UTC day a zone almost always keeps one offset, so the offset is remembered by UTC day and a day number
costs one dictionary lookup. On the two days a year when the offset changes every instant is worked out anew.
That no zone changes its offset there and back within one UTC day is held by a test over every zone there is.
"""

from __future__ import annotations

from calendar import isleap
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

DAY_MS = 86_400_000
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - naive, as local times are in here
_MILLISECOND = timedelta(milliseconds=1)
# Every valid time (1970 to 2100) has 47,482 days; the bound only guards against calls outside of it.
_REMEMBERED_MAX = 65_536


class Calendar:
    """The programme's calendar; made once a policy, then only asked.

    Raises ValueError for a zone that the IANA database does not have.
    """

    __slots__ = ("_midnights", "_offsets", "_zone", "zone")

    def __init__(self, zone: str) -> None:
        try:
            self._zone = ZoneInfo(zone)
        except (KeyError, ValueError, OSError):
            # OSError: a folder of the database ("America"), or a name too long for a file.
            raise ValueError(
                f'{zone!r} is no time zone of the IANA database; write one as in "America/New_York" or "UTC"'
            ) from None
        self.zone = zone
        self._offsets: dict[int, int] = {}  # UTC day -> offset in ms, only where it holds all day
        self._midnights: dict[int, int] = {}  # programme day -> UTC ms

    def __repr__(self) -> str:
        return f"Calendar({self.zone!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Calendar) and other.zone == self.zone

    def __hash__(self) -> int:
        return hash(self.zone)

    def day_of(self, ms: int) -> int:
        """The programme's day at the instant `ms` (UTC milliseconds): days since 1970-01-01 by the local date.

        Never goes back as time goes on, except where a zone set its clocks back across midnight
        (America/St_Johns until 2011, for an hour a year).
        """
        try:  # the hottest lines of the core: numbers in place of names, and no call
            return (ms + self._offsets[ms // 86_400_000]) // 86_400_000
        except KeyError:
            return (ms + self._offset_at(ms)) // DAY_MS

    def midnight(self, day: int) -> int:
        """UTC milliseconds of the first instant at which `day` begins.

        A midnight that comes twice: the first. One that the clocks jump over: the instant of the jump; so it is for
        a day left out altogether (Pacific/Apia, 2011-12-30), which begins and ends at the jump.
        """
        found = self._midnights.get(day)
        if found is None:
            found = self._find_midnight(day)
            if len(self._midnights) >= _REMEMBERED_MAX:
                self._midnights.clear()
            self._midnights[day] = found
        return found

    def begins_after(self, day: int, after_ms: int) -> int:
        """The first instant later than `after_ms` at which `day` has begun; always later than `after_ms`.

        The same as `midnight(day)`, unless the clocks were set back across that midnight and `after_ms` lies in the
        evening that came twice: then the second midnight. Where the day has begun already, the next millisecond.
        """
        begin = self.midnight(day)
        if begin > after_ms:
            return begin
        naive = datetime.fromordinal(day + _EPOCH_ORDINAL)
        again = self._utc(naive, fold=1)
        return again if again > after_ms else after_ms + 1

    def plus_days(self, ms: int, days: int) -> int:
        """The same local time of day, `days` calendar days later, to the millisecond (UTC ms in and out).

        Zero days later is the instant itself, also in an hour that comes twice.
        """
        if days == 0:
            return ms
        day = ms // DAY_MS
        offset = self._offsets.get(day)
        if offset is not None and offset == self._offsets.get(day + days):
            return ms + days * DAY_MS
        seconds, milliseconds = divmod(ms, 1000)
        local = datetime.fromtimestamp(seconds, self._zone).replace(tzinfo=None, fold=0)
        later = self._utc(local + timedelta(days=days), fold=0) + milliseconds
        self.day_of(ms), self.day_of(later)  # remembers both days' offsets
        return later

    def minute_of(self, ms: int) -> int:
        """The minute of the day that local clocks show at the instant `ms`, 0 to 1439."""
        offset = self._offsets.get(ms // DAY_MS)
        return (ms + (self._offset_at(ms) if offset is None else offset)) // 60_000 % 1440

    def next_at(self, minute: int, after_ms: int) -> int:
        """The first instant later than `after_ms` at which local clocks show `minute` of the day, or jump over it."""
        today = self.day_of(after_ms)
        found = (
            instant
            for day in (today, today + 1, today + 2)
            for instant in self._showing(datetime.fromordinal(day + _EPOCH_ORDINAL) + timedelta(minutes=minute))
        )
        return min(instant for instant in found if instant > after_ms)

    @staticmethod
    def years_after(day: int, years: int) -> int:
        """The same date so many years later; of 29 February, where there is none, 1 March. Before the year 10000."""
        start = date.fromordinal(day + _EPOCH_ORDINAL)
        year = start.year + years
        leaps = start.month == 2 and start.day == 29 and not isleap(year)
        return (date(year, 3, 1) if leaps else start.replace(year=year)).toordinal() - _EPOCH_ORDINAL

    @staticmethod
    def iso_day(day: int) -> str:
        """The day as a date, "2017-02-28"."""
        return date.fromordinal(day + _EPOCH_ORDINAL).isoformat()

    def _offset_at(self, ms: int) -> int:
        """Local minus UTC in ms at this instant; remembered if it holds for the whole UTC day."""
        utc_day = ms // DAY_MS
        first, last = self._exact(utc_day * DAY_MS), self._exact((utc_day + 1) * DAY_MS - 1)
        if first != last:
            return self._exact(ms)
        if len(self._offsets) >= _REMEMBERED_MAX:
            self._offsets.clear()
        self._offsets[utc_day] = first
        return first

    def _exact(self, ms: int) -> int:
        offset = datetime.fromtimestamp(ms // 1000, self._zone).utcoffset()
        assert offset is not None
        return offset // _MILLISECOND

    def _utc(self, local: datetime, fold: int) -> int:
        """UTC ms of a naive local time by PEP 495."""
        offset = local.replace(tzinfo=self._zone, fold=fold).utcoffset()
        assert offset is not None
        return (local - offset - _EPOCH) // _MILLISECOND

    def _find_midnight(self, day: int) -> int:
        return self._showing(datetime.fromordinal(day + _EPOCH_ORDINAL))[0]

    def _showing(self, local: datetime) -> tuple[int, ...]:
        """The instants at which local clocks show `local`, a naive time: one, two, or the one of a jump over it."""
        instant = self._utc(local, fold=0)
        back = datetime.fromtimestamp(instant // 1000, self._zone).replace(tzinfo=None, fold=0)
        if back == local:
            again = self._utc(local, fold=1)
            return (instant,) if again == instant else (instant, again)
        # The clocks jump over this time. PEP 495 gives a time after the jump where the gap began before it:
        # search for the jump itself, which lies at most the gap's length earlier.
        before, after = self._exact(instant - 2 * DAY_MS), self._exact(instant)
        low, high = instant - abs(after - before), instant
        while low < high:
            middle = (low + high) // 2
            if self._exact(middle) == after:
                high = middle
            else:
                low = middle + 1
        return (high,)

    @staticmethod
    @lru_cache(maxsize=4096)
    def occurrence(date_text: str, year: int) -> int:
        """The day in `year` of a yearly date, "MM-DD" or "YYYY-MM-DD"; of 29 February, where there is none, 1 March."""
        month, day = int(date_text[-5:-3]), int(date_text[-2:])
        there_is_none = (month, day) == (2, 29) and not isleap(year)
        return (date(year, 3, 1) if there_is_none else date(year, month, day)).toordinal() - _EPOCH_ORDINAL

    @staticmethod
    @lru_cache(maxsize=4096)
    def day_named(date_text: str) -> int:
        """The day of a date, "YYYY-MM-DD"."""
        return date.fromisoformat(date_text).toordinal() - _EPOCH_ORDINAL

    @staticmethod
    def year_of(day: int) -> int:
        """The year of a day."""
        return date.fromordinal(day + _EPOCH_ORDINAL).year


@lru_cache(maxsize=512)
def calendar_of(zone: str) -> Calendar:
    """The calendar of a time zone, made once. Raises ValueError as Calendar does."""
    return Calendar(zone)


@lru_cache(maxsize=512)
def known_calendar(zone: str) -> Calendar | None:
    """The calendar of a time zone, made once; None where this machine's IANA database does not have it."""
    try:
        return calendar_of(zone)
    except ValueError:
        return None


def is_day(text: str) -> bool:
    """Whether "YYYY-MM-DD" names a day that there is, of 1800 to 2199."""
    try:
        return 1800 <= date.fromisoformat(text).year < 2200
    except ValueError:
        return False


def utc_iso(ms: int) -> str:
    """An instant as ISO 8601 in UTC to the millisecond, for messages: "2017-01-31T05:00:00.000Z"."""
    seconds, milliseconds = divmod(ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{milliseconds:03d}Z"
