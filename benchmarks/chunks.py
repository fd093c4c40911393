"""A recorder that never waits: `python -m benchmarks.chunks URL COUNT BYTES`, over eight connections."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from statistics import median, quantiles
from urllib.parse import urlsplit

CONNECTIONS = 8
BOUNDARY = "benchmark"
TOKEN = "a-token-of-the-recorder"
ONE = "00000000-0000-0000-0000-000000000001"
FIELDS = {"point_id": ONE, "register_id": ONE, "device_id": ONE, "codec": "opus", "sample_rate": "48000",
          "channels": "1"}  # fmt: skip
FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def main(url: str, count: str, size: str) -> None:
    """Send so many chunks of so many bytes; say how it went."""
    began = time.monotonic()
    seconds = asyncio.run(_send(url, iter(range(int(count))), _audio(int(size))))
    rate = len(seconds) / (time.monotonic() - began)
    slow = quantiles(seconds, n=100)[98] if len(seconds) > 1 else seconds[0]
    sys.stdout.write(f"{rate:.0f} requests/s, p50 {median(seconds) * 1000:.1f} ms, p99 {slow * 1000:.1f} ms")


async def _send(url: str, numbers: Iterator[int], audio: bytes) -> list[float]:
    seconds: list[float] = []

    async def connection() -> None:
        address = urlsplit(url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        for number in numbers:
            began = time.monotonic()
            writer.write(_request(number, audio))
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200 "):
                sys.exit(f"chunk {number}: {head!r}")
            await reader.readexactly(_length(head))
            seconds.append(time.monotonic() - began)
        writer.close()

    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    return seconds


def _request(number: int, audio: bytes) -> bytes:
    start = FIRST + timedelta(minutes=number)
    fields = {**FIELDS, "start_ts": start.isoformat(), "end_ts": (start + timedelta(minutes=1)).isoformat()}
    parts = "".join(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    file = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="chunk_file"; filename="chunk.ogg"\r\n\r\n'
    body = (parts + file).encode() + audio + f"\r\n--{BOUNDARY}--\r\n".encode()
    head = (
        f"POST /api/v1/chunks HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _length(head: bytes) -> int:
    found = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    return int(found[0].partition(b":")[2])


def _audio(size: int) -> bytes:
    """A sound file of at least so many bytes; not much more."""
    from sandbox.sound import opus

    return opus("benchmark", size / len(opus("benchmark", 10)) * 10)


if __name__ == "__main__":
    main(*sys.argv[1:])
