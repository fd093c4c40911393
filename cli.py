"""The command line: one command is one call into `pipelines`; dlt is imported inside commands only."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from pipelines import program
from pipelines.program import session

app = typer.Typer(
    name="etl",
    help="Declarative pipelines on dlt: specs in, tables out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)
state_app = typer.Typer(help="Show or reset what a pipeline remembers.", no_args_is_help=True)
quarantine_app = typer.Typer(
    help="Look at rows that were not loaded, load them after all, or drop them.", no_args_is_help=True
)
deploy_app = typer.Typer(help="Write what runs the specs on their schedules.", no_args_is_help=True)
app.add_typer(state_app, name="state")
app.add_typer(quarantine_app, name="quarantine")
auth_app = typer.Typer(help="Sign in to systems, and see who is signed in.", no_args_is_help=True)
app.add_typer(auth_app, name="auth")
app.add_typer(deploy_app, name="deploy")
files_app = typer.Typer(help="Look at the files that were moved, and see to those that were not.", no_args_is_help=True)
app.add_typer(files_app, name="files")
serve_app = typer.Typer(invoke_without_command=True)
app.add_typer(serve_app, name="serve")
devices_app = typer.Typer(help="Register recorders, and say who may send.", no_args_is_help=True)
serve_app.add_typer(devices_app, name="devices")

Env = Annotated[str, typer.Option("--env", "-e", envvar="ETL_ENV", help="Environment of destinations.toml.")]
Names = Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Specs by name.", show_default=False)]
Name = Annotated[str, typer.Argument(metavar="NAME", help="A spec by name.")]
OneOrAll = Annotated[
    str | None, typer.Argument(metavar="[NAME]", help="A spec by name; all otherwise.", show_default=False)
]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="As etl quarantine list shows them.")]
Output = Annotated[str, typer.Option("--output", "-o", help="text or json.")]
Select = Annotated[
    list[str] | None,
    typer.Option("--select", "-s", "--data-types", help="Only these resources: names or globs, comma-separated."),
]
Exclude = Annotated[
    list[str] | None, typer.Option("--exclude", help="All but these resources; of files, the table of their receipts.")
]
Service = Annotated[list[str] | None, typer.Option("--service", help="Another way to name specs, comma-separated.")]
Since = Annotated[str | None, typer.Option("--since", help="Start of a half-open window, in the spec's zone.")]
Until = Annotated[str | None, typer.Option("--until", help="End of the window, not included.")]
Days = Annotated[int | None, typer.Option("--days", help="Since that many days ago.")]
Limit = Annotated[
    int | None,
    typer.Option("--limit", "-l", help="At most N rows per resource, the cursor stays; of files the next N."),
]
Prefix = Annotated[str | None, typer.Option("--prefix", help="Only objects whose keys begin so.")]
With = Annotated[list[str] | None, typer.Option("--with", help="An argument of the source: key=value.")]
Everything = Annotated[bool, typer.Option("--all", help="Every spec.")]
RunId = Annotated[str | None, typer.Option("--run-id", help="Name of this run; a ULID otherwise.")]
Wait = Annotated[str | None, typer.Option("--wait", help="Wait for another run to end, e.g. 10m.")]
Resource = Annotated[str | None, typer.Option("--resource", help="Only this resource.")]
Account = Annotated[str, typer.Option("--account", help="One of several accounts; any name.", show_default=False)]
Deployed = Annotated[str, typer.Option("--env", "-e", help="Environment that the schedules load into.")]
Minutes = Annotated[int, typer.Option("--timeout-minutes", min=1, help="A run that takes longer is stopped.")]
Only = Annotated[
    list[str] | None, typer.Option("--only", help="Only these files: ids, or what else the source calls them.")
]
Transfers = Annotated[int | None, typer.Option("--transfers", help="Files moved at once.")]
Bwlimit = Annotated[str | None, typer.Option("--bwlimit", help="Bytes a second for all files, e.g. 500K or 10M.")]
Failed = Annotated[bool, typer.Option("--failed", help="Only files that failed, and now, whatever their next try.")]
SkipFailed = Annotated[bool, typer.Option("--skip-failed", help="No file that failed before, be it due.")]
Device = Annotated[str, typer.Argument(metavar="DEVICE", help="A device by its UUID.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before a destructive act.")]
IfProtected = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, as protected environments do.")]


@app.callback()
def settings(
    root: Annotated[Path | None, typer.Option("--root", envvar="ETL_ROOT", help="Workspace folder.")] = None,
    debug: Annotated[bool, typer.Option("--debug", envvar="ETL_DEBUG", help="Show stack traces.")] = False,
    log_format: Annotated[str, typer.Option("--log-format", envvar="ETL_LOG_FORMAT", help="text or json.")] = "text",
    log_level: Annotated[str, typer.Option("--log-level", envvar="ETL_LOG_LEVEL", help="debug … error.")] = "warning",
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=lambda given: given and print_version())
    ] = False,
) -> None:
    """Options of every command; they may also stand after it."""
    from pipelines import logs

    one_of("--log-format", log_format, ("text", "json"))
    one_of("--log-level", log_level.lower(), logs.LEVELS)
    logs.configure(log_format, log_level)
    session.root, session.debug = root, debug


@app.command()
def run(
    names: Names = None,
    env: Env = "dev",
    everything: Everything = False,
    service: Service = None,
    select: Select = None,
    exclude: Exclude = None,
    since: Since = None,
    until: Until = None,
    days: Days = None,
    limit: Limit = None,
    full_refresh: Annotated[bool, typer.Option("--full-refresh", help="Drop the tables and read all again.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only say what a run would do.")] = False,
    mode: Annotated[str, typer.Option("--mode", help="incr, backfill (all again, cursor kept) or dry.")] = "incr",
    run_id: RunId = None,
    max_retry: Annotated[int | None, typer.Option("--max-retry", help="Retries per request.")] = None,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop at the first spec that is not ok.")] = False,
    wait: Wait = None,
    values: With = None,
    only: Only = None,
    failed: Failed = False,
    skip_failed: SkipFailed = False,
    transfers: Transfers = None,
    bwlimit: Bwlimit = None,
    metrics_file: Annotated[
        Path | None,
        typer.Option("--metrics-file", envvar="ETL_METRICS_FILE", help="Prometheus metrics, after each run."),
    ] = None,
    yes: IfProtected = False,
    output: Output = "text",
) -> None:
    """Load specs into the environment's warehouse."""
    from pipelines import commands
    from pipelines.telling.telling import mistakes_told

    one_of("--mode", mode, ("incr", "backfill", "dry"))
    order = commands.order(
        select=listed(select), exclude=listed(exclude), since=commands.begin(root(), env, since, days), until=until,
        limit=limit, full_refresh=full_refresh, mode=mode, run_id=run_id, max_retry=max_retry, fail_fast=fail_fast,
        wait=wait, values=values, only=listed(only), failed=failed, skip_failed=skip_failed, transfers=transfers,
        bwlimit=bwlimit,
    )  # fmt: skip
    wanted = [*listed(names), *listed(service)]
    if dry_run or mode == "dry":
        chosen = commands.specs(root(), wanted, everything, order.select)
        finish(commands.plan(root(), env, chosen, order, printer(output)))
    else:
        with mistakes_told(root(), env):
            chosen = commands.specs(root(), wanted, everything, order.select)
        commands.confirm(root(), env, full_refresh and "--full-refresh drops and reloads tables", yes)
        finish(commands.run(root(), env, chosen, order, printer(output), session.debug, metrics_file))


@app.command()
def fetch(
    names: Names = None, env: Env = "dev", everything: Everything = False, service: Service = None,
    select: Select = None, exclude: Exclude = None, since: Since = None, until: Until = None, days: Days = None,
    limit: Limit = None,
    to: Annotated[str | None, typer.Option("--to", help="Another folder or bucket; the cursor stays.")] = None,
    run_id: RunId = None, wait: Wait = None, values: With = None, output: Output = "text",
) -> None:  # fmt: skip
    """Read upstreams into raw files, to be ingested later."""
    from pipelines import commands

    order = commands.order(
        verb="fetch", select=listed(select), exclude=listed(exclude), since=commands.begin(root(), env, since, days),
        until=until, limit=limit, to=to, run_id=run_id, wait=wait, values=values,
    )  # fmt: skip
    chosen = commands.specs(root(), [*listed(names), *listed(service)], everything, order.select)
    finish(commands.run(root(), env, chosen, order, printer(output), session.debug))


@app.command()
def ingest(
    names: Names = None, env: Env = "dev", everything: Everything = False, service: Service = None,
    select: Select = None, exclude: Exclude = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only list what would be loaded.")] = False,
    run_id: RunId = None, wait: Wait = None, output: Output = "text",
) -> None:  # fmt: skip
    """Load raw files that wait, then archive them; asks no upstream."""
    from pipelines import commands

    order = commands.order(verb="ingest", select=listed(select), exclude=listed(exclude), run_id=run_id, wait=wait)
    chosen = commands.specs(root(), [*listed(names), *listed(service)], everything, order.select)
    if dry_run:
        finish(commands.waiting(root(), env, chosen, order, printer(output)))
    finish(commands.run(root(), env, chosen, order, printer(output), session.debug))


@app.command()
def rebuild(
    names: Names = None, env: Env = "dev", service: Service = None,
    drop_direct: Annotated[
        bool, typer.Option("--drop-direct", help="Give up rows that no raw file holds any more, or ever did.")
    ] = False,
    run_id: RunId = None, wait: Wait = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask, as protected environments do, and --drop-direct anywhere.")
    ] = False,
    output: Output = "text",
) -> None:  # fmt: skip
    """Make the tables again from the archived raw files; asks no upstream."""
    from pipelines import commands

    order = commands.order(verb="rebuild", drop_direct=drop_direct, run_id=run_id, wait=wait)
    chosen = commands.specs(root(), [*listed(names), *listed(service)], False)
    what = "--drop-direct gives up rows for good" if drop_direct else "rebuild drops tables and loads them again"
    commands.confirm(root(), env, what, yes, always=drop_direct)
    finish(commands.run(root(), env, chosen, order, printer(output), session.debug))


@app.command()
def plan(
    names: Names = None, env: Env = "dev", service: Service = None, select: Select = None, exclude: Exclude = None,
    since: Since = None, until: Until = None, days: Days = None, limit: Limit = None, values: With = None,
    only: Only = None, failed: Failed = False, skip_failed: SkipFailed = False, output: Output = "text",
) -> None:  # fmt: skip
    """Say what a run would do; asks no upstream and writes nothing."""
    from pipelines import commands

    order = commands.order(
        select=listed(select), exclude=listed(exclude), since=commands.begin(root(), env, since, days), until=until,
        limit=limit, values=values, only=listed(only), failed=failed, skip_failed=skip_failed,
    )  # fmt: skip
    chosen = commands.specs(root(), [*listed(names), *listed(service)], not names and not service, order.select)
    finish(commands.plan(root(), env, chosen, order, printer(output)))


@app.command()
def validate(names: Names = None, output: Output = "text") -> None:
    """Check specs; each mistake with file, line, column and what to do."""
    from pipelines import commands

    finish(commands.validate(root(), listed(names), printer(output)))


@app.command()
def schema(
    write: Annotated[
        bool, typer.Option("--write", help="Write the schemas, docs/spec.md and docs/sources.md.")
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Fail when they are stale.")] = False,
) -> None:
    """Print the JSON Schema of specs, for editors."""
    from pipelines import commands

    finish(commands.schema(root(), write, check))


@app.command(name="list")
def list_(
    types: Annotated[bool, typer.Option("--types", help="With the resources of each.")] = False,
    output: Output = "text",
) -> None:
    """List the specs of the workspace."""
    from pipelines import listing

    finish(listing.show(root(), types, printer(output)))


@app.command()
def new(name: Name) -> None:
    """Write a green skeleton: spec, source and sandbox stand-in."""
    from pipelines import scaffold

    finish(scaffold.create(root(), name))


@app.command()
def doctor(env: Env = "dev", output: Output = "text") -> None:
    """Check destination, buckets, secrets, clock and versions; each line OK or FAIL and what to do."""
    from pipelines import doctor as check

    finish(check.examine(root(), env, printer(output)))


@app.command()
def status(name: OneOrAll = None, env: Env = "dev", output: Output = "text") -> None:
    """Show the latest runs."""
    from pipelines import commands

    finish(commands.status(root(), env, name, printer(output)))


@app.command()
def check(
    names: Names = None,
    env: Env = "dev",
    select: Annotated[
        list[str] | None, typer.Option("--select", "-s", help="Only these checks: names or globs.")
    ] = None,
    rows: Annotated[int, typer.Option("--rows", help="Show up to N of the rows that break a check.")] = 0,
    output: Output = "text",
) -> None:
    """Look whether the loaded tables hold what specs promise of them; writes nothing."""
    from pipelines import commands
    from pipelines.checks.command import check

    finish(check(root(), env, commands.specs(root(), listed(names), not names), listed(select), rows, printer(output)))


@app.command()
def models(names: Names = None, env: Env = "dev", output: Output = "text") -> None:
    """Make the derived tables of specs without a load, and look at the checks."""
    from pipelines import commands
    from pipelines.models.command import make

    finish(make(root(), env, commands.specs(root(), listed(names), not names), printer(output)))


@app.command()
def metrics(name: OneOrAll = None, env: Env = "dev") -> None:
    """Print the latest run of each spec as Prometheus metrics."""
    from pipelines.telling import metrics as told

    finish(told.show(root(), env, name, printer("text")))


@deploy_app.command("github-actions")
def deploy_github_actions(
    env: Deployed = "prd",
    timeout_minutes: Minutes = 60,
    write: Annotated[bool, typer.Option("--write", help="Write .github/workflows/etl.yaml.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Fail when it is stale.")] = False,
) -> None:
    """Print, write or check the workflow that runs each spec on its schedule."""
    from pipelines.deploy import github_actions

    finish(github_actions.deploy(root(), env, timeout_minutes, write, check))


@deploy_app.command("cron")
def deploy_cron(env: Deployed = "prd") -> None:
    """Print the lines of a crontab."""
    from pipelines.deploy import cron

    finish(cron.deploy(root(), env, printer("text")))


@deploy_app.command("cloud-run")
def deploy_cloud_run(env: Deployed = "prd", timeout_minutes: Minutes = 60) -> None:
    """Print a script that makes Cloud Run jobs and their schedules."""
    from pipelines.deploy import cloud_run

    finish(cloud_run.deploy(root(), env, timeout_minutes, printer("text")))


@app.command()
def export(
    name: Name,
    tables: Annotated[list[str] | None, typer.Argument(metavar="[TABLE]...", help="Names or globs.")] = None,
    env: Env = "dev",
    form: Annotated[str, typer.Option("--format", help="parquet, csv, jsonl or sqlite.")] = "parquet",
    partition_by: Annotated[
        list[str] | None, typer.Option("--partition-by", help="Columns: a,b; of a time its month, or day: a:month.")
    ] = None,
    to: Annotated[str | None, typer.Option("--to", help="A folder or a bucket; exports/ENV/NAME otherwise.")] = None,
    output: Output = "text",
) -> None:
    """Write tables of a spec as files: whole or not there, typed, of one moment."""
    from pipelines.export import export as exporting

    one_of("--format", form, ("parquet", "csv", "jsonl", "sqlite"))
    shown = printer(output)
    finish(exporting.export(root(), env, name, listed(tables), form, listed(partition_by), to, shown))


@app.command()
def coverage(name: Name, env: Env = "dev", since: Since = None, until: Until = None, output: Output = "text") -> None:
    """Show what is there day by day, what is missing (exit 4), and the command that fills it."""
    from pipelines.coverage import show

    finish(show.show(root(), env, name, since, until, printer(output)))


@state_app.command("show")
def state_show(name: Name, env: Env = "dev", output: Output = "json") -> None:
    """Show what a pipeline remembers: its cursors."""
    from pipelines import state

    finish(state.show(root(), env, name, printer(output)))


@state_app.command("reset")
def state_reset(
    name: Name,
    env: Env = "dev",
    resource: Resource = None,
    pending: Annotated[bool, typer.Option("--pending", help="Drop load packages that cannot be loaded.")] = False,
    yes: IfProtected = False,
) -> None:
    """Forget cursors, so that the next run reads everything again; tables stay."""
    from pipelines import commands, state

    commands.confirm(root(), env, f"state reset makes {name} read everything again", yes)
    finish(state.reset(root(), env, name, resource, pending))


@quarantine_app.command("list")
def quarantine_list(
    name: OneOrAll = None,
    env: Env = "dev",
    resource: Resource = None,
    everything: Annotated[bool, typer.Option("--all", help="Replayed rows too.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-l", help="At most N rows.")] = 50,
    output: Output = "text",
) -> None:
    """List rows that were not loaded, and why."""
    from pipelines import rejects

    finish(rejects.show_all(root(), env, name, resource, everything, limit, printer(output)))


@quarantine_app.command("show")
def quarantine_show(row: Annotated[str, typer.Argument(metavar="ID")], env: Env = "dev") -> None:
    """Show one row with its payload."""
    from pipelines import rejects

    finish(rejects.show_one(root(), env, ",".join(listed([row])), printer("json")))


@quarantine_app.command("replay")
def quarantine_replay(
    name: Name, rows: Ids = None, env: Env = "dev", resource: Resource = None, values: With = None,
    output: Output = "text",
) -> None:  # fmt: skip
    """Load quarantined rows after all, where a hint or a source was mended; never over a newer row."""
    from pipelines import replay

    finish(replay.replay(root(), env, name, resource, listed(rows), values or [], printer(output)))


@quarantine_app.command("drop")
def quarantine_drop(
    name: Name, rows: Ids = None, env: Env = "dev", resource: Resource = None, yes: Yes = False
) -> None:
    """Delete quarantined rows for good: those mended where they came from stay listed until then."""
    from pipelines import commands, rejects

    commands.confirm(root(), env, f"quarantine drop deletes rows of {name} for good", yes, always=True)
    finish(rejects.drop(root(), env, name, resource, listed(rows)))


@auth_app.command("login")
def auth_login(
    name: Name,
    env: Env = "dev",
    account: Account = "",
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the address; paste where it led to.")] = False,
) -> None:
    """Sign in to the system of a spec; what it gives is kept where the environment keeps tokens."""
    from pipelines.tokens import auth

    finish(auth.login(root(), env, name, account, not no_browser))


@auth_app.command("status")
def auth_status(name: OneOrAll = None, env: Env = "dev", account: Account = "", output: Output = "text") -> None:
    """Show who is signed in and for how long; exit 6 when a person must sign in."""
    from pipelines.tokens import auth

    finish(auth.status(root(), env, name, account, printer(output)))


@auth_app.command("export")
def auth_export(
    name: Name,
    env: Env = "dev",
    account: Account = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Show it even on a screen.")] = False,
    output: Output = "text",
) -> None:
    """Print the settings with which another machine is signed in: secrets, for a secret store."""
    from pipelines.tokens import auth

    finish(auth.export(root(), env, name, account, yes, printer(output)))


@files_app.command("status")
def files_status(name: Name, env: Env = "dev", output: Output = "text") -> None:
    """Show how many files are stored, due or failed, and why."""
    from pipelines.files import command

    finish(command.status(root(), env, name, printer(output)))


@files_app.command("retry")
def files_retry(
    name: Name,
    env: Env = "dev",
    only: Only = None,
    failed: Annotated[bool, typer.Option("--failed", help="Every file that failed.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only say how many would be due.")] = False,
    output: Output = "text",
) -> None:
    """Make files that failed or were given up due, for the next run to move."""
    from pipelines.files import command

    finish(command.retry(root(), env, name, listed(only), failed, dry_run, printer(output)))


@files_app.command("verify")
def files_verify(
    name: Name,
    env: Env = "dev",
    only: Only = None,
    prefix: Prefix = None,
    listing: Annotated[bool, typer.Option("--list", help="List the bucket, too: finds objects without a row.")] = False,
    fix: Annotated[
        bool, typer.Option("--fix", help="Have what is missing or wrong moved again, write hashes.")
    ] = False,
    output: Output = "text",
) -> None:
    """Compare rows with objects: = as it should be, + no object, - no row, * differs (exit 4); asks for each object."""
    from pipelines.files import verify
    from pipelines.files.book import Chosen

    chosen = Chosen(tuple(listed(only)), prefix)
    finish(verify.verify(root(), env, name, chosen, listing, fix, printer(output)))


@files_app.command("undo")
def files_undo(
    name: Name,
    env: Env = "dev",
    only: Only = None,
    prefix: Prefix = None,
    since: Annotated[str | None, typer.Option("--since", help="What was stored from then on.")] = None,
    listing: Annotated[bool, typer.Option("--list", help="Objects below --prefix that no row names, too.")] = False,
    versions: Annotated[bool, typer.Option("--versions", help="Hidden and older versions in a bucket, too.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only say what would go.")] = False,
    yes: Yes = False,
    output: Output = "text",
) -> None:
    """Delete the objects and rows of a batch; the next run that names them moves them again."""
    from pipelines import commands
    from pipelines.files import undo

    what = f"files undo deletes objects and rows of {name}"
    commands.confirm(root(), env, not dry_run and what, yes, always=True)
    chosen = undo.chosen(root(), name, listed(only), prefix, since)
    finish(undo.undo(root(), env, name, chosen, listing, versions, dry_run, printer(output)))


@files_app.command("release")
def files_release(
    name: Name,
    env: Env = "dev",
    only: Only = None,
    prefix: Prefix = None,
    since: Annotated[str | None, typer.Option("--since", help="What was stored from then on.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only say what would go.")] = False,
    yes: Yes = False,
    output: Output = "text",
) -> None:
    """Delete files at their source, for good, whose objects are as their rows say; nothing else ever does."""
    from pipelines import commands
    from pipelines.files import release, undo

    what = f"files release deletes recordings of {name} at their source, for good"
    commands.confirm(root(), env, not dry_run and what, yes, always=True)
    chosen = undo.chosen(root(), name, listed(only), prefix, since)
    finish(release.release(root(), env, name, chosen, dry_run, printer(output)))


@files_app.command("adopt")
def files_adopt(
    name: Name,
    env: Env = "dev",
    table: Annotated[str | None, typer.Option("--table", help="A table of receipts of an older program.")] = None,
    records: Annotated[Path | None, typer.Option("--records", help="Its own records, e.g. processed.sqlite.")] = None,
    folder: Annotated[list[Path] | None, typer.Option("--folder", help="Where the files of --records lie.")] = None,
    prefix: Annotated[str | None, typer.Option("--prefix", help="Objects of the bucket whose keys begin so.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only say what would be adopted.")] = False,
    output: Output = "text",
) -> None:
    """Write receipts of files that an older program has stored or fetched, once they verify; fetches nothing."""
    from pipelines.files import adopt

    old = adopt.Old(table, records, tuple(folder or ()), prefix)
    finish(adopt.adopt(root(), env, name, old, dry_run, printer(output)))


@app.command()
def erase(
    names: Names = None,
    env: Env = "dev",
    phone: Annotated[
        str | None, typer.Option("--phone", help="A phone number, however written; - reads stdin.")
    ] = None,
    device: Annotated[str | None, typer.Option("--device", help="A device, exactly; - reads stdin.")] = None,
    account: Annotated[str | None, typer.Option("--account", help="An account; - reads stdin.")] = None,
    player: Annotated[str | None, typer.Option("--player", help="A player; - reads stdin.")] = None,
    expired: Annotated[bool, typer.Option("--expired", help="What is older than the environment's retention.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only count what is found.")] = False,
    yes: Yes = False,
    output: Output = "text",
) -> None:
    """Erase a person or device from wherever the engine keeps it, or what is too old; the receipt names nobody."""
    from pipelines import commands, retention
    from pipelines.erase import command

    kind, value = only_one(phone=phone, device=device, account=account, player=player, expired="" if expired else None)
    what = "erase deletes what is too old" if expired else f"erase deletes all of one {kind}"
    commands.confirm(root(), env, not dry_run and what, yes, always=True)
    if expired:
        finish(retention.expire_all(root(), env, listed(names), dry_run, printer(output)))
    finish(command.erase(root(), env, kind, value, listed(names), dry_run, printer(output)))


@app.command()
def sandbox(
    seed: Annotated[int, typer.Option(help="Same seed, same data.")] = 1,
    records: Annotated[int, typer.Option(help="Size of each upstream.")] = 100,
    day: Annotated[int, typer.Option(help="The sandbox's clock.")] = 1,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
) -> None:
    """Serve stand-ins of every upstream on loopback until interrupted."""
    from sandbox.server import World, serve

    serve(World(seed=seed, records=records, day=day), port)


@app.command()
def demo(
    seed: Annotated[int, typer.Option(help="Same seed, same data.")] = 1,
    records: Annotated[int, typer.Option(help="Size of each upstream.")] = 100,
    env: Env = "demo",
) -> None:
    """Run every spec against the sandbox; needs no account and no network."""
    from pipelines import demo as show

    finish(show.demo(root(), env, seed, records))


@serve_app.callback()
def serve(
    context: typer.Context,
    env: Env = "dev",
    host: Annotated[str | None, typer.Option("--host", help="Address to listen at; HOST otherwise.")] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="0 takes a free one; PORT otherwise.")
    ] = None,
) -> None:
    """Receive audio chunks from recorders over HTTP, until told to end; --log-format and LOG_LEVEL shape its log."""
    if context.invoked_subcommand is None:
        from ingest_api import command

        finish(command.serve(root(), env, host, port, log_format(context)))


@devices_app.command("add")
def devices_add(
    point: Annotated[str, typer.Option("--point", help="Where it stands: a UUID.")],
    register: Annotated[str, typer.Option("--register", help="At which register: a UUID.")],
    device: Annotated[str | None, typer.Option("--device", help="Its own UUID; a new one otherwise.")] = None,
    zone: Annotated[str, typer.Option("--zone", help="Of its times that name none, e.g. Europe/Paris.")] = "UTC",
    token: Annotated[
        str | None, typer.Option("--token", envvar="DEVICE_TOKEN", help="The token it has; a new one otherwise.")
    ] = None,
    env: Env = "dev",
    output: Output = "text",
) -> None:
    """Register a device; a token that is made here is shown this once."""
    from ingest_api import command

    finish(command.add_device(root(), env, (device, point, register), zone, token, printer(output)))


@devices_app.command("list")
def devices_list(env: Env = "dev", output: Output = "text") -> None:
    """Show all devices, and when each was last seen."""
    from ingest_api import command

    finish(command.list_devices(root(), env, printer(output)))


@devices_app.command("enable")
def devices_enable(device: Device, env: Env = "dev", output: Output = "text") -> None:
    """Let a device in again."""
    from ingest_api import command

    finish(command.enable_device(root(), env, device, True, printer(output)))


@devices_app.command("disable")
def devices_disable(device: Device, env: Env = "dev", output: Output = "text") -> None:
    """Keep a device out; its chunks stay."""
    from ingest_api import command

    finish(command.enable_device(root(), env, device, False, printer(output)))


@devices_app.command("zone")
def devices_zone(
    device: Device,
    zone: Annotated[str, typer.Option("--zone", help="Of its times that name none, e.g. Europe/Paris.")],
    env: Env = "dev",
    output: Output = "text",
) -> None:
    """Mend the zone of a device, for what it sends from now on."""
    from ingest_api import command

    finish(command.set_zone(root(), env, device, zone, printer(output)))


@devices_app.command("rotate")
def devices_rotate(
    device: Annotated[str | None, typer.Argument(help="A device by its UUID.")] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Each device, also where the key of their tokens is new.")
    ] = False,
    grace_hours: Annotated[
        float, typer.Option("--grace-hours", min=0, max=8760, help="The old token is good so long.")
    ] = 168,
    env: Env = "dev",
    output: Output = "text",
) -> None:
    """Give a device, or all of them, a new token, shown this once."""
    from ingest_api import command

    finish(command.rotate_tokens(root(), env, device, every, grace_hours, printer(output)))


def log_format(context: typer.Context) -> str:
    """`--log-format`; the log of a service is JSON unless it was given."""
    given = context.find_root()
    told = given.get_parameter_source("log_format")
    return "json" if told is None or told.name.startswith("DEFAULT") else str(given.params["log_format"])


def print_version() -> None:
    """Print the version of this program and end."""
    from importlib.metadata import version

    typer.echo(version("etl"))
    raise typer.Exit


def root() -> Path:
    """The workspace: --root, ETL_ROOT, or the folder at or above this one with destinations.toml.

    It becomes the working folder, so that a relative path in a spec means one file wherever a run starts.
    """
    from pipelines.environment import find_root

    session.root = find_root(session.root or Path.cwd())
    os.chdir(session.root)
    return session.root


def printer(output: str) -> Any:
    """What a command prints with: lines for people or one JSON document."""
    from pipelines.printing import Printer

    one_of("--output", output, ("text", "json"))
    return Printer(output)


def listed(values: Sequence[str] | None) -> list[str]:
    """`["a,b", "c"]` as `["a", "b", "c"]`; an empty text is a mistake, it must not mean everything."""
    from pipelines.errors import UsageError

    parts = [part.strip() for value in values or [] for part in value.split(",") if part.strip()]
    if values and not parts:
        raise UsageError("an empty name was given; name something, or leave it out")
    return parts


def one_of(option: str, value: str, known: Sequence[str]) -> None:
    """Refuse a value an option does not have."""
    from pipelines.errors import UsageError, did_you_mean

    if value not in known:
        raise UsageError(f"{option} {value}: must be one of {', '.join(known)}{did_you_mean(value, known)}")


def only_one(**given: str | None) -> tuple[str, str]:
    """The one option of several that was given, and its value."""
    from pipelines.errors import UsageError

    found = [(name, value) for name, value in given.items() if value is not None]
    if len(found) != 1:
        raise UsageError(f"give exactly one of: {', '.join(f'--{name}' for name in given)}")
    return found[0]


def finish(code: int) -> None:
    """End the command with its exit code."""
    raise typer.Exit(int(code))


def main(arguments: Sequence[str] | None = None) -> None:
    """The `etl` program."""
    program.main(grammar, arguments)


@cache
def grammar() -> TyperGroup:
    """The commands and options as the parser knows them."""
    return typer.main.get_group(app)


if __name__ == "__main__":
    main()
