"""Every `LOYALTY_*` variable: name, type, default, help. Read once, frozen, handed on as an argument.

Nothing else of the project reads the environment. A secret also comes as `<NAME>_FILE`, the path of a file that
holds it, and is masked wherever settings are shown.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from sinks.access import MECHANISMS, SECURITIES, KafkaAccess
from sinks.addresses import is_cluster, seeds
from streams import logins

ERASE_KEY_FILE = "erase.key"
"""Name of the file in the data folder to which the local stack writes the key for marks of erased ids."""
NO_ERASE_KEY = (
    "LOYALTY_ERASE_KEY is not set: anybody with a list of ids can tell by the marks who was erased; set it to a "
    "secret, the same for every worker and for good"
)
"""What is wrong where no key is set."""

TOKEN_LENGTH_MIN = 16
"""A shorter token could be guessed by trying."""


class LoyaltyError(Exception):
    """An expected failure: told in a line without a traceback, exit 1. The text names place, value, rule, way out."""


class NotThere(LoyaltyError):
    """What is missing will not come by waiting."""


class UsageError(LoyaltyError):
    """The command line asks for what cannot be: exit 2."""


class SettingError(UsageError):
    """A setting cannot be used: exit 2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one process. `SPECS` has help and default of each; the tests hold both together.

    kafka: addresses with all that `kafka_*` says; redis: a URL with all that `redis_*` says.
    """

    kafka: KafkaAccess
    kafka_security: str
    kafka_sasl_mechanism: str
    kafka_user: str
    kafka_password: str = field(repr=False)
    kafka_ca_file: str
    kafka_cert_file: str
    kafka_key_file: str
    redis: str = field(repr=False)
    redis_user: str
    redis_password: str = field(repr=False)
    redis_ca_file: str
    prefix: str
    group: str
    data_dir: Path
    policy: Path
    partitions: int
    metrics: str
    metrics_token: str = field(repr=False)
    exporter: str
    exporter_employees: int
    console: str
    console_token: str = field(repr=False)
    console_read_token: str = field(repr=False)
    clock: str
    schema_registry_url: str = field(repr=False)
    schema_registry_user: str
    schema_registry_password: str = field(repr=False)
    erase_key: str = field(repr=False)
    dedupe_days: int
    max_ahead_hours: int
    tick_ms: int
    session_ms: int
    instance: str
    batch_records: int
    due_slice: int
    cache_customers: int
    log: str
    logs: str
    traces: str

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """The settings that `environ` (default: the process's own) asks for.

        Raises SettingError with a line for each variable that cannot be used.
        """
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        wrong: list[str] = []
        for spec in SPECS:
            try:
                values[spec.field] = spec.read(environ)
            except SettingError as error:
                wrong.append(str(error))
        if not wrong and values["schema_registry_user"] and urlsplit(values["schema_registry_url"]).username:
            wrong.append("LOYALTY_SCHEMA_REGISTRY_USER is set and LOYALTY_SCHEMA_REGISTRY_URL has a user: give one")
        if not wrong and values["console_token"] and values["console_token"] == values["console_read_token"]:
            wrong.append("LOYALTY_CONSOLE_READ_TOKEN is LOYALTY_CONSOLE_TOKEN: who may only look needs another one")
        if not wrong:
            wrong = list(logins.wrong(values))
        if wrong:
            raise SettingError("\n".join(wrong))
        values["kafka"] = logins.kafka(values)
        values["redis"] = logins.redis_url(values)
        if not values["erase_key"]:
            values["erase_key"] = _key_of_local_stack(values["data_dir"])
        return cls(**values)

    @property
    def metrics_address(self) -> tuple[str, int]:
        """Host and port of `/metrics`."""
        return split_address(self.metrics, 0)

    @property
    def exporter_address(self) -> tuple[str, int]:
        """Host and port of the programme's figures."""
        return split_address(self.exporter, 0)

    @property
    def console_address(self) -> tuple[str, int]:
        """Host and port of the console."""
        return split_address(self.console, 0)

    def shown(self) -> dict[str, str]:
        """Variable name to value, fit for anybody's eyes: secrets are masked."""
        return {spec.name: spec.show(getattr(self, spec.field)) for spec in SPECS}


def split_address(address: str, least: int = 1) -> tuple[str, int]:
    """`host:port` or `[v6]:port` as a pair; least: the lowest port, 0 to listen on any. ValueError: what is wrong."""
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isdecimal() or not least <= int(port) < 65536:
        raise ValueError(f"must be host:port with a port of {least}..65535")
    return host, int(port)


def _key_of_local_stack(data_dir: Path) -> str:
    path = data_dir / ERASE_KEY_FILE
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise SettingError(
            f"{path} cannot be read: {error.strerror}; give this user access or set LOYALTY_ERASE_KEY"
        ) from error


def _text(raw: str) -> str:
    return raw


def _token(raw: str) -> str:
    if raw and (len(raw) < TOKEN_LENGTH_MIN or not raw.isascii() or not raw.isprintable() or " " in raw):
        raise ValueError(f"must be at least {TOKEN_LENGTH_MIN} printable ASCII characters without a space")
    return raw


def _addresses(raw: str) -> str:
    for address in raw.split(","):
        split_address(address.strip())
    return ",".join(address.strip() for address in raw.split(","))


def _listening(raw: str) -> str:
    split_address(raw, 0)
    return raw


_DB_0: Final = ("", "/", "/0")


def _redis_url(raw: str) -> str:
    """URLs as they are; `host:port` becomes `redis://host:port/0`."""
    if "://" not in raw:
        split_address(raw)
        return f"redis://{raw}/0"
    if is_cluster(raw):
        for node in map(urlsplit, seeds(raw)):
            if node.scheme not in ("redis", "rediss") or not (node.hostname and node.port) or node.path not in _DB_0:
                raise ValueError("must be redis+cluster://host:port,host:port; a cluster has the database 0 alone")
        return raw
    url = urlsplit(raw)
    if url.scheme not in ("redis", "rediss", "unix"):
        raise ValueError("must be redis://host:port/db, rediss:// with TLS, redis+cluster://, unix://path or host:port")
    if url.scheme != "unix" and not (url.hostname and url.port):
        raise ValueError("must name host and port, as in redis://127.0.0.1:6392/0")
    return raw


def _name(raw: str) -> str:
    if not raw or any(not (c.isalnum() or c in "._-") for c in raw):
        raise ValueError("must be letters, digits, dot, dash or underscore: it becomes part of names")
    return raw


def _name_or_none(raw: str) -> str:
    return _name(raw) if raw else raw


def _path(raw: str) -> Path:
    if not raw:
        raise ValueError("must be a path; leave the variable out for the default")
    return Path(raw).expanduser()


def _url(raw: str) -> str:
    if raw and urlsplit(raw).scheme not in ("http", "https"):
        raise ValueError("must be http://… or https://…, or empty for none")
    if raw and not urlsplit(raw).hostname:
        raise ValueError("must name a host, as in http://127.0.0.1:8081")
    return raw.rstrip("/")


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        if raw not in choices:
            near = get_close_matches(raw, choices, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"must be one of {', '.join(choices)}{hint}")
        return raw

    return parse


def _between(least: int, most: int) -> Callable[[str], int]:
    def parse(raw: str) -> int:
        digits = raw.replace("_", "")
        if not digits.isdecimal() or not least <= int(digits) <= most:
            raise ValueError(f"must be a whole number of {least}..{most}")
        return int(digits)

    return parse


def _level(raw: str) -> str:
    return _one_of("DEBUG", "INFO", "WARNING", "ERROR")(raw.upper())


def _masked_url(value: str) -> str:
    """The URL without the password in it."""
    url: SplitResult = urlsplit(value)
    if url.query:
        shown = [(name, "***" if "password" in name else held) for name, held in parse_qsl(url.query)]
        url = url._replace(query=urlencode(shown, safe="*/"))
    if url.password is not None:
        url = url._replace(netloc=f"{url.username or ''}:***@{url.netloc.rpartition('@')[2]}")
    return url.geturl()


def _masked(value: str) -> str:
    return "***" if value else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One variable. `default` is written as in the environment; `show` masks; `secret` allows `<NAME>_FILE`."""

    field: str
    parse: Callable[[str], Any]
    default: str
    help: str
    secret: bool = False
    show: Callable[[Any], str] = str

    @property
    def name(self) -> str:
        """The environment variable."""
        return f"LOYALTY_{self.field.upper()}"

    def read(self, environ: Mapping[str, str]) -> Any:
        """The value that `environ` asks for, else the default. Raises SettingError."""
        raw = environ.get(self.name)
        if self.secret and (path := environ.get(f"{self.name}_FILE")):
            if raw:
                raise SettingError(f"{self.name} and {self.name}_FILE are both set: unset one of them")
            raw = self._from_file(path)
        raw = self.default if raw is None else raw.strip()
        try:
            return self.parse(raw)
        except ValueError as error:
            shown = "***" if self.secret else repr(raw)
            raise SettingError(f"{self.name} is {shown}: {error} (default: {self.default or 'empty'})") from None

    def _from_file(self, path: str) -> str:
        try:
            return Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingError(
                f"{self.name}_FILE is {path!r}: cannot be read ({error}); give a readable file"
            ) from None


_SHIPPED_POLICY = Path(__file__).resolve().parent.parent / "infra" / "policy.toml"

SPECS: tuple[Spec, ...] = (
    Spec(field="kafka", parse=_addresses, default="127.0.0.1:9392", help="Kafka, host:port, several by comma"),
    Spec(field="kafka_security", parse=_one_of(*SECURITIES), default="PLAINTEXT", help=" | ".join(SECURITIES)),
    Spec(field="kafka_sasl_mechanism", parse=_one_of(*MECHANISMS), default=MECHANISMS[0], help=" | ".join(MECHANISMS)),
    Spec(field="kafka_user", parse=_text, default="", help="who we are to Kafka, with SASL_…"),
    Spec(field="kafka_password", parse=_text, default="", help="that user's password", secret=True, show=_masked),
    Spec(
        field="kafka_ca_file",
        parse=_text,
        default="",
        help="PEM: who signs Kafka's certificate; empty: the system's",
    ),
    Spec(field="kafka_cert_file", parse=_text, default="", help="PEM: our certificate, where Kafka asks for one"),
    Spec(field="kafka_key_file", parse=_text, default="", help="PEM: the key of that certificate"),
    Spec(
        field="redis",
        parse=_redis_url,
        default="redis://127.0.0.1:6392/0",
        help="Redis, redis://host:port/db or host:port; rediss:// with TLS; redis+cluster://host:port,host:port",
        secret=True,
        show=_masked_url,
    ),
    Spec(field="redis_user", parse=_text, default="", help="who we are to Redis; empty: its default user"),
    Spec(field="redis_password", parse=_text, default="", help="that user's password", secret=True, show=_masked),
    Spec(
        field="redis_ca_file",
        parse=_text,
        default="",
        help="PEM: who signs Redis's certificate; empty: the system's",
    ),
    Spec(field="prefix", parse=_name, default="loyalty", help="first part of every Redis key"),
    Spec(field="group", parse=_name, default="loyalty", help="consumer group of the workers"),
    Spec(field="data_dir", parse=_path, default=".loyalty", help="where the local stack keeps its data"),
    Spec(field="policy", parse=_path, default=str(_SHIPPED_POLICY), help="the policy file: tiers, costs, rules"),
    Spec(field="partitions", parse=_between(1, 10_000), default="12", help="partitions of every input topic"),
    Spec(field="metrics", parse=_listening, default="127.0.0.1:9464", help="where /metrics is served; port 0: any"),
    Spec(
        field="metrics_token",
        parse=_token,
        default="",
        help="what a request must bring as Authorization: Bearer; needed beyond loopback",
        secret=True,
        show=_masked,
    ),
    Spec(
        field="exporter",
        parse=_listening,
        default="127.0.0.1:9465",
        help="where `loyalty exporter` serves the programme's figures",
    ),
    Spec(field="exporter_employees", parse=_between(0, 1_000), default="0", help="employees it has series of, at most"),
    Spec(field="console", parse=_listening, default="127.0.0.1:8080", help="where `loyalty console` serves its page"),
    Spec(
        field="console_token",
        parse=_token,
        default="",
        help="what the console asks for; needed beyond loopback",
        secret=True,
        show=_masked,
    ),
    Spec(
        field="console_read_token",
        parse=_token,
        default="",
        help="another one, for who may look and not act; alone: nobody may act",
        secret=True,
        show=_masked,
    ),
    Spec(field="clock", parse=_one_of("wall", "data"), default="wall", help="who makes the ticks: wall | data"),
    Spec(
        field="schema_registry_url",
        parse=_url,
        default="",
        help="Confluent-style schema registry; empty: none",
        secret=True,
        show=_masked_url,
    ),
    Spec(field="schema_registry_user", parse=_text, default="", help="user of the registry, where it asks for one"),
    Spec(
        field="schema_registry_password",
        parse=_text,
        default="",
        help="that user's password",
        secret=True,
        show=_masked,
    ),
    Spec(
        field="erase_key",
        parse=_text,
        default="",
        help="key of the marks that erased ids leave; the local stack makes one",
        secret=True,
        show=_masked,
    ),
    Spec(field="dedupe_days", parse=_between(1, 4_000), default="400", help="days for which event ids are kept"),
    Spec(field="max_ahead_hours", parse=_between(0, 24 * 366), default="26", help="how far ahead an event may be"),
    Spec(field="tick_ms", parse=_between(10, 3_600_000), default="1000", help="ms between ticks of the wall clock"),
    Spec(
        field="session_ms",
        parse=_between(1_000, 1_800_000),
        default="10000",
        help="ms without a sign of life after which a worker's partitions go to others",
    ),
    Spec(
        field="instance",
        parse=_name_or_none,
        default="",
        help="a worker's own name in its group: started again under it, it has its partitions back at once",
    ),
    Spec(field="batch_records", parse=_between(1, 100_000), default="10000", help="most records in one commit"),
    Spec(field="due_slice", parse=_between(1, 1_000_000), default="5000", help="most due customers in one commit"),
    Spec(field="cache_customers", parse=_between(0, 100_000_000), default="200000", help="states kept in memory"),
    Spec(field="log", parse=_level, default="INFO", help="DEBUG | INFO | WARNING | ERROR"),
    Spec(field="logs", parse=_one_of("text", "json"), default="text", help="form of a worker's log: text | json"),
    Spec(
        field="traces",
        parse=_one_of("off", "otlp", "console"),
        default="off",
        help="a worker's traces by OpenTelemetry: off | otlp, to where OTEL_* say | console",
    ),
)


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """A line for each `LOYALTY_*` variable that is no setting, with the nearest one that is.

    Told by `doctor` and no error: an orchestrator sets variables of its own (`LOYALTY_SERVICE_HOST`).
    """
    known = {spec.name for spec in SPECS} | {f"{spec.name}_FILE" for spec in SPECS if spec.secret}
    lines = []
    for name in sorted(environ):
        if name.startswith("LOYALTY_") and name not in known:
            near = get_close_matches(name, known, n=1)
            lines.append(f"{name} is no setting" + (f"; did you mean {near[0]}?" if near else ""))
    return lines


assert [f.name for f in fields(Settings)] == [spec.field for spec in SPECS]
