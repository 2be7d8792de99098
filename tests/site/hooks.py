"""MkDocs calls these: reference pages are added, and a link that leaves docs/ leads to a copy of its file in the site.

The pages of docs/ are read in the repository too, so their links are plain paths: to a folder, to a schema, to code. In
the site a folder is its README or a list of its files, and a file of the repository stands under `source/`. A path that
leads nowhere ends the build. A page of use/ or runbooks/ that mkdocs.yml does not name stands at its section's end.
"""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"(?<=\]\()(?!https?:|#|mailto:)([^)\s#]+)(#[^)\s]*)?(?=\))")
FOLDERS = {"schemas": "reference/schemas.md"}
"""Folders of the repository that a page of the site tells of."""

DECISIONS = "decisions/README.md"


SECTIONS = {"use": "How to", "runbooks": "Runbooks"}
"""Folders of docs/, and the section whose end their pages stand at where mkdocs.yml does not name them."""


def on_config(config: Any) -> Any:
    """Names every page of `SECTIONS` in the navigation."""
    sections = {title: pages for entry in config["nav"] for title, pages in entry.items()}
    for folder, title in SECTIONS.items():
        paths = sorted(path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs" / folder).glob("*.md"))
        missing = [path for path in paths if f"'{path}'" not in str(config["nav"])]
        if missing and title not in sections:
            sections[title] = []
            config["nav"].insert(-1, {title: sections[title]})
        if missing:
            sections[title].extend(missing)
    return config


def on_files(files: Files, config: Any) -> Files:
    """Adds the reference, and every file outside docs/ that a page links to."""
    sys.path.insert(0, str(ROOT))  # MkDocs is a program of its own and knows nothing of the project
    from tests.site.reference import PAGES

    for path, write in PAGES.items():
        files.append(File.generated(config, path, content=write()))
    wanted, folders = set(), set()
    for page in files.documentation_pages():
        for found in LINK.finditer(page.content_string):
            kind, target = _resolved(page.src_uri, found[1])
            if kind == "source":
                wanted.add(target)
            elif target.startswith("source/"):
                folders.add(target)
    for target in sorted(wanted):
        files.append(File.generated(config, f"source/{target}", abs_src_path=str(ROOT / target)))
    for target in sorted(folders):
        files.append(File.generated(config, target, content=_listing(posixpath.dirname(target))))
    return files


def _listing(target: str) -> str:
    """A page for a folder of the repository: the names of its files."""
    folder = ROOT / target.removeprefix("source/")
    paths = (path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file())
    names = [path.as_posix() for path in paths if not {"__pycache__", "node_modules"} & set(path.parts)]
    return f"# {target.removeprefix('source/')}\n\nA folder of the repository.\n\n" + "".join(
        f"- `{n}`\n" for n in names
    )


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Rewrites links as the site has them; the page of decisions lists them."""

    def rewritten(found: re.Match[str]) -> str:
        kind, target = _resolved(page.file.src_uri, found[1])
        target = f"source/{target}" if kind == "source" else target
        return posixpath.relpath(target, posixpath.dirname(page.file.src_uri) or ".") + (found[2] or "")

    if page.file.src_uri == DECISIONS:
        markdown += "\n" + "".join(_decisions())
    return LINK.sub(rewritten, markdown)


def _decisions() -> list[str]:
    found = sorted((ROOT / "docs" / "decisions").glob("0*.md"))
    return [f"- [{path.read_text('utf-8').splitlines()[0].lstrip('# ')}]({path.name})\n" for path in found]


def _resolved(page: str, link: str) -> tuple[str, str]:
    """Where a page's link leads: `page` and a path within the site, or `source` and a path within the repository."""
    path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), link))
    if link.endswith(".md") and not path.startswith("..") and page.startswith("reference/"):
        return "page", path.removeprefix("docs/")  # a generated page's: MkDocs itself looks whether it is there
    if not (ROOT / path).exists():
        raise PluginError(f"docs/{page} links to {link}: there is no {path}")
    if path.startswith("docs/"):
        if (ROOT / path).is_dir():
            path = f"{path}/README.md"
        return "page", path.removeprefix("docs/")
    if path in FOLDERS:
        return "page", FOLDERS[path]
    if (ROOT / path).is_dir():
        return "page", f"source/{path}/index.md"
    return "source", path
