"""Tests of the program; a package, so that `tests/sandbox` does not shadow `sandbox`."""
