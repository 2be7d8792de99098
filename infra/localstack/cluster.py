"""A Redis Cluster of masters alone on this machine: as many servers as there are addresses, the slots shared evenly.

No replica: it shows that what works with one Redis works with a cluster, and keeps nothing when a disk is lost. The
servers remember who they are in their folders, so a cluster that was stopped comes back as it was.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import redis

from infra.localstack.process import StackError, wait_until
from infra.localstack.redis import Redis

SLOTS = 16_384
BUS = 10_000
"""A server of a cluster talks to the others on its port and this."""

PORT_MAX = 65_535 - BUS
JOIN_SECONDS = 30.0

_CONFIG = """\
cluster-enabled yes
cluster-config-file nodes.conf
cluster-node-timeout 5000
"""


def masters(
    addresses: Sequence[tuple[str, int]], folder: Path, run_dir: Path, tell: Callable[[str], None]
) -> list[Redis]:
    """The servers, not yet up. Raises StackError where a port leaves no room for the bus's."""
    for _, port in addresses:
        if port > PORT_MAX:
            raise StackError(f"LOYALTY_REDIS names port {port}: of a cluster at most {PORT_MAX}, for {BUS} above it is")
    return [
        Redis(host, port, folder / str(port), run_dir, tell, name=f"redis-{port}", more=_CONFIG)
        for host, port in addresses
    ]


def join(servers: Sequence[Redis]) -> None:
    """Make one cluster of them unless they are one; on return each finds all slots served. Raises StackError."""
    clients = [redis.Redis(host=server.host, port=server.port, decode_responses=True) for server in servers]
    try:
        if not all(_knows(client, len(servers)) for client in clients):
            _give_slots(clients)
            first = servers[0]
            for client in clients[1:]:
                client.execute_command("CLUSTER", "MEET", first.host, first.port)
        if not wait_until(lambda: all(_stands(client, len(servers)) for client in clients), JOIN_SECONDS):
            raise StackError(
                f"the {len(servers)} Redis servers have not become a cluster within {JOIN_SECONDS:.0f} s: "
                f"{_info(clients[0])}; were there other addresses before? another LOYALTY_DATA_DIR begins anew"
            )
    except (redis.RedisError, OSError) as error:
        raise StackError(f"the Redis servers did not become a cluster: {error}") from error
    finally:
        for client in clients:
            client.close()


def _give_slots(clients: Sequence[Any]) -> None:
    """An even part to each that has none, as the cluster's first, second, third, ... master."""
    number = len(clients)
    for at, client in enumerate(clients):
        if int(_info(client)["cluster_slots_assigned"]):
            continue
        client.execute_command("CLUSTER", "ADDSLOTS", *range(at * SLOTS // number, (at + 1) * SLOTS // number))
        client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", at + 1)


def _knows(client: Any, number: int) -> bool:
    return int(_info(client)["cluster_known_nodes"]) == number


def _stands(client: Any, number: int) -> bool:
    info = _info(client)
    return info["cluster_state"] == "ok" and int(info["cluster_size"]) == number


def _info(client: Any) -> dict[str, str]:
    told = client.execute_command("CLUSTER", "INFO")
    lines = told.items() if isinstance(told, dict) else (line.split(":", 1) for line in told.split() if ":" in line)
    return dict(lines)
