"""The peers in Java: jars by their Maven coordinates, checked; compiled by Eclipse's compiler, which is a jar too."""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import time
from pathlib import Path
from typing import Final

from infra.localstack.kafka import cache_dir, java

FOLDER: Final = Path(__file__).with_name("java")
LOCK: Final = FOLDER / "jars.sha256"
COORDINATES: Final = (
    "org.apache.kafka:kafka-streams:4.4.0+org.apache.avro:avro:1.12.1+redis.clients:jedis:7.1.0"
    "+org.slf4j:slf4j-nop:1.7.36",
    "org.eclipse.jdt:ecj:3.43.0",
)
TRIES: Final = 3
RELEASE: Final = "17"


def jars() -> list[Path]:
    """All of them, exactly those that `LOCK` names."""
    import jgo

    logging.getLogger("jgo").setLevel(logging.ERROR)
    found: dict[str, Path] = {}
    for coordinates in COORDINATES:
        for left in range(TRIES - 1, -1, -1):
            try:
                loaded = jgo.build(coordinates, cache_dir=cache_dir() / "jgo").all_jars
                break
            except Exception:  # whatever a resolver and a network may raise
                if not left:
                    raise
                time.sleep(2)
        found |= {Path(jar).name: Path(jar) for jar in loaded}
    wanted = {name: mark for mark, name in (line.split() for line in LOCK.read_text().splitlines())}
    have = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in found.items()}
    if have != wanted:
        wrong = sorted(name for name in have.keys() | wanted.keys() if have.get(name) != wanted.get(name))
        raise SystemExit(f"jars are not those of {LOCK.name}: {', '.join(wrong)}")
    return sorted(found.values())


def program(name: str, out: Path, *arguments: str) -> list[str]:
    """The command that runs `name`.java, compiled into `out`."""
    path = os.pathsep.join(map(str, jars()))
    compiler = [java(), "-cp", path, "org.eclipse.jdt.internal.compiler.batch.Main", "-cp", path, "-d", str(out)]
    versions = ["-source", RELEASE, "-target", RELEASE, "-nowarn"]
    done = subprocess.run(
        [*compiler, *versions, str(FOLDER / f"{name}.java")], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{name}.java does not compile:\n{done.stdout}{done.stderr}")
    return [java(), "-Xmx1g", "-cp", f"{path}{os.pathsep}{out}", name, *arguments]
