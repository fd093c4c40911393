"""Whoever is told how runs end: Prometheus, GitHub Actions, a webhook, Slack."""
