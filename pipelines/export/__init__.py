"""The tables of a spec as files: whole or not there, typed, and of one moment."""
