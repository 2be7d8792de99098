"""The command line itself: every command has help and what the table promises; exit codes; who gets which stream."""

import io
import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from streams import cli
from streams.cli import TABLE, Entry, main
from streams.cli.output import Output

HEAVY = ("faust", "aiokafka", "kafka", "redis", "rich", "pyarrow", "fastavro")


def there(entry: Entry) -> bool:
    return (Path(cli.__file__).parent / f"{entry.module}.py").exists()


@pytest.mark.parametrize("entry", TABLE, ids=lambda entry: entry.name)
def test_every_command_has_help(entry: Entry, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*entry.name.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"usage: loyalty {entry.name}" in shown
    assert "--json" in shown
    assert cli.load(entry).help == entry.help


def test_no_module_has_a_command_that_the_table_lacks() -> None:
    for module in {entry.module for entry in TABLE}:
        names = {entry.name for entry in TABLE if entry.module == module}
        entry = next(entry for entry in TABLE if entry.module == module)
        cli.load(entry)
        assert {command.name for command in sys.modules[f"streams.cli.{module}"].COMMANDS} == names


def test_help_is_quick_because_it_imports_nothing_heavy() -> None:
    code = "import sys; from streams.cli import main; main(['--help']); print(sorted({*sys.argv[1:]} & {*sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code, *HEAVY], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert all(f"{entry.name.split()[0]} " in done.stdout or f"{entry.name}\n" in done.stdout for entry in TABLE)


@pytest.mark.parametrize("argv", [[], ["stack"], ["nonsense"], ["stack", "sideways"], ["stack", "up", "--fast"]])
def test_wrong_usage_ends_with_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    assert "usage: loyalty" in "".join(capsys.readouterr())


def test_a_bad_setting_ends_with_2_and_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOYALTY_KAFKA", "nowhere")
    assert main(["stack", "status"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("loyalty: LOYALTY_KAFKA is 'nowhere': ")
    assert shown.err.count("\n") == 1


def test_a_stack_beyond_this_machine_is_refused_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("LOYALTY_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("LOYALTY_KAFKA", "10.0.0.1:9092")
    assert main(["stack", "up"]) == 1
    assert "not a loopback address" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_doctor_tells_silent_servers_and_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("LOYALTY_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("LOYALTY_KAFKA", "127.0.0.1:1")
    monkeypatch.setenv("LOYALTY_REDIS", "127.0.0.1:2")
    monkeypatch.setenv("LOYALTY_ERASE_KEY", "a secret")
    assert main(["doctor", "--json"]) == 1
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    wrong = {row["what"]: row["wrong"] for row in rows if row.get("wrong")}
    assert set(wrong) == {"kafka", "redis"}
    assert all("loyalty stack up" in text for text in wrong.values())


@pytest.mark.parametrize("argv", [["--json", "x"], ["x", "--json"]])
def test_json_stands_before_or_behind_the_command(argv: list[str]) -> None:
    words = ["doctor" if word == "x" else word for word in argv]
    assert cli.parser(("doctor",)).parse_args(words).json is True


def test_with_json_stdout_is_objects_alone() -> None:
    stdout, stderr = io.StringIO(), io.StringIO()
    out = Output(as_json=True, stdout=stdout, stderr=stderr)
    out.say("hello")
    out.table([{"name": "安娜", "seen": {"b", "a"}, "raw": b"\xff"}], title="t")
    out.record({"x": None})
    with out.progress("work", 2) as bar:
        bar.advance(2)
    assert [json.loads(line) for line in stdout.getvalue().splitlines()] == [
        {"name": "安娜", "seen": ["a", "b"], "raw": "\\xff"},
        {"x": None},
    ]
    assert stderr.getvalue() == "hello\n"


def test_without_a_terminal_progress_is_lines_and_a_table_is_plain() -> None:
    stdout, stderr = io.StringIO(), io.StringIO()
    out = Output(stdout=stdout, stderr=stderr)
    with out.progress("import", 100) as bar:
        for _ in range(100):
            bar.advance()
    out.table([{"tier": "gold", "customers": 12_345, "share": 0.25}, {"tier": "[red]", "customers": 1, "share": None}])
    assert stderr.getvalue().splitlines()[-1] == "import: 100 of 100"
    assert len(stderr.getvalue().splitlines()) == 10
    assert "12,345" in stdout.getvalue()
    assert "[red]" in stdout.getvalue()
    assert "\x1b" not in stdout.getvalue()


def test_an_empty_table_says_so() -> None:
    stdout = io.StringIO()
    Output(stdout=stdout).table([], title="dead letters")
    assert stdout.getvalue() == "dead letters: none\n"
    assert Output.of(Namespace()).as_json is False
