"""Where tokens of systems that people sign in to are kept, and `etl auth`."""
