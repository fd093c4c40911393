"""dlt's JSON normaliser by columns. The rule: a fast gear never changes a schema.

Tables, names, types, variants, link columns, contracts and errors are dlt's. A page takes the first gear that fits:

* arrow: every value has a column and fits it; Arrow parses and cuts, the types are forced by dlt's schema.
* dicts: the same plan over parsed rows, for mixed types, json columns and variants that exist.
* rows: whatever is new or odd, halved down to a few rows, goes through dlt's own code, which may change the schema.

Read `shape` (what the JSON looks like), `plan` (how tables are cut out of it), `arrow_rows` and `dict_rows` (the
gears), `fit` (values into columns), `cut` (rows and link columns), `normalizer` (which gear), `hook` (how dlt finds
it), and `rules`, where every question to dlt's own code is asked.
"""

from pipelines.columnar.hook import columnar

__all__ = ["columnar"]
