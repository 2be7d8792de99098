"""The local stack: real servers come up, twice, side by side, and broken leftovers are told and mended."""

import json
import os
import signal
import socket
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.localstack import Stack, StackError
from infra.localstack.process import port_taken, started_at
from infra.localstack.redis import facts
from schemas.topics import TOPICS
from sinks.access import KafkaAccess
from streams.settings import LoyaltyError, Settings
from streams.topics_admin import check_topics, create_topics, delete_topics
from tests.conftest import PARTITIONS, free_port

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def own(make_stack: Callable[[], Stack]) -> Stack:
    """A stack for this file's rough tests; each leaves it up or down as it likes."""
    return make_stack()


def heard(stack: Stack) -> list[str]:
    """What the stack tells from now on."""
    lines: list[str] = []
    for part in (stack, stack.kafka, stack.kafka.daemon, stack.redis.daemon):
        setattr(part, "tell" if part is stack else "_tell", lines.append)
    return lines


def pids(stack: Stack) -> list[int]:
    return [row["pid"] for row in stack.status()]


def test_up_is_idempotent_and_both_answer(stack: Stack) -> None:
    before = pids(stack)
    stack.up()
    assert pids(stack) == before
    assert [row["state"] for row in stack.status()] == ["running", "running"]


def test_two_stacks_live_side_by_side_and_down_leaves_no_process(stack: Stack, own: Stack) -> None:
    own.up()
    mine = pids(own)
    assert len({*mine, *pids(stack)}) == 4
    own.down()
    assert [started_at(pid) for pid in mine] == [None, None]
    assert not port_taken(own.redis.host, own.redis.port)
    assert [row["state"] for row in own.status()] == ["stopped", "stopped"]
    assert [row["state"] for row in stack.status()] == ["running", "running"]
    own.down()


def test_data_survives_a_kill_of_each(own: Stack) -> None:
    own.up()
    create_topics(KafkaAccess(own.kafka_addr), PARTITIONS)
    _redis(own, "SET", "k", "v")
    assert own.kill_redis()
    assert own.kill_kafka()
    assert [row["state"] for row in own.status()] == ["stopped", "stopped"]
    own.start_redis()
    own.start_kafka()
    assert "$1\r\nv" in _redis(own, "GET", "k")
    assert create_topics(KafkaAccess(own.kafka_addr), PARTITIONS) == []


def test_a_stale_pid_file_is_told_and_nobody_is_signalled(own: Stack) -> None:
    own.up()
    own.kill_redis()
    bystander = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        own.redis.daemon.pid_file.write_text(json.dumps({"pid": bystander.pid, "started": "another boot:1"}))
        lines = heard(own)
        own.down()
        assert bystander.poll() is None
        assert any("stale" in line and "left alone" in line for line in lines), lines
    finally:
        bystander.kill()
        bystander.wait()
    own.redis.daemon.pid_file.write_text("what is this")
    own.up()
    assert any("was no pid file" in line for line in lines)


@pytest.mark.parametrize("which", ["kafka", "redis"])
def test_a_taken_port_is_told_with_port_and_setting(own: Stack, which: str) -> None:
    own.down()
    port = getattr(own, which).port
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(StackError, match=f"port {port} .*LOYALTY_{which.upper()}"):
            own.up()
    own.up()


def test_a_taken_controller_port_is_gone_round(own: Stack) -> None:
    own.down()
    stored = own.run_dir / "controller.port"
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", int(stored.read_text())))
        other.listen()
        own.up()
        assert int(stored.read_text()) != other.getsockname()[1]


def test_a_half_formatted_log_folder_without_records_is_formatted_anew(own: Stack) -> None:
    own.down()
    folder = own.kafka.folder
    for path in folder.glob("*-[0-9]*"):
        subprocess.run(["rm", "-r", path], check=True)
    (folder / "meta.properties").unlink()
    lines = heard(own)
    own.up()
    assert any("half formatted" in line for line in lines)


def test_a_log_folder_with_records_but_no_identity_is_left_alone(own: Stack) -> None:
    own.down()
    identity = own.kafka.folder / "meta.properties"
    kept = identity.read_text()
    identity.unlink()
    log = own.kafka.folder / "things-0" / "00000000000000000000.log"
    log.parent.mkdir()
    log.write_bytes(b"records")
    with pytest.raises(StackError, match=r"things-0 .*meta.properties.*move the folder away"):
        own.up()
    assert log.read_bytes() == b"records"
    log.unlink()
    log.parent.rmdir()
    identity.write_text(kept)
    own.up()


def test_a_truncated_append_only_file_loads(own: Stack) -> None:
    own.up()
    _redis(own, "SET", "whole", "v")
    own.kill_redis()
    [aof] = [path for path in own.redis.folder.rglob("*.aof*") if path.suffix in (".aof",) or ".incr." in path.name]
    with aof.open("ab") as file:
        file.write(b"*3\r\n$3\r\nSET\r\n$4\r\nha")
    own.start_redis()
    assert "$1\r\nv" in _redis(own, "GET", "whole")


def test_redis_evicts_nothing_and_keeps_a_log(stack: Stack) -> None:
    told = facts(stack.redis_url)
    assert (told["memory_policy"], told["append_only"], told["append_fsync"]) == ("noeviction", True, "always")


def test_only_this_user_reads_the_erase_key(stack: Stack, settings: Settings) -> None:
    path = stack.data_dir / "erase.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert settings.erase_key == path.read_text().strip()
    assert len(settings.erase_key) == 64


@pytest.mark.parametrize(
    ("kafka", "redis"),
    [
        ("10.1.2.3:9092", "redis://127.0.0.1:1/0"),
        ("a:1,b:2", "redis://127.0.0.1:1/0"),
        ("127.0.0.1:9092", "redis://cache.example:6379/0"),
        ("127.0.0.1:9092", "rediss://127.0.0.1:6379/0"),
    ],
)
def test_an_address_beyond_this_machine_is_refused(kafka: str, redis: str, tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"LOYALTY_(KAFKA|REDIS)"):
        Stack(kafka, redis, tmp_path)


def test_topics_are_as_the_table_says(stack: Stack) -> None:
    create_topics(KafkaAccess(stack.kafka_addr), PARTITIONS)
    found = check_topics(KafkaAccess(stack.kafka_addr), PARTITIONS)
    assert {row.name: row.wrong for row in found} == dict.fromkeys(TOPICS, ())
    assert {row.partitions for row in found} == {1, PARTITIONS}
    assert {row.timestamp_type for row in found} == {"LogAppendTime"}


def test_another_partition_count_is_refused_with_the_way_out(stack: Stack) -> None:
    with pytest.raises(LoyaltyError, match=f"set LOYALTY_PARTITIONS={PARTITIONS}"):
        create_topics(KafkaAccess(stack.kafka_addr), PARTITIONS + 1)


def test_topics_are_made_again_after_their_deletion(own: Stack) -> None:
    own.up()
    create_topics(KafkaAccess(own.kafka_addr), PARTITIONS)
    delete_topics(KafkaAccess(own.kafka_addr))
    assert {row.partitions for row in check_topics(KafkaAccess(own.kafka_addr), PARTITIONS)} == {0}
    assert set(create_topics(KafkaAccess(own.kafka_addr), PARTITIONS)) == set(TOPICS)


def test_the_commands_say_what_runs(loyalty: Callable[..., "subprocess.CompletedProcess[str]"]) -> None:
    status = loyalty("stack", "status", "--json")
    assert status.returncode == 0, status.stderr
    assert [json.loads(line)["state"] for line in status.stdout.splitlines()] == ["running", "running"]
    created = loyalty("topics", "create", "--json")
    assert created.returncode == 0, created.stderr
    assert {json.loads(line)["state"] for line in created.stdout.splitlines()} == {"there"}
    doctor = loyalty("doctor", "--json")
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    elsewhere = loyalty("doctor", "--json", LOYALTY_PARTITIONS="3")
    assert elsewhere.returncode == 1


def test_up_and_down_by_command(loyalty: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path: Path) -> None:
    """Servers outlive the command that started them, and die by the other."""
    where = {
        "LOYALTY_DATA_DIR": str(tmp_path),
        "LOYALTY_KAFKA": f"127.0.0.1:{free_port()}",
        "LOYALTY_REDIS": f"127.0.0.1:{free_port()}",
    }
    try:
        up = loyalty("stack", "up", "--json", **where)
        assert up.returncode == 0, up.stderr
        running = [json.loads(line)["pid"] for line in up.stdout.splitlines()]
        assert all(os.getsid(pid) == pid for pid in running)
    finally:
        down = loyalty("stack", "down", **where)
    assert down.returncode == 0, down.stderr
    assert [started_at(pid) for pid in running] == [None, None]
    assert loyalty("stack", "status", **where).returncode == 1


def test_a_deaf_server_is_killed_at_the_deadline(own: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    own.up()
    pid = own.redis.daemon.pid()
    assert pid
    own.kill_redis(signal.SIGSTOP)  # a stopped process keeps its SIGTERM waiting
    monkeypatch.setattr("infra.localstack.redis.STOP_SECONDS", 0.3)
    lines = heard(own)
    own.down()
    assert started_at(pid) is None
    assert any("SIGTERM; killed" in line for line in lines)


def _redis(stack: Stack, *words: str) -> str:
    with socket.create_connection((stack.redis.host, stack.redis.port), timeout=5) as link:
        link.sendall(" ".join(words).encode() + b"\r\n")
        return link.recv(4096).decode()
