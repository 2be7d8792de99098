"""The example subscribers and the board, each its own process, on real alerts: each once, an aborted one never."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from fastavro import schemaless_writer
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import MemberToRemove
from msgspec.structs import replace

from infra.localstack import Stack
from processors.outputs import ChurnRisk, Reason
from schemas import codec, library
from schemas.cloudevents import headers
from schemas.partitioner import partition_of
from schemas.topics import CHURN_RISK
from tests.conftest import PARTITIONS, ROOT, environ_of

pytestmark = pytest.mark.live

EXAMPLES = ROOT / "docs" / "examples"
DEADLINE_S = 60
AT = 1_490_000_123_456
SILENT = "bought every 9 days, silent for 31"


def customer_of(partition: int, name: str) -> str:
    return next(key for n in range(1_000) if partition_of((key := f"{name}{n}").encode(), PARTITIONS) == partition)


ANNA, BO, CY, LATE = (customer_of(0, name) for name in ("anna", "bo", "cy", "late"))
FAR = customer_of(1, "far")


def risk(customer_id: str, at: int = AT, **changes: Any) -> ChurnRisk:
    plain = ChurnRisk(
        customer_id=customer_id,
        at=at,
        policy="default@1",
        transition="WORSENED",
        level="AT_RISK",
        previous_level="WATCH",
        score=0.83,
        p_alive=0.41,
        p_no_purchase=0.72,
        expected_purchases=6.5,
        value_at_stake=12_345,
        currency="USD",
        tier="gold",
        last_purchase_at=AT - 31 * 86_400_000,
        usual_gap_days=9.0,
        reasons=(Reason("silence", 1.9, 31.0, 9.0), Reason("base", -0.3, 0.0, 0.0)),
        holdout=False,
    )
    return replace(plain, **changes)


def of_the_first_release(alert: ChurnRisk) -> bytes:
    schema = library.released(CHURN_RISK)[0]
    fields = codec.read(CHURN_RISK, codec.encode_churn_risk(alert, [SILENT, "base"]))
    with BytesIO() as out:
        out.write(b"\xc3\x01" + library.canonical_fingerprint(schema))
        schemaless_writer(out, schema, fields)
        return out.getvalue()


class Alerts:
    """Writes alerts as a worker's publisher does: in transactions, with the headers of the binding."""

    def __init__(self, kafka: str) -> None:
        self.producer = KafkaProducer(bootstrap_servers=kafka, transactional_id="alerts-by-hand", acks="all")
        self.producer.init_transactions()

    def write(self, *alerts: ChurnRisk, abort: bool = False, first_release: bool = False) -> None:
        self.producer.begin_transaction()
        for alert in alerts:
            filters = {"tier": alert.tier, "level": alert.level, "transition": alert.transition}
            head = headers(CHURN_RISK, 0, alert.event_id, alert.at, **filters, holdout=alert.holdout)
            whole = codec.encode_churn_risk(alert, [SILENT, "where every customer starts"])
            value = of_the_first_release(alert) if first_release else whole
            key = alert.customer_id.encode()
            place = partition_of(key, PARTITIONS)
            self.producer.send(CHURN_RISK, value=value, key=key, partition=place, headers=list(head)).get(timeout=30)
        if abort:
            self.producer.abort_transaction()
        else:
            self.producer.commit_transaction()


@pytest.fixture
def alerts(stack: Stack, fresh_topics: Callable[[], None]) -> Iterator[Alerts]:
    fresh_topics()
    made = Alerts(stack.kafka_addr)
    yield made
    made.producer.close()


class Printing:
    """A process and the lines that it has printed so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def until(self, text: str) -> list[str]:
        """The lines, once one has `text`."""
        give_up = time.monotonic() + DEADLINE_S
        while not any(text in line for line in self.lines):
            assert time.monotonic() < give_up, f"not within {DEADLINE_S} s: {text}; only {self.lines}"
            assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.lines}"
            time.sleep(0.02)
        return list(self.lines)

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(line.rstrip("\n") for line in self.process.stdout)


@contextmanager
def subscriber(stack: Stack, done: Path, *, knows_nothing_from: Path) -> Iterator[Printing]:
    """The example without the project's code, in a folder without it, with the schemas alone."""
    words = [
        sys.executable,
        str(EXAMPLES / "alerts_kafka_python.py"),
        stack.kafka_addr,
        str(ROOT / "schemas"),
        str(done),
    ]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LOYALTY_", "PYTHONPATH"))}
    process = subprocess.Popen(words, cwd=knows_nothing_from, env=clean, text=True, encoding="utf-8",
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
    printing = Printing(process)
    try:
        yield printing
    finally:
        process.kill()
        process.wait(30)
        printing._reading.join(30)


def forget_members(stack: Stack, group: str) -> None:
    """The group learns at once what its session's timeout (45 s) would tell it: that its member is dead."""
    admin = KafkaAdminClient(bootstrap_servers=stack.kafka_addr)
    members = admin.describe_groups([group])[group]["members"]
    assert members, "killed, it could not say good-bye"
    admin.remove_group_members(group, [MemberToRemove(member_id=member["member_id"]) for member in members])
    admin.close()


def line(alert: ChurnRisk) -> str:
    return f"{alert.customer_id}\t{alert.level}\t{SILENT}"


def test_a_subscriber_that_knows_nothing_of_the_project_prints_each_alert_once(
    stack: Stack, alerts: Alerts, tmp_path: Path
) -> None:
    anna, far = risk(ANNA), risk(FAR, transition="LOST", level="LOST")
    skipped = [risk(CY, holdout=True), risk(CY, level="WATCH", transition="RAISED"), risk(CY, transition="EASED")]
    alerts.write(anna, far, *skipped)
    alerts.write(risk(BO), risk(FAR, AT + 1), abort=True)
    old = risk(BO, AT + 2)
    alerts.write(old, first_release=True)
    alerts.write(anna)  # the same again, as a publisher without transactions would send it
    alerts.write(risk(LATE), risk(FAR, AT + 3))
    done = tmp_path / "alerts.db"
    with subscriber(stack, done, knows_nothing_from=tmp_path) as printing:
        printing.until(f"{LATE}\t")
        told = printing.until(f"{FAR}\tAT_RISK")
    assert sorted(told) == sorted(map(line, [anna, far, old, risk(LATE), risk(FAR, AT + 3)]))

    forget_members(stack, "alerts-example")
    alerts.write(risk(LATE, AT + 4, level="LOST", transition="LOST"))
    with subscriber(stack, done, knows_nothing_from=tmp_path) as again:  # killed before: nothing comes twice
        assert again.until(f"{LATE}\tLOST") == [f"{LATE}\tLOST\t{SILENT}"]


def test_the_short_subscriber_prints_who_may_leave_by_what_is_at_stake(stack: Stack, alerts: Alerts) -> None:
    alerts.write(risk(ANNA), risk(FAR, value_at_stake=900_00), risk(CY, holdout=True), risk(LATE, level="LOST"))
    alerts.write(risk(BO), abort=True)
    alerts.write(risk(ANNA, AT + 1, level="WATCH", transition="EASED"))
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "alerts_with_loyalty.py")], cwd=ROOT, capture_output=True, text=True,
        env={**environ_of(stack, "examples"), "PYTHONPATH": str(ROOT)}, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"{FAR}\tAT_RISK\t900.00 USD\t{SILENT}",
        f"{ANNA}\tWATCH\t123.45 USD\t{SILENT}",
    ]


def _hears_ctrl_c() -> None:
    """As at a terminal: a shell starts what runs in the background, and its children, with SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def at_a_terminal(stack: Stack, *words: str) -> Iterator[tuple[subprocess.Popen[bytes], bytearray]]:
    """`loyalty WORDS` at a terminal of 40 lines and 120 columns, and all that it has written."""
    ours, its = os.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "streams", *words], cwd=ROOT, stdin=its, stdout=its, stderr=its,
        env={**environ_of(stack, "examples"), "TERM": "xterm"},
        preexec_fn=_hears_ctrl_c,  # noqa: PLW1509
    )  # fmt: skip
    os.close(its)
    written = bytearray()

    def read() -> None:
        try:
            while part := os.read(ours, 65_536):
                written.extend(part)
        except OSError:  # the process has closed its side
            return

    reading = threading.Thread(target=read, daemon=True)
    reading.start()
    try:
        yield process, written
    finally:
        process.kill()
        process.wait(30)
        reading.join(30)
        os.close(ours)


def test_at_a_terminal_the_alerts_are_a_board_which_ends_with_its_last_state(stack: Stack, alerts: Alerts) -> None:
    alerts.write(risk(ANNA), risk(FAR, value_at_stake=900_00), risk(LATE, level="LOST", transition="LOST"))
    alerts.write(risk(BO), abort=True)
    with at_a_terminal(stack, "subscribe", CHURN_RISK, "--from-beginning", "--until-end") as (process, written):
        assert process.wait(DEADLINE_S) == 0
    last = written.decode().rpartition("May leave: 2 customers, 1023.45 USD at stake")[2]
    assert last.index(FAR) < last.index(ANNA) < last.index("Lost: 1 customer") < last.index(LATE)
    assert SILENT in last
    assert BO.encode() not in written


def test_the_board_shows_an_alert_though_none_follows_and_ctrl_c_leaves_the_terminal_as_it_was(
    stack: Stack, alerts: Alerts
) -> None:
    alerts.write(risk(ANNA))
    with at_a_terminal(stack, "subscribe", CHURN_RISK, "--from-beginning") as (process, written):
        give_up = time.monotonic() + DEADLINE_S
        while ANNA.encode() not in written:
            assert time.monotonic() < give_up, written.decode()
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_S) == 130
    assert written.count(b"\x1b[?25l") == written.count(b"\x1b[?25h") == 1  # the cursor was hidden and is back


def test_in_a_pipe_the_alerts_are_lines(
    alerts: Alerts, loyalty: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    alerts.write(risk(ANNA), risk(FAR))
    lines = loyalty("subscribe", CHURN_RISK, "--from-beginning", "--until-end").stdout.splitlines()
    assert sorted(text.partition("  ")[0] for text in lines) == [f"customer_id={ANNA}", f"customer_id={FAR}"]


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_is_short_and_explained(example: Path) -> None:
    assert len(example.read_text("utf-8").splitlines()) <= 60
    assert example.name in (EXAMPLES / "README.md").read_text("utf-8")
