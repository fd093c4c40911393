"""Coverage: what each day, month or item of a table should have, has, and how to fill what is missing."""
