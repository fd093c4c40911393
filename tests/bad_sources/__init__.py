"""A source that keeps every promise, and what to change in it so that it breaks one."""
