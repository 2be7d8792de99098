"""What befalls a crew: each function strikes, lasts, and has taken the cause away when it returns.

Whether they recover is judged alike for all of them: see `Crew.suffer`. `KINDS` names each as docs/reliability.md does.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from random import Random
from typing import NamedTuple

import redis

from tests.chaos.crew import Crew, Host
from tests.chaos.world import SESSION_MS

HOUR_MS = 3_600_000
JUMPS_MS = (-400 * 24 * HOUR_MS, -24 * HOUR_MS, -HOUR_MS, HOUR_MS, 24 * HOUR_MS, 400 * 24 * HOUR_MS)


class Kind(NamedTuple):
    """parts: of the year that it takes; weight: how often it is drawn beside the others."""

    fault: Callable[[Crew], None]
    parts: int
    weight: int


# ---- workers


def nothing(crew: Crew) -> None:
    """To compare with."""


def killed(crew: Crew) -> None:
    """kill -9; another is started on its host at once."""
    host, _ = crew.one()
    host.running.kill()
    crew.start(host)


def frozen(crew: Crew) -> None:
    """Stopped for longer than its session, woken when another has all its partitions and works on them."""
    host, _ = crew.one()
    before = crew.seen()
    host.running.signal(signal.SIGSTOP)
    crew.taken_over(before)
    crew.write()
    host.running.signal(signal.SIGCONT)


def rebalanced(crew: Crew) -> None:
    """A third joins, and one of the three leaves by SIGTERM."""
    third = crew.host()
    crew.start(third)
    three = [*crew.hosts, third]
    crew.shared(three)
    crew.write()
    leaving = crew.rng.choice(three)
    crew.leaves(leaving)
    crew.hosts = [host for host in three if host is not leaving]


def clock_jumped(crew: Crew) -> None:
    """The wall clock of a worker jumps while it works, and it takes all over under that clock; then it jumps back, and
    both share under the right one."""
    host, other = crew.one()
    before, jump = crew.seen(), crew.rng.choice(JUMPS_MS)
    host.clock(jump)
    crew.leaves(other)
    taken = crew.taken_over(before)
    least = time.time_ns() // 1_000_000 + jump - HOUR_MS // 2
    assert jump < 0 or min(taken.epochs) >= least, f"the worker does not see the clock that is {jump} ms wrong: {taken}"
    host.clock(0)
    crew.start(other)


# ---- Redis


def redis_full(crew: Crew) -> None:
    """Over its maxmemory it refuses writes, evicting nothing."""
    with redis.Redis.from_url(crew.world.settings.redis) as client:

        def refused() -> int:
            told = client.info("commandstats").get("cmdstat_evalsha", {})
            return int(told.get("failed_calls", 0)) + int(told.get("rejected_calls", 0))

        enough = refused() + crew.rng.randint(1, 25)
        client.config_set("maxmemory", 1)
        crew.write()
        crew.until(lambda: refused() >= enough, "writes are refused")
        client.config_set("maxmemory", 0)


def redis_killed(crew: Crew) -> None:
    """kill -9, and started again at once."""
    assert crew.world.stack.kill_redis()
    crew.world.stack.start_redis()


def redis_gone(crew: Crew) -> None:
    """Away while the tills go on, until it was asked for in vain some times."""
    assert crew.world.stack.kill_redis()
    before = _refused(crew, "redis")
    crew.write()
    enough = before + crew.rng.randint(4, 30)
    crew.until(lambda: _refused(crew, "redis") >= enough, "Redis is missed")
    crew.written()
    crew.world.stack.start_redis()


def redis_cut(crew: Crew) -> None:
    """One worker's, or both's, way to Redis: replies are swallowed on their way, or no connection comes about."""
    hosts = crew.some()
    if crew.rng.random() < 0.5:
        held = sum(host.redis.held for host in hosts)
        for host in hosts:
            host.redis.hold()
        crew.write()
        crew.until(lambda: sum(host.redis.held for host in hosts) > held, "a reply is under way")
    else:
        crew.write()
    _broken(crew, hosts, "redis", crew.rng.randint(1, 20))
    for host in hosts:
        host.redis.let_go()


def redis_slow(crew: Crew) -> None:
    """Each reply comes late."""
    _slow(crew, "redis", crew.rng.uniform(0.05, 0.5), crew.rng.randint(4, 20))


def redis_fell_back(crew: Crew) -> None:
    """It comes back as it was some faults ago."""
    crew.world.restore(crew.rng.choice(crew.then))
    crew.write()


# ---- Kafka


def broker_killed(crew: Crew) -> None:
    """kill -9 of the JVM, and started again."""
    crew.written()
    assert crew.world.stack.kill_kafka()
    crew.world.stack.start_kafka()


def kafka_cut(crew: Crew) -> None:
    """One worker's, or both's, way to Kafka: no connection comes about, or each swallows all, perhaps until the group
    has given the partitions to the other, while this one still reaches Redis."""
    hosts = crew.some()
    if crew.rng.random() < 0.4:
        _broken(crew, hosts, "kafka", crew.rng.randint(1, 20))
        return
    before = crew.seen()
    for host in hosts:
        host.kafka.hold(both=True)
    if len(hosts) == 1:
        crew.taken_over(before)
    else:
        crew.lasts(crew.rng.uniform(0.2, 1.5) * SESSION_MS / 1_000)
    for host in hosts:
        host.kafka.let_go()


def kafka_slow(crew: Crew) -> None:
    """Each reply comes late."""
    _slow(crew, "kafka", crew.rng.uniform(0.05, 0.3), crew.rng.randint(20, 80))


# ---- what they share


def _refused(crew: Crew, way: str) -> int:
    return sum(getattr(host, way).refused for host in crew.hosts)


def _broken(crew: Crew, hosts: list[Host], way: str, times: int) -> None:
    """No connection until so many were tried."""
    enough = _refused(crew, way) + times
    for host in hosts:
        getattr(host, way).cut()
    crew.until(lambda: _refused(crew, way) >= enough, "the server is missed")
    for host in hosts:
        getattr(host, way).mend()


def _slow(crew: Crew, way: str, seconds: float, replies: int) -> None:
    proxies = [getattr(host, way) for host in crew.some()]
    enough = sum(proxy.late for proxy in proxies) + replies
    for proxy in proxies:
        proxy.delay(seconds)
    crew.write()
    crew.until(lambda: sum(proxy.late for proxy in proxies) >= enough or crew.idle(), "replies come late")
    for proxy in proxies:
        proxy.delay(0)


KINDS = {
    "worker killed (kill -9)": Kind(killed, 1, 3),
    "worker frozen until another had its partitions": Kind(frozen, 2, 3),
    "a worker joins, one leaves": Kind(rebalanced, 2, 2),
    "a worker's wall clock jumps": Kind(clock_jumped, 1, 2),
    "Redis full": Kind(redis_full, 2, 3),
    "Redis killed (kill -9)": Kind(redis_killed, 1, 3),
    "Redis away": Kind(redis_gone, 2, 3),
    "Redis unreachable for one worker or both": Kind(redis_cut, 2, 3),
    "Redis slow": Kind(redis_slow, 2, 3),
    "Redis fell back": Kind(redis_fell_back, 2, 1),
    "broker killed (kill -9)": Kind(broker_killed, 1, 1),
    "Kafka unreachable for one worker or both": Kind(kafka_cut, 1, 3),
    "Kafka slow": Kind(kafka_slow, 2, 3),
}


def drawn(rng: Random, count: int, kinds: dict[str, Kind]) -> list[str]:
    """So many faults in the order in which they strike, each kind at least once."""
    assert count >= len(kinds), f"{count} faults cannot be of {len(kinds)} kinds: set LOYALTY_TEST_FAULTS={len(kinds)}"
    names = list(kinds)
    more = rng.choices(names, [kind.weight for kind in kinds.values()], k=count - len(names))
    order = [*names, *more]
    rng.shuffle(order)
    return order
