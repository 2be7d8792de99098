"""What runs around the system: the local stack, policies, deployment files."""
