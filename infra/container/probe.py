"""Asks this container's worker how it is: `python infra/container/probe.py livez|readyz|metrics`.

Ends with 0 where the answer is 200, else 1 with what was said. Kubernetes and Compose could ask by HTTP themselves but
for the token, which then stood in a manifest for all to read. Needs nothing but Python; it runs every few seconds.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path

SECONDS = 4.0


def ask(path: str, environ: Mapping[str, str]) -> tuple[int, str]:
    """Status and text. Where: LOYALTY_METRICS; an address of all interfaces is asked on loopback. Raises OSError."""
    host, _, port = environ.get("LOYALTY_METRICS", "127.0.0.1:9464").rpartition(":")
    host = {"0.0.0.0": "127.0.0.1", "[::]": "::1", "": "127.0.0.1"}.get(host, host.strip("[]"))
    file = environ.get("LOYALTY_METRICS_TOKEN_FILE")
    token = Path(file).read_text("utf-8").strip() if file else environ.get("LOYALTY_METRICS_TOKEN", "")
    connection = HTTPConnection(host, int(port), timeout=SECONDS)
    try:
        connection.request("GET", f"/{path}", headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace")
    finally:
        connection.close()


def main(path: str) -> int:
    """The exit code; what is wrong goes to stderr, where the orchestrator keeps it."""
    try:
        status, text = ask(path, os.environ)
    except (OSError, HTTPException, ValueError) as error:
        status, text = 0, f"no answer: {error}"
    if status != 200:
        sys.stderr.write(f"{path}: {status or ''} {text}".rstrip() + "\n")
    return 0 if status == 200 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
