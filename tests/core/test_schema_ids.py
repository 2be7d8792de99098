"""A registry in this process that fails in every way: what makes a record wait, and what makes it a dead letter."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from schemas import codec, framing, library, topics
from schemas.errors import UnknownSchema
from schemas.topics import CONTACTS, PURCHASES
from sinks.schema_registry import NoSuchSchema, RegistryAway, RegistryRefuses, SchemaRegistry
from streams import schema_ids
from streams.cli.doctor import _registry_rows
from streams.ownership import Ownership
from streams.record_sets import RecordSet
from streams.schema_ids import SchemaIds
from streams.settings import LoyaltyError, NotThere, Settings
from tests.core.test_ownership import FakeSource, turns
from tests.live.running import Notes, NotingRunner, until

Answer = tuple[int, bytes]
UNKNOWN: Answer = (404, b'{"error_code": 40403, "message": "Schema not found"}')
JSON = "application/vnd.schemaregistry.v1+json"


class FakeRegistry(ThreadingHTTPServer):
    """schemas: id to text. `fail`: what it answers instead, path to answer or to what is done with the connection."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.schemas: dict[int, str] = {}
        self.subjects: dict[str, list[int]] = {}
        self.config: dict[str, str] = {}
        self.fail: Callable[[str], Answer | None] = lambda _: None
        self.login: str | None = None
        self.asked: list[str] = []
        self.release = threading.Event()

    def tell(self, method: str, path: str, body: Any) -> Answer:
        match method, path.strip("/").split("/"):
            case "GET", ["schemas", "types"]:
                return _ok(["JSON", "AVRO"])
            case "GET", ["schemas", "ids", number]:
                text = self.schemas.get(int(number))
                return UNKNOWN if text is None else _ok({"schema": text})
            case "GET", ["config", subject] if subject in self.config:
                return _ok({"compatibilityLevel": self.config[subject]})
            case "PUT", ["config", subject]:
                self.config[subject] = body["compatibility"]
                return _ok(body)
            case "POST", ["subjects", subject, *versions]:
                there = [n for n in self.subjects.get(subject, []) if self.schemas[n] == body["schema"]]
                if versions and not there:
                    there = [len(self.schemas) + 1]
                    self.schemas[there[0]] = body["schema"]
                    self.subjects.setdefault(subject, []).extend(there)
                return _ok({"id": there[0]}) if there else (404, b'{"error_code": 40403, "message": "no"}')
        return 404, b'{"error_code": 404, "message": "HTTP 404 Not Found"}'


def _ok(told: Any) -> Answer:
    return 200, json.dumps(told).encode()


class _Handler(BaseHTTPRequestHandler):
    server: FakeRegistry

    def _do(self) -> None:
        fake = self.server
        fake.asked.append(f"{self.command} {self.path}")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if fake.login is not None and self.headers.get("Authorization") != fake.login:
            status, told = 401, b"who are you?"
        else:
            failure = fake.fail(self.path)
            status, told = failure or fake.tell(self.command, self.path, json.loads(body) if body else None)
        self.send_response(status)
        self.send_header("Content-Type", JSON)
        if status == 302:
            self.send_header("Location", told.decode())
        self.end_headers()
        if told == SLOW:
            while not fake.release.wait(0.01):
                self.wfile.write(b" ")
        self.wfile.write(told)

    do_GET = do_PUT = do_POST = _do

    def log_message(self, *_: Any) -> None: ...


SLOW = b'{"schema": "slow"}'


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    server = FakeRegistry()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield server
    server.release.set()
    server.shutdown()
    server.server_close()


def client(fake: FakeRegistry, **more: Any) -> SchemaRegistry:
    return SchemaRegistry(fake.url, **{"timeout_s": 2.0} | more)


# ---- what the registry says


def test_a_schema_is_had_by_its_id(fake: FakeRegistry) -> None:
    fake.schemas[7] = '"string"'
    assert client(fake).schema(7) == '"string"'
    assert client(fake).types() == ["JSON", "AVRO"]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (UNKNOWN, "is unknown there"),
        ((200, b'{"schema": "x", "schemaType": "PROTOBUF"}'), "is PROTOBUF, not AVRO"),
        ((200, b'{"schema": "x", "references": [{"name": "a"}]}'), "refers to other subjects"),
    ],
)
def test_D6_a_word_on_the_id_itself_is_final(fake: FakeRegistry, answer: Answer, says: str) -> None:
    fake.fail = lambda _: answer
    with pytest.raises(NoSuchSchema, match=says):
        client(fake).schema(7)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ((500, b"oops"), "answers 500: oops"),
        ((503, b'{"error_code": 50302, "message": "no leader"}'), "answers 503: no leader"),
        ((404, b"<html>nothing here"), "answers 404: <html>.*check LOYALTY_SCHEMA_REGISTRY_URL"),
        ((404, b'{"error_code": 404, "message": "HTTP 404"}'), "answers 404: HTTP 404.*check"),
        ((403, b"{}"), "answers 403: .*_USER and _PASSWORD"),
        ((429, b"later"), "answers 429"),
        ((200, b"<html>welcome to the hotel</html>"), "gives no answer"),
        ((200, b"\xff\xfe"), "gives no answer"),
        ((200, b"[]"), "answers 200"),
        ((200, b'{"schema": 7}'), "answers 200"),
        ((200, b" " * (5 << 20)), "more than 4,194,304 bytes"),
        ((200, SLOW), "it answers too slowly"),
    ],
)
def test_everything_else_is_a_registry_that_is_away(fake: FakeRegistry, answer: Answer, says: str) -> None:
    fake.fail = lambda _: answer
    with pytest.raises(RegistryAway, match=f"the schema registry {fake.url}/schemas/ids/7 {says}|{says}"):
        client(fake, timeout_s=0.2).schema(7)


def test_nobody_there_is_away_too(fake: FakeRegistry) -> None:
    fake.shutdown()
    fake.server_close()
    with pytest.raises(RegistryAway, match=r"gives no answer: .*refused"):
        client(fake).schema(7)


def test_a_password_is_sent_to_the_registry_alone_and_named_nowhere(fake: FakeRegistry) -> None:
    fake.login = "Basic " + base64.b64encode(b"bob:ses@me").decode()
    fake.schemas[7] = '"string"'
    there = fake.url.removeprefix("http://")
    in_url = SchemaRegistry(f"http://bob:ses%40me@{there}/")
    assert in_url.schema(7) == client(fake, user="bob", password="ses@me").schema(7) == '"string"'
    with pytest.raises(RegistryAway, match="answers 401: who are you") as caught:
        SchemaRegistry(f"http://bob:sesame@{there}").schema(7)
    assert "sesame" not in str(caught.value)
    assert in_url.place == fake.url
    fake.fail = lambda path: (302, f"{fake.url}/elsewhere".encode()) if path.startswith("/schemas") else None
    with pytest.raises(RegistryAway, match="answers 401"):
        in_url.schema(7)


# ---- our own schemas


def test_every_release_is_registered_once_and_its_subject_held_compatible(fake: FakeRegistry) -> None:
    heads = client(fake).heads(schema_ids.OUTPUTS)
    assert client(fake).heads(schema_ids.OUTPUTS) == heads
    assert set(heads) == {topic.name for topic in topics.TOPICS.values() if topic.direction == "out" and topic.schema}
    for topic, known in heads.items():
        assert fake.config[f"{topic}-value"] == "FULL_TRANSITIVE"
        registered = [json.loads(fake.schemas[n]) for n in fake.subjects[f"{topic}-value"]]
        assert registered[-1] == library.source(topic)
        assert len(registered) == len(library.by_mark(topic)) == len(known)
        assert client(fake).registered(topic)
    assert not client(fake).registered(CONTACTS)
    fake.asked.clear()
    client(fake).heads([PURCHASES])
    assert [line for line in fake.asked if line.endswith("versions")] == ["POST /subjects/purchases-value/versions"]


def test_who_may_only_read_finds_what_others_registered(fake: FakeRegistry, caplog: pytest.LogCaptureFixture) -> None:
    heads = client(fake).heads([CONTACTS])
    fake.config.clear()
    fake.fail = lambda path: (403, b"{}") if path.startswith("/config") or path.endswith("versions") else None
    assert client(fake).heads([CONTACTS]) == heads
    assert "does not let contacts-value be FULL_TRANSITIVE (403" in caplog.text


def test_a_schema_that_is_not_taken_is_told_with_the_way_out(fake: FakeRegistry) -> None:
    fake.fail = lambda path: (409, b'{"message": "incompatible with version 3"}') if path.endswith("versions") else None
    with pytest.raises(RegistryRefuses, match=r"of contacts-value \(409: incompatible with version 3\): "):
        client(fake).heads([CONTACTS])
    fake.fail = lambda path: (500, b"oops") if path.endswith("versions") else None
    with pytest.raises(RegistryAway, match="answers 500"):
        client(fake).heads([CONTACTS])


# ---- a worker


def framed(schema_id: int, event_id: str = "e") -> bytes:
    record = {"event_id": event_id, "customer_id": "anna", "occurred_at": 1, "kind": "SALE", "store_id": "s"}
    lines = [{"category": "a", "quantity": 1, "net_amount": 5}]
    value = codec.write(PURCHASES, record | {"currency": "USD", "lines": lines})
    return framing.confluent_head(schema_id) + value[framing.HEADER_BYTES :]


class Decoding(NotingRunner):
    """Decodes what it is given, as the loop does: an id that is not known yet would be our own fault."""

    def __init__(self, notes: Notes, partition: int, ids: SchemaIds) -> None:
        super().__init__(notes, partition)
        self.decode = codec.decoding(ids.registered)
        self.seen: list[str] = []

    def deliver(self, topic: str, records: Any, position: int) -> None:
        super().deliver(topic, records, position)
        for record in records:
            try:
                self.seen.append(self.decode(topic, record.value, None).event_id)  # type: ignore[union-attr]
            except UnknownSchema as unknown:
                self.seen.append(str(unknown))


class Record:
    def __init__(self, offset: int, value: bytes) -> None:
        self.offset, self.value = offset, value


def record_set(start: int, *values: bytes, topic: str = PURCHASES, seek: int = 1) -> RecordSet:
    records: Any = [Record(start + n, value) for n, value in enumerate(values)]
    return RecordSet(topic, 0, records, start, start + len(values), seek)


SETTLES_S = 0.2


@pytest.fixture
def worker(fake: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs a test with one owned partition and ids asked of `fake`."""
    monkeypatch.setattr(schema_ids, "PAUSE_S", (0.01,))

    def run(test: Callable[[Ownership, SchemaIds, list[Decoding], FakeSource], Any]) -> None:
        async def go() -> None:
            ids, source, runners = SchemaIds(client(fake, timeout_s=0.3), SETTLES_S), FakeSource(), []

            def make(partition: int) -> Decoding:
                runners.append(Decoding(Notes(), partition, ids))
                return runners[-1]

            owner = Ownership(make, lambda: source, ids)
            owner.assigned([0])
            try:
                await until(lambda: owner.ready, "it is open")
                await test(owner, ids, runners, source)
                assert owner.error is None
            finally:
                await owner.release()

        asyncio.run(go())

    return run


Worker = Callable[..., None]


def test_a_set_waits_for_its_ids_and_keeps_its_place(fake: FakeRegistry, worker: Worker) -> None:
    async def test(owner: Ownership, ids: SchemaIds, runners: list[Decoding], source: FakeSource) -> None:
        (runner,) = runners
        fake.fail = lambda _: (500, b"oops")
        owner.deliver(record_set(0, framed(3, "a")))
        own = codec.write(CONTACTS, {"event_id": "x", "customer_id": "anna", "occurred_at": 1, "kind": "VISIT",
                                     "direction": "IN", "channel": "s"})  # fmt: skip
        owner.deliver(record_set(1, framed(4, "b")))
        owner.deliver(record_set(0, own, topic=CONTACTS))
        assert runner.seen == ["x"], "another topic goes on"
        await until(lambda: "answers 500: oops" in ids.waiting, "it is asked again and again")
        assert owner.held_back.startswith("partitions [0] wait for the schema registry: ")
        assert not owner.wanted(PURCHASES, 0)
        assert owner.wanted(CONTACTS, 0)
        assert not await owner.work_waits(), "no stall: it is waited for"
        assert not await owner.caught_up()
        source.ends[PURCHASES] = 2
        asking = asyncio.create_task(owner.ends(0))  # type: ignore[arg-type]
        await turns()
        assert not asking.done(), "the loop is not told of an end past what waits"
        fake.schemas |= {3: library.text(PURCHASES), 4: library.text(PURCHASES)}
        fake.fail = lambda _: None
        assert (await asking)[PURCHASES].position == 2
        assert runner.seen == ["x", "a", "b"]
        assert (ids.waiting, owner.held_back) == ("", "")
        assert owner.wanted(PURCHASES, 0)
        fake.asked.clear()
        owner.deliver(record_set(2, framed(3, "c"), framed(4, "d")))
        assert runner.seen[3:] == ["c", "d"], "an id is asked for once"
        assert not fake.asked

    worker(test)


def test_a_registry_that_has_just_come_up_is_not_believed_that_it_does_not_know_an_id(
    fake: FakeRegistry, worker: Worker
) -> None:
    """Killed and started again, it serves before it has read the schemas that it holds."""

    async def test(owner: Ownership, ids: SchemaIds, runners: list[Decoding], _: FakeSource) -> None:
        (runner,) = runners
        owner.deliver(record_set(0, framed(8)))
        await until(lambda: runner.seen, "an id that it has answered about for long enough is refused")
        assert runner.seen == [f"schema id 8 of the registry {fake.url} is unknown there: the record was written with "
                               "another registry, or its schema is gone"]  # fmt: skip
        fake.fail = lambda _: (500, b"oops")
        owner.deliver(record_set(1, framed(3, "a")))
        await until(lambda: "answers 500" in ids.waiting, "it is away")
        fake.fail = lambda _: None
        await until(lambda: "has just come up" in ids.waiting, "it knows no such id yet")
        assert len(runner.seen) == 1
        fake.schemas[3] = library.text(PURCHASES)
        await until(lambda: runner.seen[1:] == ["a"], "now it does")

    worker(test)


def test_D6_an_unknown_id_is_a_dead_letter_by_name_and_is_asked_for_again_later(
    fake: FakeRegistry, worker: Worker
) -> None:
    async def test(owner: Ownership, ids: SchemaIds, runners: list[Decoding], _: FakeSource) -> None:
        (runner,) = runners
        owner.deliver(record_set(0, framed(9)))
        await until(lambda: runner.seen, "it is refused")
        assert runner.seen == [f"schema id 9 of the registry {fake.url} is unknown there: the record was written with "
                               "another registry, or its schema is gone"]  # fmt: skip
        owner.deliver(record_set(1, framed(9)))
        assert len(runner.seen) == 2, "not asked again at once"
        fake.schemas[9] = library.text(PURCHASES)
        ids._refused[9] = 0.0  # the time is over
        owner.deliver(record_set(2, framed(9, "known")))
        await until(lambda: len(runner.seen) == 3, "it is asked for again")
        assert runner.seen[2] == "known"

    worker(test)


def test_a_partition_that_leaves_waits_for_no_registry(fake: FakeRegistry, worker: Worker) -> None:
    async def test(owner: Ownership, ids: SchemaIds, runners: list[Decoding], _: FakeSource) -> None:
        fake.fail = lambda _: (200, SLOW)
        owner.deliver(record_set(0, framed(3)))
        await until(lambda: fake.asked, "it was asked")
        asking = asyncio.create_task(owner.ends(0))  # type: ignore[arg-type]
        await turns()
        began = asyncio.get_running_loop().time()
        await owner.release()
        assert asyncio.get_running_loop().time() - began < 5
        assert type((await asyncio.gather(asking, return_exceptions=True))[0]).__name__ == "Fenced"
        assert not runners[0].seen
        assert not owner.held_back

    worker(test)


def test_after_an_outage_of_redis_what_was_held_is_forgotten_and_comes_again(
    fake: FakeRegistry, worker: Worker
) -> None:
    async def test(owner: Ownership, ids: SchemaIds, runners: list[Decoding], source: FakeSource) -> None:
        fake.fail = lambda _: (500, b"oops")
        owner.deliver(record_set(0, framed(3, "a")))
        runners[0].stopped.set()  # its run ends; the partition is opened again from its fence
        await until(lambda: len(runners) == 2 and owner.ready, "it is open again")
        fake.schemas[3] = library.text(PURCHASES)
        fake.fail = lambda _: None
        owner.deliver(record_set(0, framed(3, "late"), seek=1))
        owner.deliver(record_set(0, framed(3, "a"), seek=2))
        await until(lambda: runners[1].seen, "it is decoded")
        assert (runners[0].seen, runners[1].seen) == ([], ["a"])

    worker(test)


class OneAnswer:
    """Ids that a test answers by hand, all at once."""

    waiting = ""

    def __init__(self) -> None:
        self.answered = asyncio.get_running_loop().create_future()

    def unknown(self, values: Any) -> set[int]:
        return set() if self.answered.done() else {3}

    async def learn(self, ids: Any) -> None:
        await self.answered


def test_the_ends_may_be_asked_for_at_the_very_moment_at_which_the_registry_answers() -> None:
    async def go() -> None:
        ids, source, notes = OneAnswer(), FakeSource(), Notes()
        owner = Ownership(lambda partition: NotingRunner(notes, partition), lambda: source, ids)
        owner.assigned([0])
        await until(lambda: owner.ready, "it is open")
        owner.deliver(record_set(0, b"a"))
        await turns()
        ids.answered.set_result(None)
        assert (await asyncio.create_task(owner.ends(0)))[PURCHASES].position == 1  # type: ignore[arg-type]
        assert owner.error is None
        await owner.release()

    asyncio.run(go())


# ---- commands


def of(fake: FakeRegistry) -> Settings:
    return Settings.from_env({"LOYALTY_SCHEMA_REGISTRY_URL": fake.url})


def test_a_command_asks_as_it_reads_and_says_so_where_the_registry_is_away(fake: FakeRegistry) -> None:
    fake.schemas[3] = library.text(PURCHASES)
    registered = schema_ids.asking(of(fake))
    assert codec.read(PURCHASES, framed(3), registered)["event_id"] == "e"
    assert schema_ids.decode_of(of(fake))(PURCHASES, framed(3), None).event_id == "e"  # type: ignore[union-attr]
    with pytest.raises(UnknownSchema, match="schema id 4 of the registry"):
        codec.read(PURCHASES, framed(4), registered)
    fake.fail = lambda _: (500, b"oops")
    with pytest.raises(LoyaltyError, match="answers 500: oops; a record names its schema id 5"):
        codec.read(PURCHASES, framed(5), registered)
    with pytest.raises(LoyaltyError, match="answers 500: oops") as caught:
        schema_ids.heads(of(fake), [PURCHASES])
    assert type(caught.value) is LoyaltyError, "a worker that starts asks again"
    fake.fail = lambda path: (409, b'{"message": "incompatible"}') if path.endswith("versions") else None
    with pytest.raises(NotThere, match="409: incompatible"):
        schema_ids.heads(of(fake), [PURCHASES])


def test_doctor_tells_what_the_registry_has_and_that_it_is_silent(fake: FakeRegistry) -> None:
    def rows() -> list[tuple[str, bool]]:
        return [(f"{row['what']}: {row['found']}", bool(row["wrong"])) for row in _registry_rows(of(fake))]

    assert rows()[0] == (f"schema registry: answers at {fake.url}", False)
    assert rows()[1][0].startswith("schemas of outputs: not there yet: churn-risk, ")
    schema_ids.heads(of(fake), schema_ids.OUTPUTS)
    assert rows()[1] == ("schemas of outputs: all there", False)
    fake.fail = lambda _: (500, b"oops")
    assert rows() == [("schema registry: silent", True)]
    assert [row["found"] for row in _registry_rows(Settings.from_env({}))] == [
        "none: single-object encoding is read and written"
    ]


def test_without_a_registry_nothing_changes() -> None:
    settings = Settings.from_env({})
    assert schema_ids.client(settings) is None
    assert schema_ids.asking(settings) is None
    assert schema_ids.heads(settings, [PURCHASES]) == {}
    assert schema_ids.decode_of(settings) is codec.decode
