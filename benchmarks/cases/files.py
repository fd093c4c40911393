"""Files from HTTP into a bucket that speaks S3, 16 at once: the mover beside rclone, the AWS CLI and a plain loop."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import engine
from benchmarks.case import ENGINE, Case, Contender, Rows, Target, Work
from benchmarks.endpoint import PAYLOAD, counts, serve

WALK, MOVER, RCLONE, HASHSUM, AWS, LOOP = (
    "engine, Ogg walk",
    "mover, MP3",
    "rclone",
    "rclone + hashsum",
    "curl + AWS CLI",
    "requests + boto3",
)
TRANSFERS = 16
BUCKET, REGION, KEY, SECRET = "bucket", "us-east-1", "key", "secret-of-nobody"
NAMES = "names.txt"
SMALL_SECONDS, LARGE_SECONDS = 10.7, 3_870.0  # of sound: 60 KB and 20 MiB
MP3_SECONDS = 7.5  # the same 60 KB
ROWS: Rows = {"small": (500,), "full": (10_000,)}
LARGE_ROWS: Rows = {"small": (10,), "full": (50,)}


def small(folder: Path, rows: int) -> None:
    """Names, and an Ogg file of 60 KB that all of them have."""
    from sandbox.sound import vorbis

    _write(folder, rows, vorbis("benchmark", SMALL_SECONDS))


def large(folder: Path, rows: int) -> None:
    """Names, and one of 20 MiB."""
    from sandbox.sound import vorbis

    _write(folder, rows, vorbis("benchmark", LARGE_SECONDS))


def run_engine(work: Work) -> None:
    """The mover alone: hashed, no journal, no receipts."""
    _move(work, "any")


def run_walk(work: Work) -> None:
    """The same, each page of each file checked."""
    _move(work, "ogg")


def run_mp3(work: Work) -> None:
    """The mover alone, the sound of each file checked."""
    _move(work, "mp3")


def run_recordings(work: Work) -> None:
    """`etl run recordings`: the list is loaded, its files are moved, receipts are written."""
    _run_list(work, 0, len(_names(work)))


def run_again(work: Work) -> None:
    """The same list once more: nothing is asked for."""
    _run_list(work, 0, 0)


def run_grown(work: Work) -> None:
    """One per cent more in the list: no other file is asked for."""
    more = max(1, len(_names(work)) // 100)
    _run_list(work, more, more)


def _run_list(work: Work, more: int, moved: int) -> None:
    """A run on the list and some `more` lines; stop unless it has `moved` so many files."""
    names = [f"PR_{i:08}-0000-4000-8000-000000000000.mp3" for i in range(len(_names(work)) + more)]
    lines = [f"https://recordings.example.test/source/{name},+33{i:09},{i % 7}" for i, name in enumerate(names)]
    text = "\n".join(["url,phone,campaign_name", *lines, ""])
    (work.folder / "list.csv").write_text(text)
    account = {
        "aws_access_key_id": KEY,
        "aws_secret_access_key": SECRET,
        "endpoint_url": work.server,
        "region_name": REGION,
    }
    os.environ |= {f"DESTINATION__AUDIO__CREDENTIALS__{name.upper()}": value for name, value in account.items()}
    os.environ["DESTINATION__AUDIO__BUCKET_URL"] = f"s3://{BUCKET}"
    settings = ("csv_path=list.csv", f"base_url={work.server}")
    engine.run(work, "recordings", *settings, options=("--transfers", str(TRANSFERS)))
    _count(work, moved)


def run_rclone(work: Work) -> None:
    """What it takes at least: nothing is hashed, nothing asked of the bucket."""
    _rclone(work, "copy", "--files-from-raw", str(work.data / NAMES), "--no-traverse", "--no-check-dest",
            "--s3-no-check-bucket", "--s3-no-head", "source:", f"bucket:{BUCKET}")  # fmt: skip


def run_hashsum(work: Work) -> None:
    """The hashes, too: it reads every object back."""
    run_rclone(work)
    _rclone(work, "hashsum", "sha256", "--download", f"bucket:{BUCKET}")


def run_aws(work: Work) -> None:
    """Downloads side by side into a folder, then an upload of the folder."""
    kept = work.folder / "files"
    config = work.folder / "downloads"
    config.write_text(
        "".join(f'url = "{work.server}/source/{name}"\noutput = "{kept}/{name}"\n' for name in _names(work))
    )
    settings = work.folder / "aws.ini"
    settings.write_text(
        f"[default]\nregion = {REGION}\ns3 =\n  max_concurrent_requests = {TRANSFERS}\n"
        "request_checksum_calculation = when_required\nresponse_checksum_validation = when_required\n"
    )
    _run(work, "curl", "--silent", "--fail", "--create-dirs", "--parallel", "--parallel-max", str(TRANSFERS),
         "--config", str(config))  # fmt: skip
    account = {"AWS_CONFIG_FILE": str(settings), "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
    _run(work, "aws", "s3", "cp", "--recursive", "--only-show-errors", "--endpoint-url", work.server, str(kept),
         f"s3://{BUCKET}", **account)  # fmt: skip


def run_loop(work: Work) -> None:
    """One after the other, as it is mostly written; boto3's client is botocore's."""
    import botocore.session
    import requests
    from botocore.config import Config

    config = Config(request_checksum_calculation="when_required", s3={"addressing_style": "path"})
    client = botocore.session.get_session().create_client(
        "s3", REGION, endpoint_url=work.server, aws_access_key_id=KEY, aws_secret_access_key=SECRET, config=config
    )
    with requests.Session() as session:
        for name in _names(work):
            answer = session.get(f"{work.server}/source/{name}", timeout=60)
            answer.raise_for_status()
            client.put_object(Bucket=BUCKET, Key=name, Body=answer.content, ContentType="audio/ogg")


def facts(work: Work) -> list[tuple[Any, ...]]:
    """What the bucket has: how many objects, of how many bytes in all."""
    found = counts(work.server)
    return [(found["objects"], found["bytes"])]


def recorded(folder: Path, rows: int) -> None:
    """Names, and an MP3 file of 60 KB."""
    from sandbox.sound import mp3

    _write(folder, rows, mp3("benchmark", MP3_SECONDS))


def _write(folder: Path, rows: int, payload: bytes) -> None:
    (folder / PAYLOAD).write_bytes(payload)
    (folder / NAMES).write_text("".join(f"{i % 100:02}/{i:06}.ogg\n" for i in range(rows)))


def _names(work: Work) -> list[str]:
    return (work.data / NAMES).read_text().split()


def _move(work: Work, media: str) -> None:
    from pipelines.files.audio import inspect
    from pipelines.files.bucket import Bucket
    from pipelines.files.mover import Moved, Mover, Settings
    from pipelines.files.steps import Signature
    from sources.kit.files import FileItem, Stored

    class NoJournal:
        def flush(self) -> None:
            pass

        def intends(self, item: FileItem, bytes: int, sha256: str) -> None:
            pass

        def stored(self, item: FileItem, stored: Stored) -> None:
            pass

        def puts_aside(self, key: str) -> None:
            pass

        def refused(self, item: FileItem) -> None:
            pass

    def items() -> Iterator[FileItem]:
        for name in _names(work):
            yield FileItem(name, f"{work.server}/source/{name}", name, {}, media=media)

    bucket = Bucket("audio", work.server, BUCKET, "", Signature(REGION, KEY, SECRET))
    mover = Mover(bucket, Settings(work.folder / "spool", transfers=TRANSFERS), NoJournal(), inspect)
    failed = [outcome for outcome in mover.move(items()) if not isinstance(outcome, Moved)]
    if failed:
        sys.exit(f"these failed: {failed}")
    _count(work, len(_names(work)))


def _count(work: Work, files: int) -> None:
    """Stop unless there was one request to the source and one to the bucket for so many files."""
    found = counts(work.server)
    asked = {kind: found[kind] for kind in ("source_get", "source_head", "put", "head", "list")}
    if asked != {"source_get": files, "source_head": 0, "put": files, "head": 0, "list": 0}:
        sys.exit(f"{files} files cost {asked}")


def _rclone(work: Work, *arguments: str) -> None:
    """rclone with its two ends; AWS_CA_BUNDLE makes version 1.60 refuse to start."""
    ends = {
        "SOURCE_TYPE": "http", "SOURCE_URL": f"{work.server}/source/",
        "BUCKET_TYPE": "s3", "BUCKET_PROVIDER": "Other", "BUCKET_ENDPOINT": work.server, "BUCKET_REGION": REGION,
        "BUCKET_ACCESS_KEY_ID": KEY, "BUCKET_SECRET_ACCESS_KEY": SECRET, "BUCKET_FORCE_PATH_STYLE": "true",
    }  # fmt: skip
    at_once = ["--transfers", str(TRANSFERS), "--checkers", str(TRANSFERS)]
    _run(work, "rclone", "--config", "", *arguments, *at_once, **{f"RCLONE_CONFIG_{k}": v for k, v in ends.items()})


def _run(work: Work, program: str, *arguments: str, **variables: str) -> None:
    if shutil.which(program) is None:
        sys.exit(f"{program} is not installed")
    inherited = {name: value for name, value in os.environ.items() if name != "AWS_CA_BUNDLE"}
    with (work.folder / f"{program}.txt").open("wb") as out:
        subprocess.run([program, *arguments], check=True, stdout=out, env={**inherited, **variables})


PEERS = {
    RCLONE: Contender(run_rclone),
    HASHSUM: Contender(run_hashsum),
    AWS: Contender(run_aws),
    LOOP: Contender(run_loop),
}
CASES = (
    Case(
        name="files_recorded",
        about="recordings of 60 KB as specified, HTTP → S3, 16 at once, with receipts in DuckDB",
        write=recorded,
        contenders={ENGINE: Contender(run_recordings), MOVER: Contender(run_mp3), RCLONE: Contender(run_rclone)},
        facts=facts,
        rows=ROWS,
        targets=(Target("wall", 1 / 0.7, MOVER), Target.at_most("peak", 300)),
        serve=serve,
    ),
    Case(
        name="files_recorded_again",
        about="the same once more: not one request to source or bucket",
        write=recorded,
        contenders={ENGINE: Contender(run_again, before=run_recordings)},
        facts=facts,
        rows=ROWS,
        targets=(Target.at_most("wall", 5),),
        serve=serve,
    ),
    Case(
        name="files_recorded_grown",
        about="the same with 1 % new recordings: one request each to source and bucket for those alone",
        write=recorded,
        contenders={ENGINE: Contender(run_grown, before=run_recordings)},
        facts=facts,
        rows=ROWS,
        targets=(Target.at_most("wall", 5),),
        serve=serve,
    ),
    Case(
        name="files_small",
        about="files of 60 KB, HTTP → S3, 16 at once",
        write=small,
        contenders={ENGINE: Contender(run_engine), WALK: Contender(run_walk), **PEERS},
        facts=facts,
        rows=ROWS,
        targets=(
            Target("wall", 1.11, RCLONE),
            Target("wall", 1.33, RCLONE, of=WALK),
            Target("wall", 1 / 3, LOOP),
            Target.at_most("peak", 300),
        ),
        serve=serve,
    ),
    Case(
        name="files_large",
        about="files of 20 MiB, HTTP → S3, 16 at once",
        write=large,
        contenders={ENGINE: Contender(run_engine), WALK: Contender(run_walk), **PEERS},
        facts=facts,
        rows=LARGE_ROWS,
        targets=(
            Target("wall", 2.22, RCLONE),
            Target("wall", 1, HASHSUM),
            Target("wall", 1, HASHSUM, of=WALK),
            Target.at_most("peak", 300),
        ),
        serve=serve,
    ),
)
