"""Grafana dashboards as code: `python -m helm.dashboards` writes them where the chart finds them."""
