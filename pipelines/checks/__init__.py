"""Promises about loaded tables: each one a query that must find nothing, or one value that is judged."""
