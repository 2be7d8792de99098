"""The house of CONTRIBUTING.md, held: arrows between folders, who may import what, where names are spelled, sizes.

A rule that is broken names file, line and the way out. Each detector is also shown something that breaks it, so that
none of them passes because it is blind.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from schemas.topics import TOPICS

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("streams", "sinks", "schemas", "processors", "infra")
MODULE_LINES_MAX = 450
FUNCTION_LINES_MAX = 70

STUDY = ("processors/fitting.py", "streams/study/")
"""What `loyalty fit` and `loyalty evaluate` need besides: never on a worker's path."""

MAY_IMPORT: Mapping[str, tuple[str, ...]] = {
    "faust": ("streams/transport.py", "streams/app.py"),
    "mode": ("streams/transport.py", "streams/app.py"),
    "redis": ("sinks/", "infra/localstack/"),
    "zoneinfo": ("processors/days.py",),
    "fastavro": ("schemas/",),
    "avro": ("schemas/",),
    "infra": ("streams/cli/", "infra/"),
    "prometheus_client": ("sinks/", "streams/"),
    "rich": ("streams/cli/output.py",),
    "argparse": ("streams/cli/",),
    "numpy": STUDY,
    "scipy": STUDY,
    "sklearn": STUDY,
    "matplotlib": STUDY,
    "opentelemetry": ("streams/spans.py",),
}
"""Who may import what: a module, or everything in a folder (ends with a slash)."""

WORDS_TOO = frozenset({"customers", "complaints", "contacts", "purchases", "ticks", "told", "relay", "policies"})
"""Topic names that are plain words as well: commands, columns and fields. Checked where a topic is meant only."""

COMMANDS_OF_THAT_NAME = {("streams/cli/__init__.py", "dead-letters")}

KEY_PARTS = re.compile(r":(customer|state|due|fence|outbox|kpi|values|meta)(:|$)|\{p\}:")
WALL_CLOCK = frozenset(
    {
        "time.time",
        "time.time_ns",
        "datetime.now",
        "datetime.utcnow",
        "datetime.today",
        "date.today",
        "datetime.datetime.now",
    }
)
NO_CLOCK = ("processors/", "streams/partition.py", "streams/time_order.py", "streams/plan.py")
MACHINE = re.compile(
    r"/(work|tmp|home|root|opt|Users)/\w|"
    + r"(files\.pythonhosted|pypi|repo1?\.maven|repo\.maven|registry\.npmjs|crates)\.\w+"
)


def modules() -> list[Path]:
    return sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def allowed(name: str, places: tuple[str, ...]) -> bool:
    return any(name == place or (place.endswith("/") and name.startswith(place)) for place in places)


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and top-level name of each import, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module.partition(".")[0]


def literals(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and text of each string that is not a docstring; the fixed parts of an f-string too."""
    described = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in described:
            yield node.lineno, node.value


def foreign_imports(name: str, tree: ast.AST) -> Iterator[str]:
    for line, what in imported(tree):
        if what in MAY_IMPORT and not allowed(name, MAY_IMPORT[what]):
            yield f"{name}:{line} imports {what}; only {', '.join(MAY_IMPORT[what])} may"


def topic_names(name: str, tree: ast.AST) -> Iterator[str]:
    if name == "schemas/topics.py":
        return
    for line, text in literals(tree):
        if text in TOPICS and text not in WORDS_TOO and (name, text) not in COMMANDS_OF_THAT_NAME:
            yield f"{name}:{line} spells the topic {text!r}; take it from schemas/topics.py"
    for line, text in topics_by_argument(tree):
        yield f"{name}:{line} spells the topic {text!r}; take it from schemas/topics.py"


def topics_by_argument(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Topic names given to something that takes a topic: `topic="…"`, `…["…"]` of TOPICS, `x.topic == "…"`."""
    for node in ast.walk(tree):
        given: list[ast.expr] = []
        if isinstance(node, ast.keyword) and node.arg == "topic":
            given = [node.value]
        elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "TOPICS":
            given = [node.slice]
        elif isinstance(node, ast.Compare) and getattr(node.left, "attr", getattr(node.left, "id", "")) == "topic":
            given = node.comparators
        for value in given:
            if isinstance(value, ast.Constant) and value.value in TOPICS:
                yield value.lineno, str(value.value)


def redis_keys(name: str, tree: ast.AST) -> Iterator[str]:
    if name != "sinks/keys.py":
        for line, text in literals(tree):
            if KEY_PARTS.search(text) and " " not in text:
                yield f"{name}:{line} spells the Redis key {text!r}; take it from sinks/keys.py"


def prints(name: str, tree: ast.AST) -> Iterator[str]:
    if name != "streams/cli/output.py":
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                yield f"{name}:{node.lineno} prints; hand it to streams/cli/output.py"


def wall_clock(name: str, tree: ast.AST) -> Iterator[str]:
    if allowed(name, NO_CLOCK):
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in WALL_CLOCK:
                yield f"{name}:{node.lineno} reads the wall clock; time is an argument here"
            if isinstance(node, ast.ImportFrom) and node.module == "time":
                yield f"{name}:{node.lineno} imports from time; time is an argument here"


def environment(name: str, tree: ast.AST) -> Iterator[str]:
    if name != "streams/settings.py" and not name.startswith(("streams/cli/", "infra/")):
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "os.getenv"):
                yield f"{name}:{node.lineno} reads the environment; settings are an argument"


def client_options(name: str, tree: ast.AST) -> Iterator[str]:
    if name != "sinks/access.py" and not name.startswith("infra/"):
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg == "bootstrap_servers":
                yield f"{name}:{node.value.lineno} names Kafka's servers without a login; take KafkaAccess.options()"
        for line, text in literals(tree):
            if text in ("bootstrap_servers", "sasl_plain_password", "security_protocol"):
                yield f"{name}:{line} spells {text!r}; take KafkaAccess.options()"


def long_functions(name: str, tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = (node.end_lineno or 0) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield f"{name}:{node.lineno} {node.name} has {lines} lines, {FUNCTION_LINES_MAX} at most: divide it"


def no_docstring(name: str, tree: ast.Module) -> Iterator[str]:
    if tree.body and not ast.get_docstring(tree):
        yield f"{name}:1 has no docstring: say what the file is for"


Rule = Callable[[str, ast.Module], Iterator[str]]
RULES: tuple[tuple[Rule, str, str], ...] = (
    (foreign_imports, "sinks/x.py", "def late():\n    import faust.app"),
    (foreign_imports, "processors/x.py", "from redis.asyncio import Redis"),
    (foreign_imports, "streams/x.py", "import infra.localstack"),
    (foreign_imports, "processors/x.py", "import numpy as np"),
    (topic_names, "sinks/x.py", "send('tier-changes')"),
    (topic_names, "streams/x.py", "if record.topic == 'purchases': pass"),
    (topic_names, "streams/x.py", "send(topic='told')"),
    (redis_keys, "sinks/x.py", "key = f'{prefix}:{p}:due'"),
    (redis_keys, "sinks/x.py", "key = f'{prefix}:{{{p}}}:customer:{who}'"),
    (prints, "sinks/x.py", "print('here')"),
    (wall_clock, "processors/x.py", "import time\nnow = time.time()"),
    (wall_clock, "streams/partition.py", "from datetime import datetime\nnow = datetime.now()"),
    (environment, "sinks/x.py", "import os\nhome = os.environ['HOME']"),
    (client_options, "streams/x.py", "KafkaConsumer(bootstrap_servers=kafka)"),
    (client_options, "sinks/x.py", "made = {'bootstrap_servers': kafka}"),
    (long_functions, "sinks/x.py", "def f():\n" + "    pass\n" * 80),
    (no_docstring, "sinks/x.py", "x = 1"),
)


@pytest.mark.parametrize("rule", sorted({rule for rule, _, _ in RULES}, key=lambda rule: rule.__name__))
def test_no_module_breaks(rule: Rule) -> None:
    broken = [line for path in modules() for line in rule(name_of(path), ast.parse(path.read_text()))]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize(("rule", "name", "code"), RULES)
def test_the_detector_sees(rule: Rule, name: str, code: str) -> None:
    assert list(rule(name, ast.parse(code)))


def test_arrows_between_the_folders() -> None:
    """Contracts in pyproject.toml, checked by import-linter."""
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_module_is_long() -> None:
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in modules()}
    too_long = {name: lines for name, lines in lengths.items() if lines > MODULE_LINES_MAX}
    assert not too_long, f"{MODULE_LINES_MAX} lines at most: divide {too_long}"


def test_a_script_in_redis_spells_no_key() -> None:
    """Keys are given to a script, so that one hash tag covers them and the prefix is a setting."""
    scripts = sorted((ROOT / "sinks").rglob("*.lua"))
    assert scripts
    broken = [name_of(path) for path in scripts if "loyalty:" in re.sub(r"--.*", "", path.read_text())]
    assert not broken


def tracked() -> list[Path]:
    told = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    assert told.returncode == 0, "this looks at what git tracks: run it in a checkout"
    return [path for name in told.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]


def test_no_file_names_a_machine_or_a_registry() -> None:
    broken = []
    for path in tracked():
        if path == Path(__file__) or path.suffix in (".avro", ".parquet", ".png"):
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if (found := MACHINE.search(line)) and not line.lstrip().startswith("#!"):
                broken.append(f"{name_of(path)}:{number} has {found[0]!r}: take a relative path or a setting")
    assert not broken, "\n".join(broken)


def test_the_detector_of_machines_sees() -> None:
    host = ".".join(("pypi", "org"))
    assert MACHINE.search("see " + "/".join(("", "home", "anna", "x")))
    assert MACHINE.search(f"from {host}")
    assert not MACHINE.search("a/work of /metrics and tmp_path / 'x'")


def test_a_worker_loads_nothing_of_what_studies_need() -> None:
    code = "import sys, streams.app, streams.worker, streams.partition; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"numpy", "scipy", "sklearn", "matplotlib"}
