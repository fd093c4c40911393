"""What runs the specs on their schedules: GitHub Actions, cron, Cloud Run."""
