"""The documentation site: built strictly, every link leads somewhere, nothing is loaded from elsewhere."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from schemas.topics import TOPICS
from streams.cli import TABLE
from streams.settings import SPECS
from tests.conftest import ROOT

LOADS = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}
"""What a browser fetches by itself, by tag. `rel=canonical` would be listed too: there is none."""


class Page(HTMLParser):
    """What a page loads, links to, and may be linked to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if given.get("id"):
            self.ids.add(str(given["id"]))
        if (where := given.get(LOADS.get(tag, ""))) and where:
            self.loads.append(where)
        if tag == "a" and given.get("href"):
            self.links.append(str(given["href"]))


def build(config: Path, to: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(config), "--site-dir", str(to)],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Page]:
    """The pages of the site by their paths, as just built."""
    if importlib.util.find_spec("mkdocs") is None:
        assert not os.environ.get("CI"), ".ci/run installs it: make .venv/.installed-docs"
        pytest.skip("needs mkdocs: make docs")
    to = tmp_path_factory.mktemp("site")
    done = build(ROOT / "mkdocs.yml", to)
    assert done.returncode == 0, done.stdout + done.stderr
    return {path: Page(path) for path in to.rglob("*.html") if path.name != "404.html"}


def test_every_link_leads_to_a_file_and_its_place(site: dict[Path, Page]) -> None:
    broken = []
    seen = 0
    for path, page in site.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            seen += 1
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                broken.append(f"{path.name}: {link}")
            elif parts.fragment and target in site and unquote(parts.fragment) not in site[target].ids:
                broken.append(f"{path.name}: {link} (no such place)")
    assert seen > 500
    assert broken == []


def test_nothing_is_loaded_from_elsewhere(site: dict[Path, Page]) -> None:
    loaded = {(path.name, where) for path, page in site.items() for where in page.loads}
    assert len(loaded) > 50
    assert [one for one in loaded if urlsplit(one[1]).scheme or one[1].startswith("//")] == []
    root = next(path for path in site if path.name == "index.html" and (path.parent / "reference").is_dir()).parent
    styles = [path for path in root.rglob("*.css") if re.search(r"url\([\"']?(https?:)?//", path.read_text("utf-8"))]
    assert styles == []


def test_the_reference_has_every_topic_command_and_setting(site: dict[Path, Page]) -> None:
    texts = {path.stem: path.read_text("utf-8") for path in site if path.parent.name == "reference"}
    assert set(texts) == {"schemas", "policy", "settings", "metrics", "commands"}
    assert all(f"<code>{topic}</code>" in texts["schemas"] for topic in TOPICS)
    assert all(f"loyalty {entry.name}" in texts["commands"] for entry in TABLE)
    assert all(spec.name in texts["settings"] for spec in SPECS)
    assert "loyalty_event_latency_seconds" in texts["metrics"]
    assert "min_value_365d" in texts["policy"]
    assert not [name for name, text in texts.items() if str(ROOT) in text], "a path of this machine is on the page"


@pytest.mark.usefixtures("site")
def test_a_broken_link_ends_the_build(tmp_path: Path) -> None:
    for name in ("mkdocs.yml", "infra", "schemas", "streams", "processors", "sinks"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "docs", tmp_path / "docs", ignore=shutil.ignore_patterns("node_modules"))
    shutil.copytree(ROOT / "tests" / "site", tmp_path / "tests" / "site")
    config = tmp_path / "mkdocs.yml"
    text = config.read_text()
    config.unlink()
    config.write_text(text)
    with (tmp_path / "docs" / "index.md").open("a") as page:
        page.write("\nSee [this](no-such-page.md).\n")
    done = build(config, tmp_path / "site")
    assert done.returncode != 0
    assert "no-such-page.md" in done.stdout + done.stderr


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(
    ("page", "link", "leads_to"),
    [
        ("use/care.md", "../security.md", ("page", "security.md")),
        ("use/care.md", "../examples", ("page", "examples/README.md")),
        ("use/care.md", "../../infra/policy.toml", ("source", "infra/policy.toml")),
        ("use/care.md", "../../schemas", ("page", "reference/schemas.md")),
        ("security.md", "../infra/helm", ("page", "source/infra/helm/index.md")),
    ],
)
def test_a_link_of_the_repository_leads_to_a_page_of_the_site(page: str, link: str, leads_to: tuple[str, str]) -> None:
    from tests.site.hooks import _resolved

    assert _resolved(page, link) == leads_to
