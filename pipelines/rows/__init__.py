"""The guard before every load: what a row must be, and where one goes that is not."""
