"""Loopback stand-ins of every upstream: real HTTP, seeded data, faults on demand."""
