"""A secure stack, real: the main path by its roles, and every refusal that makes their rights the least.

The servers are started by `loyalty stack up --secure` as anybody does it; each role acts with its own file of settings.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic
from kafka.errors import KafkaError, TopicAuthorizationFailedError

from infra.localstack.redis import has_tls, server_binary
from schemas import codec, topics
from schemas.partitioner import partition_of
from sinks import unpacking
from sinks.keys import Keys
from streams.roles import POS_TOPICS, roles
from streams.settings import Settings
from tests.conftest import PARTITIONS, ROOT, free_port
from tests.core.test_security import NAMES

pytestmark = pytest.mark.live

ROLES = ("admin", "worker", "pos", "subscriber", "reader", "console", "ops")
NOON = 1_795_000_000_000
GOOD = {
    "store_id": "7",
    "currency": "USD",
    "kind": "SALE",
    "lines": [{"category": "tea", "quantity": 1, "net_amount": 5}],
}


class Secured:
    """The stack and its files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "secure"
        self.known: set[str] = set()
        self.kafka, self.redis = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        self._plain = {name: value for name, value in os.environ.items() if not name.startswith("LOYALTY_")}
        self.start = self._plain | {
            "LOYALTY_KAFKA": self.kafka, "LOYALTY_REDIS": self.redis, "LOYALTY_DATA_DIR": str(folder),
            "LOYALTY_PARTITIONS": str(PARTITIONS), "LOYALTY_METRICS": "127.0.0.1:0", "PYTHONPATH": str(ROOT),
        }  # fmt: skip

    def environ(self, role: str, **more: str) -> dict[str, str]:
        """What one has who has sourced the role's file."""
        lines = (self.folder / f"{role}.env").read_text().splitlines()
        pairs = (shlex.split(line.removeprefix("export "))[0].split("=", 1) for line in lines)
        made = {**self._plain, "LOYALTY_METRICS": "127.0.0.1:0", "PYTHONPATH": str(ROOT), **dict(pairs), **more}
        return {name: value for name, value in made.items() if value != "-"}

    def ids_in(self, log: str) -> list[str]:
        """Which customers' ids a log of everything has taken, as they are or escaped."""
        plain = log.replace("\\\\", "\\")
        return [name for name in self.known if len(name) > 3 and (name in log or json.dumps(name)[1:-1] in plain)]

    def settings(self, role: str, **more: str) -> Settings:
        return Settings.from_env(self.environ(role, **more))

    def run(self, role: str, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return loyalty(self.environ(role, **more), *words)


def loyalty(environ: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "streams", *words], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=240,
        check=False,
    )  # fmt: skip


def sale(customer: str, number: int) -> dict[str, Any]:
    return {**GOOD, "event_id": f"e{number}", "customer_id": customer, "occurred_at": NOON + number}


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    made = Secured(tmp_path_factory.mktemp("secured"))
    up = loyalty(made.start, "stack", "up", "--secure")
    try:
        assert up.returncode == 0, up.stdout + up.stderr
        assert ("NO TLS" in up.stderr) is not has_tls(server_binary(prefer_tls=True)[0])
        yield made
    finally:
        assert loyalty(made.start, "stack", "down").returncode == 0


@pytest.fixture(scope="module")
def lived(secured: Secured, tmp_path_factory: pytest.TempPathFactory) -> Secured:
    """The main path, each step by the role that it is for."""
    assert secured.run("admin", "topics", "create").returncode == 0
    file = tmp_path_factory.mktemp("till") / "today.jsonl"
    ids = [name for name in NAMES if len(name.encode()) <= 128]
    file.write_text("\n".join(json.dumps(sale(name, n)) for n, name in enumerate(("anna", *ids))))
    done = secured.run("pos", "import", "purchases", str(file))
    assert done.returncode == 0, done.stderr
    assert "clock is not known to this user" in done.stderr
    done = secured.run("worker", "worker", "--until-caught-up", LOYALTY_LOG="DEBUG")
    assert done.returncode == 0, done.stderr[-3000:]
    assert secret_of(secured, "worker") not in done.stdout + done.stderr
    secured.known.update(("anna", *ids))
    assert not secured.ids_in(done.stderr)
    return secured


def secret_of(secured: Secured, role: str) -> str:
    return (secured.folder / f"{role}.password").read_text().strip()


# ---- the main path


def test_each_role_does_its_part_and_odd_ids_are_customers_like_others(lived: Secured) -> None:
    one = lived.run("reader", "customer", "anna", "--json")
    assert json.loads(one.stdout)["value_365d"] == 5
    everybody = lived.run("reader", "customers", "--json")
    ids = {json.loads(line)["customer_id"] for line in everybody.stdout.splitlines()}
    assert ids == {"anna", *NAMES}
    told = lived.run("subscriber", "subscribe", "customer-value", "--from-beginning", "--until-end", "--json")
    assert {json.loads(line)["customer_id"] for line in told.stdout.splitlines()} == ids


def test_the_keys_of_odd_ids_lie_with_their_partition_and_nothing_else_was_touched(lived: Secured) -> None:
    keys = Keys("loyalty")
    with redis.Redis.from_url(lived.settings("admin").redis) as client:
        for name in ("anna", *NAMES):
            partition = partition_of(name.encode(), PARTITIONS)
            assert client.hget(keys.customer(partition, name), "customer_id") == name.encode()
        found = client.keys("*")
        named = [key for key in found if b":customer:" in key[:22] or b":state:" in key[:20]]
        assert len(named) == 2 * (1 + len(NAMES))
        assert {key.split(b"}:")[1] for key in found if key not in named and b"}" in key} <= {
            b"due", b"fence", b"kpi", b"outbox", b"values", b"erased"
        }  # fmt: skip


def test_a_live_worker_ticks_serves_metrics_with_a_token_and_shows_no_secret(lived: Secured) -> None:
    from urllib.error import HTTPError
    from urllib.request import Request

    port, token = free_port(), "a-token-of-some-length"
    environ = lived.environ("worker", LOYALTY_METRICS=f"0.0.0.0:{port}", LOYALTY_METRICS_TOKEN=token)
    log = lived.folder / "worker.log"
    with (
        log.open("w") as out,
        subprocess.Popen(
            [sys.executable, "-m", "streams", "worker"], cwd=ROOT, env=environ, stdout=out, stderr=out
        ) as worker,
    ):
        try:
            request = Request(f"http://127.0.0.1:{port}/readyz", headers={"Authorization": f"Bearer {token}"})
            assert wait_for(lambda: urlopen(request, timeout=10).status == 200), log.read_text()
            with pytest.raises(HTTPError, match="401"):
                urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10)
            request.full_url = f"http://127.0.0.1:{port}/metrics"
            shown = urlopen(request, timeout=10).read().decode()
        finally:
            worker.terminate()
            assert worker.wait(60) == 0
    for secret in (token, secret_of(lived, "worker")):
        assert secret not in shown + log.read_text()


def test_a_client_of_the_other_library_lives_as_a_role_too(lived: Secured) -> None:
    """aiokafka as a subscriber with a group of its own, and none of another's."""

    async def read(group: str) -> list[bytes]:
        consumer = AIOKafkaConsumer(
            topics.CUSTOMER_VALUE, **lived.settings("subscriber").kafka.options(), group_id=group,
            auto_offset_reset="earliest",
        )  # fmt: skip
        await consumer.start()
        try:
            return [record.key async for record in first(consumer)]
        finally:
            await consumer.stop()

    async def first(consumer: AIOKafkaConsumer) -> Any:
        yield await asyncio.wait_for(consumer.getone(), 60)

    assert len(asyncio.run(read("subscriber-crm"))) == 1
    with pytest.raises(Exception, match="GroupAuthorizationFailed"):
        asyncio.run(read("loyalty"))


def test_a_bomb_by_a_till_is_one_dead_letter_and_the_worker_lives(lived: Secured) -> None:
    async def send() -> None:
        producer = AIOKafkaProducer(
            **lived.settings("pos").kafka.options(), compression_type="zstd", max_request_size=128 << 20,
            enable_idempotence=True,
        )  # fmt: skip
        await producer.start()
        try:
            bomb = b"\0" * (unpacking.BATCH_BYTES_MAX + 1)
            await producer.send_and_wait(topics.PURCHASES, bomb, key=b"bomb", partition=0)
            await producer.send_and_wait(topics.PURCHASES, b"\0poison", key=b"mallory-4711", partition=0)
            name = next(f"late-{n}" for n in range(100) if partition_of(f"late-{n}".encode(), PARTITIONS) == 0)
            after = codec.write(topics.PURCHASES, sale(name, 900))
            await producer.send_and_wait(topics.PURCHASES, after, key=name.encode(), partition=0)
        finally:
            await producer.stop()

    asyncio.run(send())
    lived.known.update(("mallory-4711", "late-"))
    done = lived.run("worker", "worker", "--until-caught-up", LOYALTY_LOG="DEBUG", LOYALTY_LOGS="json")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "the batch cannot be unpacked (Bomb: unpacks to more than 64 MiB" in done.stderr
    assert not lived.ids_in(done.stderr)
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    oversize, poison = (line for line in lines if line["logger"] == "loyalty.dead_letters")
    assert (oversize["topic"], oversize["partition"], "customer" in oversize) == ("purchases", 0, False)
    assert poison["offset"] == oversize["offset"] + 1
    assert re.fullmatch("[0-9a-f]{16}", poison["customer"])
    letters = lived.run("admin", "dead-letters", "list", "--json")
    assert next(json.loads(line)["error"] for line in letters.stdout.splitlines()) == "Oversize"
    ids = lived.run("reader", "customers", "--json").stdout
    assert '"late-' in ids


def test_ops_sees_that_all_is_well_and_no_secret_is_shown(lived: Secured) -> None:
    done = lived.run("ops", "doctor", "--json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    found = {row["what"]: row for row in rows if "what" in row}
    assert done.returncode == 0, [row for row in found.values() if row["wrong"]]
    assert found["kafka security"]["found"] == "SASL_SSL as ops, SCRAM-SHA-512"
    assert found["redis security"]["found"].endswith("TLS as ops")
    assert secret_of(lived, "ops") not in done.stdout + done.stderr
    admin = KafkaAdminClient(**lived.settings("ops").kafka.options())
    try:
        assert admin.list_group_offsets(["loyalty"]), "lag is what ops are for"
    finally:
        admin.close()


# ---- the console and the exporter


@contextmanager
def serving(lived: Secured, role: str, word: str, path: str) -> Iterator[str]:
    """The address of a command that serves, once `path` answers."""
    port = free_port()
    environ = lived.environ(role, **{f"LOYALTY_{word.upper()}": f"127.0.0.1:{port}"})
    with subprocess.Popen(
        [sys.executable, "-m", "streams", word], cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert wait_for(lambda: urlopen(f"http://127.0.0.1:{port}{path}", timeout=20).status == 200)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            assert process.wait(60) == 0


def test_the_exporter_runs_as_reader(lived: Secured) -> None:
    with serving(lived, "reader", "exporter", "/metrics") as base:
        shown = urlopen(f"{base}/metrics", timeout=30).read().decode()
    assert re.search(r'^loyalty_customers{tier="member"} [1-9]', shown, re.MULTILINE)


def test_the_console_shows_every_page_as_its_role_and_sends_nothing_again(lived: Secured) -> None:
    with serving(lived, "console", "console", "/livez") as base:

        def told(path: str) -> str:
            return urlopen(f"{base}{path}", timeout=30).read().decode()

        assert wait_for(lambda: 'class="tile' in told("/")), "the first pass is done"
        for path in ("/", "/risk", "/care", "/tiers", "/what-if", "/stream", "/dead-letters", "/customer?id=anna",
                     "/customer/told?id=anna"):  # fmt: skip
            page = told(path)
            assert "refuses the user" not in page, path
            assert "may not see it" not in page, path


# ---- doctor, by each role


def doctor(lived: Secured, login: str, *words: str) -> tuple[int, dict[str, dict[str, str]]]:
    done = lived.run(login, "doctor", "--json", *words)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert secret_of(lived, login) not in done.stdout + done.stderr
    return done.returncode, {row["what"]: row for row in rows if "what" in row}


@pytest.mark.parametrize("role", [role for role in ROLES if role != "admin"])
def test_each_role_is_told_that_it_has_what_it_needs(lived: Secured, role: str) -> None:
    code, found = doctor(lived, role)
    assert code == 0, [row for row in found.values() if row["wrong"]]
    needs = next(one for one in roles(lived.settings(role)) if one.name == role)
    number = sum(len(grant.operations) for grant in needs.kafka)
    assert found["kafka rights"]["found"] == f"{number} of the {number} that {role} needs"
    commands = len(needs.redis_commands)
    if needs.redis:
        assert found["redis rights"]["found"] == f"{commands} of the {commands} commands that {role} needs"
        assert "ms to ours" in found["redis clock"]["found"]
    assert ("ms to ours" in found["kafka clock"]["found"]) is (role == "worker")


@pytest.mark.parametrize(("login", "needs", "kafka", "redis_lacks"), [
    ("ops", "worker", "READ, WRITE on topic ticks", "+multi"),
    ("reader", "worker", "READ on group loyalty; WRITE, DESCRIBE on transactional id loyalty-*", "+multi"),
    ("worker", "pos", "WRITE on topic purchases", None),
    ("subscriber", "reader", "READ on topic policies", "+get +mget +zscan"),
    ("worker", "ops", "DESCRIBE on group *; DESCRIBE, DESCRIBE_CONFIGS on the cluster", "+info +dbsize +config|get"),
])  # fmt: skip
def test_who_lacks_a_right_is_told_which(
    lived: Secured, login: str, needs: str, kafka: str, redis_lacks: str | None
) -> None:
    code, found = doctor(lived, login, "--role", needs)
    assert code == 1
    assert kafka in found["kafka rights"]["wrong"]
    if redis_lacks is not None:
        assert found["redis rights"]["wrong"].startswith(f"lacks {redis_lacks}")


def test_doctor_leaves_nothing_behind_in_topics_or_redis(lived: Secured) -> None:
    def seen() -> tuple[dict[TopicPartition, int], list[bytes]]:
        admin = KafkaConsumer(**lived.settings("admin").kafka.options())
        parts = [TopicPartition(topic, number) for topic in topics.TOPICS
                 for number in admin.partitions_for_topic(topic) or ()]  # fmt: skip
        try:
            with redis.Redis.from_url(lived.settings("admin").redis) as client:
                return admin.end_offsets(parts), sorted(client.keys("*"))
        finally:
            admin.close()

    before = seen()
    assert len(before[0]) > 20
    for login in ("worker", "admin"):
        assert doctor(lived, login, "--role", "worker")[0] == 0
    assert seen() == before


def test_one_command_less_of_a_worker_in_redis_is_named(lived: Secured) -> None:
    from sinks import probing

    (worker,) = (role for role in roles(lived.settings("worker")) if role.name == "worker")
    with redis.Redis.from_url(lived.settings("admin").redis) as admin:
        rules = [word for word in worker.redis.split() if word != "+xtrim"]
        admin.execute_command("ACL", "SETUSER", "narrow", "on", ">narrow", "-@all", *rules)
        url = lived.settings("pos").redis.replace("://", "://narrow:narrow@")
        try:
            assert probing.refused(url, Keys("loyalty"), worker.redis_commands) == ["xtrim"]
            assert len(probing.refused(url, Keys("other"), worker.redis_commands)) > 20, "those keys are not its own"
        finally:
            admin.execute_command("ACL", "DELUSER", "narrow")


# ---- refusals


@pytest.mark.parametrize(
    ("role", "words"),
    [
        ("pos", "subscribe churn-risk --from-beginning --until-end"),
        ("pos", "subscribe purchases --from-beginning --until-end"),
        ("pos", "dead-letters list"),
        ("pos", "customers"),
        ("subscriber", "import purchases {file}"),
        ("subscriber", "erase anna"),
        ("subscriber", "customers"),
        ("subscriber", "subscribe purchases --from-beginning --until-end"),
        ("subscriber", "dead-letters list"),
        ("reader", "erase anna"),
        ("reader", "subscribe customer-value --from-beginning --until-end"),
        ("reader", "worker --until-caught-up"),
        ("ops", "customer anna"),
        ("ops", "erase anna"),
        ("ops", "subscribe customer-value --from-beginning --until-end"),
        ("ops", "import purchases {file}"),
    ],
)
def test_a_role_is_refused_what_is_not_its_own(lived: Secured, tmp_path: Path, role: str, words: str) -> None:
    (tmp_path / "one.jsonl").write_text(json.dumps(sale("mallory", 1_000)))
    done = lived.run(role, *words.format(file=tmp_path / "one.jsonl").split())
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr, "a refusal is a line"
    assert re.search("refuse|may not|[Aa]uthori[sz]ation", done.stderr), done.stderr
    assert secret_of(lived, role) not in done.stderr


WRITES = {
    "admin": set(topics.TOPICS),
    "pos": set(POS_TOPICS),
    "subscriber": set(),
    "reader": set(),
    "ops": set(),
    "console": {topics.CONTACTS},
}
READS = {
    "admin": set(topics.TOPICS), "pos": set(), "ops": set(), "reader": {topics.POLICIES},
    "subscriber": {topics.CHURN_RISK, topics.CARE_REMINDERS, topics.TIER_CHANGES, topics.CUSTOMER_VALUE,
                   topics.EMPLOYEE_GRADES},
    "console": set(topics.TOPICS) - {topics.TOLD, topics.IDENTITIES},
    "worker": {*topics.INPUTS, topics.TOLD, topics.OUTBOX_POSITIONS, topics.IDENTITIES, topics.POLICIES},
}  # fmt: skip


@pytest.mark.parametrize("role", [role for role in ROLES if role != "admin"])
def test_a_role_reads_its_topics_and_no_other(lived: Secured, role: str) -> None:
    consumer = KafkaConsumer(**lived.settings(role).kafka.options(), group_id=None, auto_offset_reset="earliest")
    allowed = set()
    try:
        for topic in topics.TOPICS:
            if not consumer.partitions_for_topic(topic):
                continue  # it is not even seen
            consumer.assign([TopicPartition(topic, 0)])
            try:
                consumer.seek(TopicPartition(topic, 0), 0)
                consumer.poll(timeout_ms=2_000)
                consumer.position(TopicPartition(topic, 0))
                allowed.add(topic)
            except TopicAuthorizationFailedError:
                pass
    finally:
        consumer.close()
    assert allowed == READS[role]


@pytest.mark.parametrize("role", ["subscriber", "reader", "console", "ops", "pos"])
def test_a_role_writes_its_topics_and_no_other(lived: Secured, role: str) -> None:
    allowed = set()
    producer = KafkaProducer(**lived.settings(role).kafka.options(), enable_idempotence=False, max_block_ms=5_000)
    try:
        for topic in topics.TOPICS:
            if topic in WRITES[role]:
                allowed.add(topic)  # the main path has written; what is forbidden is tried
                continue
            try:
                producer.send(topic, b"forged", key=b"x", partition=0).get(20)
                allowed.add(topic)
            except KafkaError:
                pass
    finally:
        producer.close(timeout=5)
    assert allowed == WRITES[role]


def test_nobody_but_admin_makes_topics_or_rights_or_users(lived: Secured) -> None:
    for role in ROLES[1:]:
        admin = KafkaAdminClient(**lived.settings(role).kafka.options())
        try:
            with pytest.raises(KafkaError):
                admin.create_topics([NewTopic("mine", 1, 1)])
            with pytest.raises(KafkaError):
                admin.delete_topics([topics.PURCHASES])
        finally:
            admin.close()


REDIS_TRIED = (
    ("GET", "loyalty:{0}:state:anna"), ("HGETALL", "loyalty:{0}:customer:anna"), ("HGETALL", "loyalty:{0}:fence"),
    ("SET", "loyalty:{0}:state:anna", "x"), ("HSET", "loyalty:{0}:customer:anna", "tier", "gold"),
    ("GET", "loyalty:{0}:state:x}:customer:y"), ("KEYS", "*"), ("FLUSHALL",), ("CONFIG", "SET", "dir", "/"),
    ("ACL", "LIST"), ("EVAL", "return 1", "0"), ("GET", "other:key"), ("SHUTDOWN", "NOSAVE"), ("INFO", "server"),
    ("DEBUG", "SLEEP", "0"), ("SCRIPT", "FLUSH"),
)  # fmt: skip
REDIS_ALLOWED: dict[str, set[int]] = {
    "reader": {0, 1, 2, 5},
    "console": {0, 1, 2, 5},
    "subscriber": {1},
    "ops": {13},
    "worker": {0, 1, 2, 5, 10},
}


@pytest.mark.parametrize("role", REDIS_ALLOWED)
def test_a_role_does_its_own_in_redis_and_nothing_else(lived: Secured, role: str) -> None:
    allowed = set()
    with redis.Redis.from_url(lived.settings(role).redis) as client:
        for number, words in enumerate(REDIS_TRIED):
            if role == "worker" and words[0] in ("SET", "HSET"):
                continue  # it may
            try:
                client.execute_command(*words)
                allowed.add(number)
            except redis.exceptions.NoPermissionError:
                pass
    assert allowed == REDIS_ALLOWED[role]


def test_redis_knows_nobody_without_a_password_and_tills_not_at_all(lived: Secured) -> None:
    url = lived.settings("pos").redis
    assert "@" not in url
    with redis.Redis.from_url(url) as client, pytest.raises(redis.exceptions.AuthenticationError):
        client.ping()
    for login in ("worker:wrong", f"pos:{secret_of(lived, 'pos')}"):
        named = url.replace("://", f"://{login}@")
        with redis.Redis.from_url(named) as client, pytest.raises(redis.exceptions.AuthenticationError):
            client.ping()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"LOYALTY_KAFKA_PASSWORD_FILE": "-", "LOYALTY_KAFKA_PASSWORD": "x"}, "its password and the mechanism right?"),
        ({"LOYALTY_KAFKA_USER": "nobody"}, "its password and the mechanism right?"),
        ({"LOYALTY_KAFKA_SASL_MECHANISM": "SCRAM-SHA-256"}, "its password and the mechanism right?"),
        ({"LOYALTY_KAFKA_SASL_MECHANISM": "PLAIN"}, "its password and the mechanism right?"),
        ({"LOYALTY_KAFKA_CA_FILE": "-"}, "CERTIFICATE_VERIFY_FAILED"),
        ({"LOYALTY_KAFKA_SECURITY": "SASL_PLAINTEXT", "LOYALTY_KAFKA_CA_FILE": "-"}, "does it want TLS or a login?"),
        (
            {"LOYALTY_KAFKA_SECURITY": "PLAINTEXT", "LOYALTY_KAFKA_CA_FILE": "-", "LOYALTY_KAFKA_USER": "-",
             "LOYALTY_KAFKA_PASSWORD_FILE": "-"},
            "does it want TLS or a login?",
        ),
    ],
)  # fmt: skip
def test_who_is_not_known_or_speaks_plainly_stays_outside(lived: Secured, more: dict[str, str], words: str) -> None:
    done = lived.run("worker", "subscribe", "churn-risk", "--until-end", **more)
    assert done.returncode == 1
    assert words in done.stderr
    assert secret_of(lived, "worker") not in done.stderr


def test_the_controller_takes_nobody_without_the_brokers_certificate(lived: Secured) -> None:
    port = int((lived.folder.parent / "run" / "controller.port").read_text())
    which_versions = b"\0\0\0\x0b\0\x12\0\0\0\0\0\x01\0\x01x"

    def answer(context: ssl.SSLContext) -> bytes:
        """Empty where it hangs up: with TLS 1.3 a refusal comes with the first answer."""
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
            try:
                with context.wrap_socket(plain, server_hostname="127.0.0.1") as inside:
                    inside.sendall(which_versions)
                    return inside.recv(4)
            except OSError:
                return b""

    context = lived.settings("admin").kafka.ssl_context()
    assert answer(context) == b""
    context.load_cert_chain(lived.folder / "server.pem")
    assert answer(context), "it does answer the broker"
    with pytest.raises(KafkaError):
        KafkaAdminClient(bootstrap_servers=[f"127.0.0.1:{port}"], bootstrap_timeout_ms=4_000)


def test_redis_over_tls_is_checked_by_the_same_settings(lived: Secured, tls_door: Callable[[], int]) -> None:
    """Where the packaged redis-server has no TLS a door of this test's own stands before it."""
    ca = str(lived.folder / "ca.pem")
    given = {"LOYALTY_REDIS": f"rediss://127.0.0.1:{tls_door()}/0"}
    done = lived.run("reader", "customer", "anna", "--json", LOYALTY_REDIS_CA_FILE=ca, **given)
    assert done.returncode == 0, done.stderr
    done = lived.run("reader", "customer", "anna", LOYALTY_REDIS_CA_FILE="-", **given)
    assert "CERTIFICATE_VERIFY_FAILED" in done.stderr
    named = given["LOYALTY_REDIS"].replace("127.0.0.1", "127.0.0.2")
    done = lived.run("reader", "customer", "anna", LOYALTY_REDIS_CA_FILE=ca, LOYALTY_REDIS=named)
    assert "not valid for '127.0.0.2'" in done.stderr, "the name is checked too"


@pytest.fixture
def tls_door(lived: Secured) -> Iterator[Callable[[], int]]:
    listening = socket.create_server(("0.0.0.0", 0))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(lived.folder / "server.pem")

    def serve() -> None:
        while True:
            try:
                door, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=pass_on, args=(door,), daemon=True).start()

    def pass_on(door: socket.socket) -> None:
        try:
            inside: Any = context.wrap_socket(door, server_side=True)
            behind: Any = socket.create_connection(("127.0.0.1", int(lived.redis.rpartition(":")[2])))
            if lived.settings("admin").redis.startswith("rediss"):
                behind = ssl.create_default_context(cafile=lived.folder / "ca.pem").wrap_socket(
                    behind, server_hostname="127.0.0.1"
                )
        except OSError:
            return
        threading.Thread(target=copy, args=(inside, behind), daemon=True).start()
        copy(behind, inside)

    def copy(source: Any, target: Any) -> None:
        try:
            while data := source.recv(65_536):
                target.sendall(data)
        except OSError:
            pass

    threading.Thread(target=serve, daemon=True).start()
    yield lambda: int(listening.getsockname()[1])
    listening.close()


# ---- the files


def test_secrets_lie_in_files_of_this_user_alone_and_in_no_argument(lived: Secured) -> None:
    import psutil

    for path in [lived.folder, *lived.folder.iterdir(), *(lived.folder.parent / "run").glob("*.properties"),
                 *(lived.folder.parent / "run").glob("*.acl")]:  # fmt: skip
        if path.name != "worker.log":
            assert not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO), path
    assert not list((lived.folder.parent / "run").glob("format.words"))
    passwords = [path.read_text().strip() for path in lived.folder.glob("*.password")]
    assert len(set(passwords)) == len(ROLES) + 1
    for process in psutil.process_iter(["cmdline"]):
        assert not any(secret in " ".join(process.info["cmdline"] or ()) for secret in passwords)
    for path in lived.folder.parent.glob("run/*.log"):
        assert not any(secret in path.read_text(errors="replace") for secret in passwords), path
    for path in lived.folder.glob("*.env"):
        assert not any(secret in path.read_text() for secret in passwords), path


def test_a_folder_stays_what_it_was_begun_as(lived: Secured) -> None:
    again = loyalty(lived.start, "stack", "up")
    assert (again.returncode, "kafka: TLS" in again.stderr) == (0, True), "secure without being asked again"
    assert loyalty(lived.start, "stack", "status").returncode == 0


def test_an_open_folder_does_not_become_secure(tmp_path: Path) -> None:
    (tmp_path / "kafka").mkdir()
    (tmp_path / "kafka" / "meta.properties").write_text("")
    environ = Secured(tmp_path).start
    done = loyalty(environ, "stack", "up", "--secure")
    assert done.returncode == 1
    assert "is an open stack's, without users: give another LOYALTY_DATA_DIR" in done.stderr
    assert not (tmp_path / "secure").exists()


def test_what_scripts_call_is_what_a_worker_may() -> None:
    (worker,) = (role for role in roles(Settings.from_env({})) if role.name == "worker")
    may = {word.removeprefix("+") for word in worker.redis.split() if word.startswith("+")}
    called = {
        word.lower() for path in (ROOT / "sinks").glob("*.lua")
        for word in re.findall(r"(?:call|many)\(\s*'([A-Z]+)'", path.read_text())
    }  # fmt: skip
    assert called <= may
    assert may - called <= {
        "eval",
        "evalsha",
        "mget",
        "hsetnx",
        "zcard",
        "multi",
        "exec",
        "ping",
        "select",
        "get",
        "xlen",
        "time",
    }


def wait_for(condition: Callable[[], bool], seconds: float = 90) -> bool:
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        try:
            if condition():
                return True
        except OSError:
            pass
        time.sleep(0.1)
    return False
