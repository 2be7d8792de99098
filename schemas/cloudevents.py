"""Headers of what is published, as in CloudEvents' Kafka binding, binary mode: the value stays plain Avro.

What a reader may filter by (`tier`, `level`, `kind`, `holdout`) rides beside them: it can skip without decoding.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from schemas import library

Headers = tuple[tuple[str, bytes], ...]

CONTENT_TYPE = b"application/avro"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_MS = 86_400_000


def rfc3339(at: int) -> str:
    """UTC milliseconds as CloudEvents writes times.

    >>> rfc3339(1_490_000_123_456)
    '2017-03-20T08:55:23.456Z'
    """
    day, ms = divmod(at, _DAY_MS)
    seconds, ms = divmod(ms, 1_000)
    minutes, seconds = divmod(seconds, 60)
    return f"{_date(day)}T{minutes // 60:02}:{minutes % 60:02}:{seconds:02}.{ms:03}Z"


@lru_cache(maxsize=4_096)  # outputs come in order of time: strftime was most of what headers cost
def _date(day: int) -> str:
    return (_EPOCH + timedelta(days=day)).strftime("%Y-%m-%d")


@lru_cache(maxsize=64)
def type_of(topic: str) -> str:
    """The event's type: the full name of its Avro record.

    >>> type_of("tier-changes")
    'loyalty.v1.TierChange'
    """
    schema = library.source(topic)
    return f"{schema['namespace']}.{schema['name']}"


def headers(topic: str, partition: int, event_id: str, at: int, **filters: str | bool | None) -> Headers:
    """Headers of one output. at: ms. filters: by name, as text; None is left out, booleans are true or false."""
    source, kind = _of(topic, partition)
    fixed = (_VERSION, ("ce_id", event_id.encode()), source, kind, ("ce_time", rfc3339(at).encode()), _CONTENT)
    return (*fixed, *[(name, _text(value)) for name, value in filters.items() if value is not None])


_VERSION: Final = ("ce_specversion", b"1.0")
_CONTENT: Final = ("content-type", CONTENT_TYPE)


@lru_cache(maxsize=1_024)
def _of(topic: str, partition: int) -> Headers:
    return ("ce_source", b"loyalty/%d" % partition), ("ce_type", type_of(topic).encode())


def _text(value: str | bool) -> bytes:
    return (str(value).lower() if isinstance(value, bool) else value).encode()
