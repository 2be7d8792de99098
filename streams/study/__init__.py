"""What is worked out from history for people who set a policy: fits, tables, plots. Never on a worker's path."""
