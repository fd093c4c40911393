"""Specs: YAML with marks, one model, its messages and what is generated from it."""
