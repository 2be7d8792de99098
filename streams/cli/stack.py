"""stack up, down, status; topics create."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator

from infra.localstack import Secure, Stack, StackError, is_secure
from streams.cli.command import FAILED, OK, Command, no_arguments
from streams.cli.output import Output
from streams.settings import LoyaltyError, Settings


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


COMMANDS = [
    Command(
        "stack up",
        "start real Kafka and Redis on this machine and wait until both answer",
        _up_arguments,
        stack_up,
        "At LOYALTY_KAFKA and LOYALTY_REDIS, which must be loopback addresses; data under LOYALTY_DATA_DIR. Stacks\n"
        "with other ports and folders live side by side. The first start loads Kafka (100 MB) into the user's cache.\n"
        "With --secure it makes certificates and users under LOYALTY_DATA_DIR/secure, with a file to source for each\n"
        "role: admin, worker, pos, subscriber, reader, console, ops (docs/security.md). A folder stays as begun.",
    ),
    Command("stack down", "stop them; the data stays", no_arguments, stack_down),
    Command("stack status", "what of the local stack runs, and where", no_arguments, stack_status),
    Command("topics create", "create the topics that are missing", no_arguments, topics_create),
]
