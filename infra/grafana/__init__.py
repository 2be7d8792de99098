"""Grafana dashboards as code: `python -m infra.grafana` writes the JSON files beside this one anew."""
