"""Tests of the columnar normaliser."""
