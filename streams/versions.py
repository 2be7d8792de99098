"""What runs here against what the project asks for: Python, and each package that it names."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

PROJECT = "loyalty"
WAY_OUT = "run `make install`"


def python_wrong() -> str:
    """What is wrong with this Python; empty: nothing."""
    try:
        wanted = metadata(PROJECT)["Requires-Python"] or ""
    except PackageNotFoundError:
        return ""
    here = platform.python_version()
    return "" if SpecifierSet(wanted).contains(here, prereleases=True) else f"needs {wanted}: {WAY_OUT} with such a one"


def packages() -> tuple[int, list[str]]:
    """How many packages the project names for a worker, and a line for each that is missing or another version."""
    try:
        wanted = requires(PROJECT) or []
    except PackageNotFoundError:
        return 0, [f"{PROJECT} itself is not installed: {WAY_OUT}"]
    return compared(wanted, version)


def compared(wanted: Iterable[str], have: Callable[[str], str]) -> tuple[int, list[str]]:
    """As `packages`. wanted: as package metadata names them; have: the version of a name, or PackageNotFoundError."""
    number, lines = 0, []
    for requirement in map(Requirement, wanted):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        number += 1
        try:
            found = have(requirement.name)
        except PackageNotFoundError:
            lines.append(f"{requirement.name} is missing: {WAY_OUT}")
            continue
        if not requirement.specifier.contains(found, prereleases=True):
            lines.append(f"{requirement.name} is {found}, needs {requirement.specifier}: {WAY_OUT}")
    return number, lines
