"""`python -m infra.grafana`: write every dashboard's file anew."""

from infra.grafana.dashboards import write_all

write_all()
