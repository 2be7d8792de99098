"""Removes all keys of one installation, so that it can be filled again from Kafka. Nobody else's keys are touched."""

from __future__ import annotations

from itertools import islice
from typing import Any, Final

from redis.backoff import NoBackoff
from redis.retry import Retry

from sinks.clients import client_of
from sinks.keys import Keys

_AT_ONCE: Final = 1_000
_ANSWER_TIMEOUT_S: Final = 30.0


def empty(redis_url: str, keys: Keys) -> int:
    """How many keys there were. Nobody may be writing them meanwhile. Raises what redis-py raises."""
    client: Any = client_of(redis_url, retry=Retry(NoBackoff(), 3), socket_timeout=_ANSWER_TIMEOUT_S)
    with client:
        found, gone = client.scan_iter(match=keys.every(), count=_AT_ONCE), 0
        while names := list(islice(found, _AT_ONCE)):
            gone += int(client.unlink(*names))
    return gone
