"""stack up, down, status; topics create; doctor."""

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from typing import Any, Final

from infra.localstack import Secure, Stack, StackError, is_secure
from streams.cli.command import FAILED, OK, Command, no_arguments
from streams.cli.output import Output
from streams.settings import LoyaltyError, Settings, unknown_variables


def local_stack(settings: Settings, out: Output, begin_secure: bool = False) -> Stack:
    """The local stack at the addresses of the settings, secure if its folder is. Raises LoyaltyError if they are not of
    this machine."""
    secure = None
    if begin_secure or is_secure(settings.data_dir):
        from streams.roles import roles

        shared = {"DATA_DIR": str(settings.data_dir.resolve()), "PREFIX": settings.prefix, "GROUP": settings.group}
        variables = {f"LOYALTY_{name}": value for name, value in shared.items()}
        variables["LOYALTY_PARTITIONS"] = str(settings.partitions)
        secure = Secure.under(settings.data_dir, roles(settings), variables)
    try:
        return Stack(settings.kafka.servers, settings.redis, settings.data_dir, tell=out.note, secure=secure)
    except StackError as error:
        raise LoyaltyError(str(error)) from error


def stack_up(args: Namespace, settings: Settings) -> int:
    """Both answer when this returns OK."""
    out = Output.of(args)
    stack = local_stack(settings, out, args.secure)
    _or_error(stack.up)
    if stack.secure is not None:
        for line in _how_secure(stack):
            out.note(line)
    return _show(stack, out)


def _how_secure(stack: Stack) -> Iterator[str]:
    assert stack.secure is not None
    yield "kafka: TLS, SCRAM-SHA-512, and only what a role names"
    if stack.redis.tls:
        yield "redis: TLS, and a user for each role"
    else:
        yield (
            "redis: a user for each role, but NO TLS: this redis-server was built without it, and what goes over "
            "loopback is not encrypted; put one with TLS on PATH and begin again"
        )
    named = ", ".join(f"{user}.env" for user in ("admin", *(role.name for role in stack.secure.roles)))
    yield f"to act as a role: source {stack.secure.folder}/<role>.env  ({named})"


def _up_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--secure", action="store_true", help="with TLS, a user for each role, and least rights")


def stack_down(args: Namespace, settings: Settings) -> int:
    """Neither process is there when this returns OK."""
    out = Output.of(args)
    from streams.cli.console import stop

    stack = local_stack(settings, out)
    stop(settings, out)
    _or_error(stack.down)
    out.say(f"stopped; the data stays in {stack.data_dir}")
    return OK


def stack_status(args: Namespace, settings: Settings) -> int:
    """FAILED unless both run and answer, so that a script can ask."""
    out = Output.of(args)
    return _show(local_stack(settings, out), out)


def _show(stack: Stack, out: Output) -> int:
    rows = stack.status()
    out.table(rows if out.as_json else ({**row, "pid": row["pid"] and str(row["pid"])} for row in rows))
    return OK if all(row["state"] == "running" for row in rows) else FAILED


def _or_error(step: Callable[[], None]) -> None:
    try:
        step()
    except StackError as error:
        raise LoyaltyError(str(error)) from error


def topics_create(args: Namespace, settings: Settings) -> int:
    """Idempotent."""
    from streams.topics_admin import check_topics, create_topics

    out = Output.of(args)
    made = set(create_topics(settings.kafka, settings.partitions))
    found = check_topics(settings.kafka, settings.partitions)
    rows = [
        {
            "topic": row.name,
            "partitions": row.partitions,
            "state": "; ".join(row.wrong) or ("created" if row.name in made else "there"),
        }
        for row in found
    ]
    wrong = any(row.wrong for row in found)
    if out.as_json or wrong:
        out.table(rows)
    else:
        out.say(f"created {', '.join(sorted(made))}" if made else f"all {len(rows)} topics are there")
    return FAILED if wrong else OK


def doctor(args: Namespace, settings: Settings) -> int:
    """FAILED if anything is wrong."""
    out = Output.of(args)
    if not out.as_json:
        out.say("Settings")
    out.table(_settings_rows(settings), columns=("setting", "value", "help"))
    rows = [*_unknown_rows(), *_security_rows(settings), *_kafka_rows(settings), *_redis_rows(settings)]
    rows += [*_registry_rows(settings), *_policy_rows(settings)]
    if not out.as_json:
        out.say("\nWhat they reach")
    out.table(rows, columns=("what", "found", "wrong"))
    wrong = sum(1 for row in rows if row["wrong"])
    out.say(f"\n{wrong} wrong" if wrong else "\nall is well")
    return FAILED if wrong else OK


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


def _security_rows(settings: Settings) -> Iterator[dict[str, Any]]:
    """How what is sent is protected, and as whom."""
    from streams.logins import in_the_clear, redis_security

    kafka = settings.kafka
    login = f" as {kafka.user}, {kafka.mechanism}" if kafka.logs_in else ""
    yield _row("kafka security", f"{kafka.security}{login}", in_the_clear(kafka.servers, kafka.encrypted))
    yield _row("redis security", *redis_security(settings.redis))


def _kafka_rows(settings: Settings) -> Iterator[dict[str, Any]]:
    from streams.topics_admin import check_topics, cluster

    try:
        told = cluster(settings.kafka)
        yield _row("kafka", f"{told.brokers} broker(s) at {settings.kafka}, protocol of {told.release} or newer")
        for row in check_topics(settings.kafka, settings.partitions):
            found = f"{row.partitions} partitions, {row.timestamp_type}" if row.partitions else "missing"
            yield _row(f"topic {row.name}", found, "; ".join(row.wrong))
    except LoyaltyError as error:
        yield _row("kafka", "silent", str(error))


def _redis_rows(settings: Settings) -> Iterator[dict[str, Any]]:
    from infra.localstack.redis import facts

    try:
        told = facts(settings.redis)
    except StackError as error:
        yield _row("redis", "silent", f"{error}; start it with `loyalty stack up` or set LOYALTY_REDIS")
        return
    version = told["version"]
    old = tuple(int(part) for part in version.split(".")[:2]) < (6, 2)
    yield _row("redis", f"{version}, {told['keys']:,} keys", "needs 6.2 or newer" if old else "")
    policy = told["memory_policy"]
    evicts = "must be noeviction: an evicted state or fence is lost without a word" if policy != "noeviction" else ""
    yield _row("redis maxmemory-policy", policy, evicts)
    yield _memory_row(told["used_memory"], told["max_memory"])
    if told["role"] != "master":
        yield _row("redis role", told["role"], "is a replica, which takes no writes: set LOYALTY_REDIS to its master")
    fsync = f"appendonly, fsync {told['append_fsync'] or 'not told'}" if told["append_only"] else "none"
    lost = "" if told["append_only"] else "must be appendonly yes: a restart would lose all that is kept"
    if told["append_failed"]:
        lost = "the last write to the append-only file failed: look at the disk"
    yield _row("redis persistence", fsync, lost)


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


COMMANDS = [
    Command(
        "stack up",
        "start real Kafka and Redis on this machine and wait until both answer",
        _up_arguments,
        stack_up,
        "At LOYALTY_KAFKA and LOYALTY_REDIS, which must be loopback addresses; data under LOYALTY_DATA_DIR. Stacks\n"
        "with other ports and folders live side by side. The first start loads Kafka (100 MB) into the user's cache.\n"
        "With --secure it makes certificates and users under LOYALTY_DATA_DIR/secure, with a file to source for each\n"
        "role: admin, worker, pos, subscriber, reader, ops (docs/security.md). A folder stays what it was begun as.",
    ),
    Command("stack down", "stop them; the data stays", no_arguments, stack_down),
    Command("stack status", "what of the local stack runs, and where", no_arguments, stack_status),
    Command("topics create", "create the topics that are missing", no_arguments, topics_create),
    Command("doctor", "print the settings, what they reach and what is wrong with it", no_arguments, doctor),
]
