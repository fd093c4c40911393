"""Halo Infinite: the tables of matches, and how an answer of the API becomes their rows.

`tables` says which there are. `matches`, `skill`, `films` and `assets` are pure: the same answer gives the same rows,
whether it was asked for or lay in somebody's database. A page of rows may hold notices, for what is no row.
"""
