"""Benchmarks: this engine, stock dlt and the floor, side by side in one run; `make bench`."""
