"""What follows a load while its lock is held, once its rows are committed."""

from __future__ import annotations

from pipelines.coverage import claims
from pipelines.environment import Environment
from pipelines.keeping import keep_promises
from pipelines.ledger import Ledger
from pipelines.order import Order
from pipelines.report import Report
from pipelines.retention import expire
from pipelines.specs.spec import Spec
from pipelines.views import keep_views


def after_load(environment: Environment, spec: Spec, order: Order, report: Report, ledger: Ledger) -> None:
    """Do what a spec declares beside its load; only a load that went well comes here."""
    claims.record(environment, spec, report, ledger)
    keep_promises(environment, spec, order, report, ledger)
    keep_views(environment, spec, report.dataset, ledger)
    report.expired = expire(environment, spec.name, ledger)
