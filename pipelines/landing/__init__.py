"""Raw files between the upstream and the warehouse: fetched once, ingested, archived, and the tables made from them.

Read `manifest` (what one fetch left), `store` (where it lies), `writer` and `reader` (rows into files and back),
then `fetch`, `ingest` and `rebuild`, each of which is one verb; `position` is what the warehouse knows of it.
"""
