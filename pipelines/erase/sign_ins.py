"""Sign-ins that are kept in files; those in the destination are rows of `_etl.tokens`."""

from __future__ import annotations

from pipelines.erase.scope import Counts, Scope
from pipelines.tokens.files import Files

PLACE = "sign-ins"


def erase(scope: Scope) -> Counts:
    """Delete the sign-ins of accounts that are the value, or whose token names it."""
    kept, system = Files(scope.environment), scope.system
    found = {account for account, text in kept.texts(system) if any(map(scope.sought.stands_in, (account, text)))}
    for account in sorted(found) if scope.act else ():
        kept.forget(system, account)
    return {PLACE: len(found)} if found else {}
