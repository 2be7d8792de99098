"""What a server's silence or refusal means to a person, in a line: for any command, and a worker at its start.

Errors are known by the module of their class: redis is imported by `sinks/` alone, and help loads no client.
"""

from __future__ import annotations

from typing import Final

_KAFKA_GONE: Final = frozenset(
    {"NoBrokersAvailable", "KafkaConnectionError", "KafkaTimeoutError", "NodeNotReadyError", "BootstrapError"}
)
_CLUSTER: Final = "set LOYALTY_REDIS=redis+cluster://host:port,host:port"
_ROLES: Final = "docs/security.md says what each role may do"


def told(error: BaseException) -> str | None:
    """The line; None for what is our own fault and deserves its traceback."""
    for kind in type(error).__mro__:
        of_redis, of_kafka = kind.__module__.startswith("redis."), kind.__module__.startswith(("kafka.", "aiokafka."))
        if of_redis and kind.__name__ in ("AuthenticationError", "NoPermissionError"):
            return f"Redis refuses the user of LOYALTY_REDIS_USER: {error}; {_ROLES}"
        if of_redis and kind.__name__ == "MovedError":
            return f"Redis refuses a key that lies elsewhere in its cluster ({error}): {_CLUSTER}"
        if of_redis and kind.__name__ in ("ConnectionError", "TimeoutError", "RedisClusterException"):
            return f"Redis does not answer: {error}; start it with `loyalty stack up` or set LOYALTY_REDIS"
        if of_kafka and "Auth" in kind.__name__:
            return f"Kafka refuses the user of LOYALTY_KAFKA_USER: {error}; {_ROLES}"
        if of_kafka and kind.__name__ in _KAFKA_GONE:
            return f"Kafka does not answer: {error}; start it with `loyalty stack up` or set LOYALTY_KAFKA"
    return None
