"""The cases; one file per idea, each with its `CASES`."""
