"""A source and a bucket in one process of C, compiled when it is needed: `endpoint.c` says what it does."""

from __future__ import annotations

import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measure import DidNotFinish

PAYLOAD = "payload"
CODE = Path(__file__).with_suffix(".c")


@contextmanager
def serve(data: Path) -> Iterator[str]:
    """Its address, for as long as the block lasts; every file it serves is the `payload` of a data set."""
    program = data / "endpoint"
    if not program.exists():
        compiler = shutil.which("cc")
        if compiler is None:
            raise DidNotFinish("there is no C compiler here (cc) for the endpoint; install one")
        subprocess.run([compiler, "-O2", "-pthread", "-o", program, CODE], check=True)
    with subprocess.Popen(
        [program, data / PAYLOAD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        process.stdin.close()


def counts(address: str) -> dict[str, int]:
    """How many requests of each kind there were, how many objects are there, and bytes were put."""
    with urllib.request.urlopen(f"{address}/counts", timeout=30) as answer:
        lines = answer.read().decode().split()
    return {name: int(number) for name, _, number in (line.partition("=") for line in lines)}
