"""doctor: the settings, what they reach, and what is wrong with it."""

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from infra.localstack import StackError
from sinks.addresses import is_cluster
from streams.cli.command import FAILED, OK, Command
from streams.cli.output import Output
from streams.settings import NO_ERASE_KEY, LoyaltyError, Settings, UsageError, unknown_variables

if TYPE_CHECKING:
    from sinks.probing import Ahead
    from streams.roles import Role

CLOCK_MAX_MS: Final = 5_000
"""Clocks further apart are kept by nobody: NTP holds some milliseconds. Latencies are wrong by as much, and ticks."""

KAFKA_LEAST: Final = (3, 0)
_GIVE: Final = "give this login what docs/security.md names"


def doctor(args: Namespace, settings: Settings) -> int:
    """FAILED if anything is wrong."""
    out = Output.of(args)
    role = role_of(args.role, settings)
    if not out.as_json:
        out.say("Settings")
    out.table(_settings_rows(settings), columns=("setting", "value", "help"))
    rows = [*_unknown_rows(), *_version_rows(), *_security_rows(settings, role), *_kafka_rows(settings, role)]
    rows += [*_redis_rows_of(settings, role), *_registry_rows(settings), *_policy_rows(settings)]
    if not out.as_json:
        out.say("\nWhat they reach")
    out.table(rows, columns=("what", "found", "wrong"))
    wrong = sum(1 for row in rows if row["wrong"])
    out.say(f"\n{wrong} wrong" if wrong else "\nall is well")
    return FAILED if wrong else OK


def role_of(name: str | None, settings: Settings) -> "Role | None":
    """The role whose rights are asked for: that named, else that of the login's name. Raises UsageError."""
    from streams.roles import roles

    known = {role.name: role for role in roles(settings)}
    if name is not None and name not in known:
        raise UsageError(f"--role {name}: is no role; one of {', '.join(known)}")
    return known.get(name or settings.kafka_user or settings.redis_user)


def _row(what: str, found: Any, wrong: str = "") -> dict[str, Any]:
    return {"what": what, "found": found, "wrong": wrong}


def _settings_rows(settings: Settings) -> Iterator[dict[str, Any]]:
    from streams.settings import SPECS

    shown = settings.shown()
    for spec in SPECS:
        yield {
            "setting": spec.name,
            "value": shown[spec.name],
            "default": spec.default,
            "set": spec.name in os.environ or f"{spec.name}_FILE" in os.environ,
            "help": spec.help,
        }


def _unknown_rows() -> Iterator[dict[str, Any]]:
    """No error: an orchestrator sets LOYALTY_… variables of its own."""
    for line in unknown_variables(os.environ):
        yield _row("environment", line)


def _version_rows() -> Iterator[dict[str, Any]]:
    """What runs here, against what the project asks for."""
    import platform

    from streams import __version__, versions

    yield _row("python", platform.python_version(), versions.python_wrong())
    number, wrong = versions.packages()
    yield _row("packages", f"loyalty {__version__}, {number} that it needs", "; ".join(wrong))


def _security_rows(settings: Settings, role: "Role | None") -> Iterator[dict[str, Any]]:
    """How what is sent is protected, and as whom."""
    from streams.logins import in_the_clear, redis_security

    kafka = settings.kafka
    login = f" as {kafka.user}, {kafka.mechanism}" if kafka.logs_in else ""
    yield _row("kafka security", f"{kafka.security}{login}", in_the_clear(kafka.servers, kafka.encrypted))
    yield _row("redis security", *redis_security(settings.redis))
    if role is None or role.name == "worker":
        yield _row("erase key", "there" if settings.erase_key else "none", "" if settings.erase_key else NO_ERASE_KEY)


def _kafka_rows(settings: Settings, role: "Role | None") -> Iterator[dict[str, Any]]:
    from streams import topics_admin

    try:
        told = topics_admin.cluster(settings.kafka)
        release = ".".join(map(str, told.release))
        old = "needs Kafka 3.0 or newer" if told.release[:2] < KAFKA_LEAST else ""
        yield _row("kafka", f"{told.brokers} broker(s) at {settings.kafka}, protocol of {release} or newer", old)
        yield _row(
            "kafka features", ", ".join(f"{name} {level}" for name, level in told.features.items()) or "not told"
        )
        for row in topics_admin.check_topics(settings.kafka, settings.partitions):
            yield _topic_row(row, role)
        yield from _rights_rows(settings, role)
        yield from _kafka_clock_rows(settings)
    except LoyaltyError as error:
        yield _row("kafka", "silent", str(error))


def _topic_row(row: Any, role: "Role | None") -> dict[str, Any]:
    """A topic that a role has nothing to do with need not be seen by it."""
    seen = role is None or any(grant.kind == "topic" and grant.name in ("*", row.name) for grant in role.kafka)
    if not row.partitions and not seen:
        assert role is not None
        return _row(f"topic {row.name}", f"none of {role.name}'s")
    settings = row.timestamp_type or "settings not told to this login"
    found = f"{row.partitions} partitions, {settings}" if row.partitions else "missing"
    return _row(f"topic {row.name}", found, "; ".join(row.wrong))


def _rights_rows(settings: Settings, role: "Role | None") -> Iterator[dict[str, Any]]:
    from streams import probing

    if role is None:
        who = settings.kafka_user or "nobody in particular"
        yield _row("kafka rights", f"not looked at: we are {who}, and no role is named so; see --role")
        return
    lacks = probing.missing(settings.kafka, role)
    number = sum(len(grant.operations) for grant in role.kafka)
    have = number - sum(map(len, lacks.values()))
    each = "; ".join(f"{', '.join(operations)} on {what}" for what, operations in lacks.items())
    yield _row("kafka rights", f"{have} of the {number} that {role.name} needs", each and f"lacks {each}; {_GIVE}")


def _kafka_clock_rows(settings: Settings) -> Iterator[dict[str, Any]]:
    """Only a worker may ask a broker for its time; for others the newest tick tells whether it is ahead."""
    import time

    from streams import probing

    ahead = probing.ahead(settings.kafka, settings.prefix, settings.group)
    if ahead is not None:
        yield _clock_row("kafka clock", ahead)
        return
    newest_ms = probing.newest_tick_ms(settings.kafka)
    if newest_ms is None:
        yield _row("kafka clock", "not told to this login")
        return
    late_ms = newest_ms - time.time() * 1_000
    wrong = _clocks_apart(late_ms) if late_ms > CLOCK_MAX_MS else ""
    yield _row("kafka clock", f"at least that of the newest tick, {-late_ms / 1_000:,.1f} s ago by ours", wrong)


def _clock_row(what: str, ahead: "Ahead") -> dict[str, Any]:
    found = f"{ahead.ms:+,.0f} ms to ours, within {ahead.within_ms:,.0f} ms"
    return _row(what, found, _clocks_apart(ahead.ms) if ahead.least_ms > CLOCK_MAX_MS else "")


def _clocks_apart(ms: float) -> str:
    which = "ahead of" if ms > 0 else "behind"
    return f"is {abs(ms) / 1_000:,.1f} s {which} this host's: set both by NTP; until then latencies and ticks are wrong"


def _redis_rows_of(settings: Settings, role: "Role | None") -> Iterator[dict[str, Any]]:
    if role is not None and not role.redis:
        yield _row("redis", f"not asked: {role.name} has no user there")
        return
    if is_cluster(settings.redis):
        yield from _cluster_rows(settings, role)
        return
    yield from _redis_rows(settings)
    yield from _redis_rights_rows(settings, role)


def _cluster_rows(settings: Settings, role: "Role | None") -> Iterator[dict[str, Any]]:
    """How the partitions are spread, and each master as a Redis of its own."""
    from sinks import probing
    from sinks.keys import Keys

    try:
        spread = probing.spread(settings.redis, Keys(settings.prefix), settings.partitions)
    except probing.FAILURES as error:
        yield _row("redis cluster", "silent", f"{error}; start it with `loyalty stack up` or set LOYALTY_REDIS")
        return
    shares = " + ".join(map(str, spread.values()))
    yield _row("redis cluster", f"{len(spread)} masters with {shares} of {settings.partitions} partitions")
    for url in spread:
        one = replace(settings, redis=url)
        for row in (*_redis_rows(one), *_redis_rights_rows(one, role)):
            yield row | {"what": f"{row['what']} of {urlsplit(url).netloc.rpartition('@')[2]}"}


def _redis_rows(settings: Settings) -> Iterator[dict[str, Any]]:
    from infra.localstack.redis import facts

    try:
        told = facts(settings.redis)
    except StackError as error:
        yield from _redis_in_brief(settings, str(error))
        return
    version = told["version"]
    yield _row("redis", f"{version}, {told['keys']:,} keys", _old_redis(version))
    policy = told["memory_policy"]
    evicts = "must be noeviction: an evicted state or fence is lost without a word" if policy != "noeviction" else ""
    yield _row("redis maxmemory-policy", policy, evicts)
    yield _memory_row(told["used_memory"], told["max_memory"])
    yield from _replica_row(told["role"])
    fsync = f"appendonly, fsync {told['append_fsync'] or 'not told'}" if told["append_only"] else "none"
    lost = "" if told["append_only"] else "must be appendonly yes: a restart would lose all that is kept"
    if told["append_failed"]:
        lost = "the last write to the append-only file failed: look at the disk"
    yield _row("redis persistence", fsync, lost)


def _redis_in_brief(settings: Settings, why: str) -> Iterator[dict[str, Any]]:
    """What a login is told that may not ask for INFO."""
    from sinks import probing

    try:
        told = probing.told(settings.redis)
    except probing.FAILURES:
        yield _row("redis", "silent", f"{why}; start it with `loyalty stack up` or set LOYALTY_REDIS")
        return
    yield _row("redis", f"{told.version}; memory and persistence are not told to this login", _old_redis(told.version))
    yield from _replica_row(told.role)


def _old_redis(version: str) -> str:
    return "needs 6.2 or newer" if tuple(int(part) for part in version.split(".")[:2]) < (6, 2) else ""


def _replica_row(role: str) -> Iterator[dict[str, Any]]:
    if role != "master":
        yield _row("redis role", role, "is a replica, which takes no writes: set LOYALTY_REDIS to its master")


def _redis_rights_rows(settings: Settings, role: "Role | None") -> Iterator[dict[str, Any]]:
    """The clock, and the commands of a role. Nothing where Redis is silent, which is told already."""
    from sinks import probing
    from sinks.keys import Keys

    try:
        ahead = probing.ahead(settings.redis)
        yield _row("redis clock", "not told to this login") if ahead is None else _clock_row("redis clock", ahead)
        if role is not None:
            commands = role.redis_commands
            lacks = probing.refused(settings.redis, Keys(settings.prefix), commands)
            found = f"{len(commands) - len(lacks)} of the {len(commands)} commands that {role.name} needs"
            if "multi" in lacks:
                found = f"not all of what {role.name} needs; without MULTI the others were not asked for"
            yield _row(
                "redis rights", found, (lacks and f"lacks {' '.join(f'+{name}' for name in lacks)}; {_GIVE}") or ""
            )
    except probing.FAILURES:
        return


MEMORY_SHARE_MAX: Final = 0.85
"""Beyond it Redis is about to be full, and to refuse every commit."""


def _memory_row(used: int, most: int) -> dict[str, Any]:
    """How much of Redis's memory is used, bytes; most 0: there is no limit but the machine's."""
    found = f"{used / 2**20:,.0f} MiB of {most / 2**20:,.0f}" if most else f"{used / 2**20:,.0f} MiB, no limit set"
    full = most and used > MEMORY_SHARE_MAX * most
    return _row("redis memory", found, "is nearly full, and refuses writes then: raise maxmemory" if full else "")


def _registry_rows(settings: Settings) -> Iterator[dict[str, Any]]:
    """Of a registry, where one is configured: whether it answers, takes Avro, and has the schemas of our outputs."""
    from sinks.schema_registry import RegistryAway
    from streams import schema_ids

    registry = schema_ids.client(settings)
    if registry is None:
        yield _row("schema registry", "none: single-object encoding is read and written")
        return
    try:
        kinds = registry.types()
        missing = [topic for topic in schema_ids.OUTPUTS if not registry.registered(topic)]
    except RegistryAway as away:
        yield _row("schema registry", "silent", f"{away}; until it answers, records under ids not known yet wait")
        return
    takes = "" if "AVRO" in kinds else f"takes {', '.join(kinds)}: must take AVRO"
    yield _row("schema registry", f"answers at {registry.place}", takes)
    told = f"not there yet: {', '.join(missing)}; a worker registers them as it starts" if missing else "all there"
    yield _row("schemas of outputs", told)


def _policy_rows(settings: Settings) -> Iterator[dict[str, Any]]:
    from processors.policy import PolicyError
    from streams.texts import policy_text, usable_policy

    try:
        policy = usable_policy(policy_text(settings.policy), str(settings.policy))
        yield _row("policy", f"{policy.key} in {settings.policy}")
    except PolicyError as error:
        yield _row("policy", str(settings.policy), f"{len(error.problems)} problems; see `loyalty policy check`")
    except LoyaltyError as error:
        yield _row("policy", str(settings.policy), str(error))


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--role", help="whose rights this login needs; default: the role that is named as the login")


COMMANDS = [
    Command(
        "doctor",
        "print the settings, what they reach and what is wrong with it",
        _arguments,
        doctor,
        "Changes nothing: rights are asked for by requests that are refused for another reason, Kafka's clock by a\n"
        "transaction that covers no topic and is aborted. Roles: worker, pos, subscriber, reader, console, ops.",
    ),
]
