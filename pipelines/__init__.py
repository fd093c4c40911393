"""The engine: a spec becomes a dlt source, one run loads it, and every run tells what it did."""
