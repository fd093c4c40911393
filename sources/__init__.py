"""One module, or folder, per system; each knows dlt and its API and nothing of the engine.

A module reads top to bottom in this order: docstring (what, docs, auth, limits, cursor), constants,
the `@dlt.source` function named as the module, its resources in the API's order, private functions.

* Arguments are found by dlt in the configuration: a spec's `python:` block, `[sources.<name>]`,
  `SOURCES__<NAME>__<ARGUMENT>`. Building a source does no I/O.
* `base_url` is always an argument, so that a proxy or the sandbox can stand in.
* A source that can read a window has the arguments `since` and `until` (ISO 8601 with an offset, half-open).
* A module may offer `estimate(state, **arguments) -> {resource: requests}` for `etl plan`: the fewest a run will need.
* Rejected rows and failed items are yielded as notices (`sources.kit.notices`), never dropped.
"""
