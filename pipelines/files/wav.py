"""WAV, chunk by chunk, with the codecs of telephony that Python's own `wave` refuses."""

from __future__ import annotations

import struct

from pipelines.files.sound import Sound, Suspicious

FORMAT = struct.Struct("<HHIIHH")
EXTENSIBLE = 0xFFFE
CODECS = {1: "pcm", 2: "adpcm", 3: "float", 6: "alaw", 7: "mulaw", 0x11: "adpcm", 0x31: "gsm", 0x55: "mp3"}
WRITTEN_TO_A_PIPE = (0, 0xFFFFFFFF)


def read_wav(data: memoryview) -> Sound:
    """What the chunks say, up to the end of the sound."""
    layout, at = None, 12
    while len(data) - at >= 8:
        name, size = bytes(data[at : at + 4]), int.from_bytes(data[at + 4 : at + 8], "little")
        body = data[at + 8 : at + 8 + size]
        if name == b"fmt ":
            layout = body
        if name == b"data":
            return _sound(layout, size, len(data) - at - 8)
        at += 8 + size + size % 2
    raise Suspicious("cut before its sound")


def _sound(layout: memoryview | None, size: int, there: int) -> Sound:
    if layout is None or len(layout) < FORMAT.size:
        raise Suspicious("a WAV file that does not say its format")
    code, channels, rate, bytes_a_second, _, _ = FORMAT.unpack_from(layout)
    if code == EXTENSIBLE and len(layout) >= 26:
        code = int.from_bytes(layout[24:26], "little")
    if not rate or not channels or not bytes_a_second:
        raise Suspicious("a WAV file that names no sample rate or no channel")
    if size in WRITTEN_TO_A_PIPE:
        size = there
    if size > there:
        raise Suspicious(f"cut after byte {there} of {size} of its sound")
    return Sound(CODECS.get(code, f"format {code}"), "audio/wav", size / bytes_a_second, rate, channels)
