"""Real Kafka and real Redis on this machine, from Python packages alone: no container, no root, no system package.

Stands apart: it imports nothing of the project, and `streams/cli` alone (and the tests) call it. Linux and macOS.
"""

from infra.localstack.process import StackError
from infra.localstack.secure import Secure, is_secure
from infra.localstack.stack import Stack

__all__ = ["Secure", "Stack", "StackError", "is_secure"]
