"""Sound files: what a whole one is said to be, and that nothing less than a whole one passes."""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import struct
import wave
from pathlib import Path
from urllib.parse import urlsplit

import numpy
import pytest
import requests
import soundfile
from fastcrc.crc16 import arc
from hypothesis import given
from hypothesis import strategies as st

from pipelines.files.audio import Sound, Suspicious, agrees, inspect
from sandbox import recordings, sound
from sandbox.server import Sandbox

VORBIS, OPUS, MP3 = sound.vorbis("a", 1.5), sound.opus("a", 1.5), sound.mp3("a", 0.5)
HEADER = b"\xff\xf3\x88\xc4"
OPUS_HEAD = b"OpusHead\x01\x01" + struct.pack("<HIhB", 312, 16_000, 0, 0)
FLAC_HEAD = (
    b"\x7fFLAC\x01\0\0\1fLaC\0\0\0\x22"
    + struct.pack(">HH", 4096, 4096) + bytes(6) + (16_000 << 12 | 15 << 4).to_bytes(4, "big") + bytes(20)
)  # fmt: skip


def looked(data: bytes, media: str = "audio") -> Sound:
    return inspect(memoryview(data), media)


def reason(data: bytes, media: str = "audio") -> str:
    with pytest.raises(Suspicious) as raised:
        looked(data, media)
    return raised.value.reason


def checksum(data: bytes) -> int:
    """CRC-32 as RFC 3533 has it, bit by bit."""
    register = 0
    for byte in data:
        register ^= byte << 24
        for _ in range(8):
            register = (register << 1 ^ (0x04C11DB7 if register >> 31 else 0)) & 0xFFFFFFFF
    return register


def page(number: int, packets: list[bytes], granule: int = 0, flags: int = 0, serial: int = 7) -> bytes:
    lacing = b"".join(b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet in packets)
    head = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, granule, serial, number, 0, len(lacing))
    whole = head + lacing + b"".join(packets)
    return whole[:22] + struct.pack("<I", checksum(whole)) + whole[26:]


def ogg(head: bytes, *pages: tuple[list[bytes], int]) -> bytes:
    """A stream of these pages of sound, each with where it ends."""
    sounds = [
        page(number, packets, granule, 4 if number - 1 == len(pages) else 0)
        for number, (packets, granule) in enumerate(pages, 2)
    ]
    return page(0, [head], flags=2) + page(1, [b"comments"]) + b"".join(sounds)


def encoded(kind: str, subtype: str, rate: int, channels: int, seconds: float = 1.5, **options: str) -> bytes:
    """A tone, encoded by libsndfile."""
    at = numpy.arange(int(rate * seconds)) / rate
    out = io.BytesIO()
    tone = numpy.stack([0.3 * numpy.sin(2 * numpy.pi * 440 * at)] * channels, 1)
    soundfile.write(out, tone, rate, format=kind, subtype=subtype, **options)
    return out.getvalue()


def spoken(kind: int = 1, size: int | None = None) -> bytes:
    """A WAV file of a tenth of a second, of another format or with another length in its header, if wanted."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(8_000)
        file.writeframes(bytes(800))
    data = bytearray(out.getvalue())
    data[20:22] = kind.to_bytes(2, "little")
    data[40:44] = (800 if size is None else size).to_bytes(4, "little")
    return bytes(data)


WHOLE = {
    "vorbis": (VORBIS, Sound("vorbis", "audio/ogg", 1.5, 8_000, 2)),
    "opus": (OPUS, Sound("opus", "audio/ogg", 1.5, 16_000, 1)),
    "mp3": (MP3, Sound("mp3", "audio/mpeg", 0.504, 16_000, 1)),
    "mp3 without Info": (MP3[288:], Sound("mp3", "audio/mpeg", 0.504, 16_000, 1)),
    "mp3 behind a tag": (b"ID3\x04\0\0\0\0\x01\x02" + bytes(130) + MP3, Sound("mp3", "audio/mpeg", 0.504, 16_000, 1)),
    "mp3 behind two tags": (b"ID3\x04\0\0\0\0\0\x01x" * 2 + MP3, Sound("mp3", "audio/mpeg", 0.504, 16_000, 1)),
    "mp3 before a tag": (MP3 + b"TAG" + bytes(125), Sound("mp3", "audio/mpeg", 0.504, 16_000, 1)),
    "mp3 before zeros and a tag": (
        MP3 + bytes(500) + b"TAG" + bytes(125),
        Sound("mp3", "audio/mpeg", 0.504, 16_000, 1),
    ),
    "mp3 before zeros": (MP3 + bytes(500), Sound("mp3", "audio/mpeg", 0.504, 16_000, 1)),
    "two streams": (VORBIS + sound.vorbis("b", 2.25), Sound("vorbis", "audio/ogg", 3.75, 8_000, 2)),
    "flac": (ogg(FLAC_HEAD, ([b"a"], 4096), ([b"b"], 8000)), Sound("flac", "audio/ogg", 0.5, 16_000, 1)),
    "a page on which no packet ends": (
        ogg(OPUS_HEAD, ([b"\x48x"] * 3, 2880), ([b"x" * 255 * 2], -1), ([b"\x48x"], 4312)),
        Sound("opus", "audio/ogg", 4000 / 48_000, 16_000, 1),
    ),
    "a piece of a long recording": (
        ogg(OPUS_HEAD, ([b"\x48x"] * 50, 48_000 * 61), ([b"\x48x"] * 50, 48_000 * 62)),
        Sound("opus", "audio/ogg", 2 - 312 / 48_000, 16_000, 1),
    ),
    "wav": (spoken(), Sound("pcm", "audio/wav", 0.1, 8_000, 1)),
    "wav, A-law": (spoken(kind=6), Sound("alaw", "audio/wav", 0.1, 8_000, 1)),
    "wav, written to a pipe": (spoken(size=0xFFFFFFFF), Sound("pcm", "audio/wav", 0.1, 8_000, 1)),
}


@pytest.mark.parametrize("name", WHOLE)
def test_whole(name):
    data, expected = WHOLE[name]
    found = looked(data)
    assert found.seconds == pytest.approx(expected.seconds)
    assert (found.codec, found.content_type, found.sample_rate, found.channels) == (
        expected.codec, expected.content_type, expected.sample_rate, expected.channels,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("made", "expected", "seconds"),
    [
        (("OGG", "VORBIS", 8_000, 2), ("vorbis", "audio/ogg", 8_000, 2), 0),
        (("OGG", "VORBIS", 48_000, 1), ("vorbis", "audio/ogg", 48_000, 1), 0),
        (("OGG", "OPUS", 48_000, 2), ("opus", "audio/ogg", 48_000, 2), 0),
        (("MP3", "MPEG_LAYER_III", 44_100, 2), ("mp3", "audio/mpeg", 44_100, 2), 0.1),
        (("MP3", "MPEG_LAYER_III", 16_000, 1), ("mp3", "audio/mpeg", 16_000, 1), 0.15),
        (("MP3", "MPEG_LAYER_III", 8_000, 1), ("mp3", "audio/mpeg", 8_000, 1), 0.3),
        (("WAV", "PCM_16", 44_100, 2), ("pcm", "audio/wav", 44_100, 2), 0),
        (("WAV", "ULAW", 8_000, 1), ("mulaw", "audio/wav", 8_000, 1), 0),
        (("WAV", "FLOAT", 8_000, 1), ("float", "audio/wav", 8_000, 1), 0),
        (("WAVEX", "PCM_16", 8_000, 1), ("pcm", "audio/wav", 8_000, 1), 0),
    ],
)
def test_what_an_encoder_made(made, expected, seconds):
    """An MP3 lasts as long as its frames, which its encoder fills up at both ends."""
    found = looked(encoded(*made))
    assert (found.codec, found.content_type, found.sample_rate, found.channels) == expected
    assert 0 <= found.seconds - 1.5 <= seconds + 1e-9


def test_frames_of_different_lengths():
    data = encoded("MP3", "MPEG_LAYER_III", 44_100, 1, bitrate_mode="VARIABLE")
    assert agrees(looked(data), 1.5)
    assert "cut" in reason(data[: len(data) // 2])


@pytest.mark.parametrize("data", [sound.vorbis("a", 200.0), sound.mp3("a", 100.0)], ids=["OGG", "MP3"])
def test_a_file_that_is_mapped_into_memory_does_not_stay_there(tmp_path, monkeypatch, data):
    monkeypatch.setattr("pipelines.files.sound.STRETCH", 100_000)
    path = tmp_path / "sound"
    path.write_bytes(data)
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as view,
    ):
        assert inspect(view, "audio") == looked(data)
        maps = Path("/proc/self/smaps").read_text().partition(str(path))[2]
    resident = next(line for line in maps.splitlines() if line.startswith("Rss:"))
    assert int(resident.split()[1]) <= 128, resident  # of a thousand


@pytest.mark.parametrize("data", [VORBIS, OPUS, MP3, spoken()], ids=["vorbis", "opus", "mp3", "wav"])
def test_a_file_cut_anywhere_is_found(data):
    for end in range(1, len(data)):
        assert reason(data[:end]), end


@pytest.mark.parametrize("make", [sound.vorbis, sound.opus, sound.silence])
def test_a_file_cut_at_any_page(make):
    pages = sound.pieces(make(1, 110 if make is sound.silence else 20))
    assert len(pages) > 15
    for end in range(1, len(pages)):
        assert reason(b"".join(pages[:end])) == f"cut after page {end - 1}: the last page is missing"


@pytest.mark.parametrize("data", [VORBIS, OPUS], ids=["vorbis", "opus"])
@pytest.mark.parametrize("bit", [0, 7])
def test_a_flipped_bit_anywhere_is_found(data, bit):
    for at in range(len(data)):
        assert reason(data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]), at


LONG, LAMES = sound.mp3("a", 30.0), encoded("MP3", "MPEG_LAYER_III", 16_000, 1, 0.5)


@pytest.mark.parametrize("data", [MP3, LAMES], ids=["ours", "LAME's"])
def test_a_flipped_bit_in_the_sound_of_an_mp3_is_found(data):
    first = data.index(b"\xff\xf3", 1)
    for at in range(first, len(data)):
        assert reason(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]), at


@pytest.mark.parametrize("data", [MP3, LAMES, LONG], ids=["ours", "LAME's", "long"])
def test_a_flipped_bit_before_the_sound_of_an_mp3_does_not_change_its_length(data):
    """Where it is not found: the frame that counts the others has no checksum, and may be taken for one of sound."""
    whole = looked(data).seconds
    for at in range(data.index(b"\xff\xf3", 1)):
        for bit in range(8):
            with contextlib.suppress(Suspicious):
                found = looked(data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]).seconds
                assert abs(found - whole) <= max(0.08, 0.005 * whole), (at, bit)


def counting(frames: int, sound: bytes) -> bytes:
    """An MP3 whose first frame counts so many, and has the checksum of whatever sound."""
    head = bytearray(MP3[:288])
    at = head.index(b"Info")
    head[at + 8 : at + 16] = struct.pack(">II", frames, 288 + len(sound))
    flags = head[at + 7]
    tag = at + 8 + 4 * (flags & 1) + 2 * (flags & 2) + 25 * (flags & 4) + (flags & 8) // 2
    head[tag + 28 : tag + 34] = struct.pack(">IH", 288 + len(sound), arc(sound))
    return bytes(head) + sound


def test_a_checksum_alone_makes_no_mp3():
    assert looked(counting(14, MP3[288:])).seconds == pytest.approx(0.504)
    page = b"<html>no sound at all</html>" * 100
    for frames in (1, 14, len(page), 2**32 - 1):
        assert reason(counting(frames, page)) == "no MP3 frame at byte 288, where frame 2 must start"


def test_a_number_of_frames_that_is_wrong_does_not_change_the_length():
    assert looked(counting(831, LONG[288:])).seconds == looked(LONG).seconds == pytest.approx(833 * 0.036)


def test_a_missing_page_is_found_and_so_is_one_that_comes_twice_or_too_early():
    pages = sound.pieces(VORBIS)
    for at in range(len(pages)):
        assert reason(b"".join(pages[:at] + pages[at + 1 :])), at
        assert reason(b"".join(pages[: at + 1] + pages[at:])), at
        assert at == 0 or reason(b"".join([*pages[: at - 1], pages[at], pages[at - 1], *pages[at + 1 :]])), at


PAGES = sound.pieces(VORBIS)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "an empty file"),
        (b"<!DOCTYPE html><html></html>", "an HTML page"),
        (b"\n  <HTML lang=de>", "an HTML page"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><Error/>", "an XML document"),
        (b"<Error><Code>AccessDenied</Code></Error>", "an XML document"),
        (b'{"message": "gone"}', "a JSON answer"),
        (b"[]", "a JSON answer"),
        (b"\x1f\x8b\x08\0", "a gzip file"),
        (b"PK\x03\x04", "a zip file"),
        (b"fLaC\0\0\0\x22", "a FLAC file without Ogg"),
        (b"\xff\xf1\x50\x80", "no sound file: it starts with ff f1 50 80"),
        (b"\xff\xfe<\0h\0t\0", "no sound file: it starts with ff fe 3c 00 68 00 74 00"),
        (bytes(9), "no sound file: it starts with 00 00 00 00 00 00 00 00"),
        (PAGES[0], "cut after page 0: the last page is missing"),
        (b"".join(PAGES[1:]), "the first page of its stream is missing"),
        (b"".join(PAGES[:2] + PAGES[3:]), "page 2 is missing: page 3 stands there"),
        (VORBIS[:-1], f"cut in the page at byte {len(VORBIS) - len(PAGES[-1])}: "),
        (VORBIS + b"\r\n", f"no page at byte {len(VORBIS)}, where one must start"),
        (VORBIS + VORBIS[:100], "cut in the page at byte "),
        (PAGES[0] + b"".join(sound.pieces(sound.vorbis("b", 1))[1:]), "page 1 belongs to another stream"),
        (PAGES[0] + PAGES[1][:50] + b"?" + PAGES[1][51:] + PAGES[2], f"the page at byte {len(PAGES[0])} is damaged"),
        (page(0, [b"\x80theora"], flags=2), "an Ogg stream that is neither Vorbis, Opus nor FLAC"),
        (page(0, [b"OpusHead\x01"], flags=2), "the first page of its stream is too short"),
        (page(0, [b"\x01vorbis" + bytes(23)], flags=2), "the first page of its stream names no sample rate"),
        (ogg(OPUS_HEAD, ([b"\x48x"], 100)), "an Ogg file without any sound"),
        (MP3[:-1], "cut in frame 15"),
        (MP3[: 288 * 9 + 3], "cut in frame 10"),
        (MP3[: 288 * 9], "cut after frame 9 of 14"),
        (MP3[: 288 * 14], "cut after byte 4032 of 4320"),
        (MP3 + b"<html>", "no MP3 frame at byte 4320, where frame 16 must start"),
        (MP3[:800] + b"\0" + MP3[800:], "no MP3 frame at byte 864, where frame 4 must start"),
        (MP3 + bytes(500) + MP3[288:], "no MP3 frame at byte 4320, where frame 16 must start"),
        (MP3[288:2880] + bytes(288) + MP3[3168:], "no MP3 frame at byte 2592, where frame 10 must start"),
        (MP3 + b"ID3" + bytes(7) + MP3, "no MP3 frame at byte 4320, where frame 16 must start"),
        (MP3[:-1] + b"?", "its sound is damaged: the checksum differs"),
        (MP3[:288], "cut after frame 1 of 14"),
        (b"ID3\x04\0\0\0\0\x7f\x7f", "no MP3 frame at byte 16393, where the first must start"),
        (b"ID3", "no MP3 frame at byte 0, where the first must start"),
        (spoken()[:-1], "cut after byte 799 of 800 of its sound"),
        (spoken()[:40], "cut before its sound"),
        (spoken(size=0)[:44], "a WAV file without any sound"),
        (spoken()[:12] + spoken()[36:], "a WAV file that does not say its format"),
        (spoken()[:24] + bytes(4) + spoken()[28:], "a WAV file that names no sample rate or no channel"),
    ],
)  # fmt: skip
def test_reasons(data, expected):
    assert reason(data).startswith(expected)


@pytest.mark.parametrize("data", [VORBIS, MP3, spoken()], ids=["ogg", "mp3", "wav"])
def test_media(data):
    wanted = {"ogg": VORBIS, "mp3": MP3, "wav": spoken()}
    for media, whole in wanted.items():
        if data is whole or data == whole:
            assert looked(data, media) == looked(data, "audio")
        else:
            assert ", not a" in reason(data, media)


def test_any_is_not_looked_at():
    assert looked(b"<html>", "any") == Sound(None, "application/octet-stream")


def test_constant_frames_without_a_count_may_end_at_any_frame_and_the_source_tells_their_length():
    half = looked(HEADER + bytes(284) + (HEADER + bytes(284)) * 99)
    assert not agrees(half, 7.2)


@pytest.mark.parametrize(
    ("seconds", "said", "expected"),
    [
        (10, 10, True),
        (11, 10, True),
        (9, 10, True),
        (11.01, 10, False),
        (8.99, 10, False),
        (1020, 1000, True),
        (1020.1, 1000, False),
        (0.3, 1.2, True),
        (5, None, True),
        (None, 5, True),
    ],
)
def test_agrees(seconds, said, expected):
    assert agrees(Sound("mp3", "audio/mpeg", seconds), said) is expected


@given(st.sampled_from([b"", b"OggS", b"ID3", HEADER, b"RIFF1234WAVE", VORBIS[:58], MP3[:288]]), st.binary())
def test_any_bytes_are_sound_or_suspicious(start, rest):
    assert isinstance(_verdict(start + rest), str | Sound)


@given(st.sampled_from([VORBIS, OPUS, MP3, spoken(), encoded("OGG", "OPUS", 8_000, 1)]), st.data())
def test_what_is_overwritten_somewhere_is_sound_or_suspicious(whole, data):
    at = data.draw(st.integers(0, len(whole)))
    wrong = data.draw(st.binary(max_size=40))
    assert isinstance(_verdict(whole[:at] + wrong + whole[at + len(wrong) :]), str | Sound)


def _verdict(data: bytes) -> str | Sound:
    try:
        return looked(data)
    except Suspicious as wrong:
        return wrong.reason


@given(
    st.lists(st.lists(st.binary(min_size=1, max_size=600), min_size=1, max_size=20), min_size=1, max_size=6),
    st.integers(0, 2**40),
)
def test_pages_of_any_packets_are_followed(pages, start):
    """Whatever lies on the pages, the seconds are those between the first and the last position."""
    streamed = [(packets, start + 960 * number) for number, packets in enumerate(pages, 1)]
    found = _verdict(ogg(FLAC_HEAD, *streamed))
    end = streamed[-1][1]
    begun = max(0, streamed[0][1] - 4096 * len(pages[0]))
    assert found == Sound("flac", "audio/ogg", (end - begun) / 16_000, 16_000, 1)


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("flipped", {}, "its sound is damaged: the checksum differs"),
        ("cut", {"pieces": 5}, "cut after frame 5 of "),
        ("cut", {}, "cut after frame "),
        ("wrong_length", {}, "cut "),
        ("empty", {}, "an empty file"),
        ("html", {}, "an HTML page"),
    ],
)
def test_what_the_sandbox_spoils_is_suspicious(tmp_path, kind, options, expected):
    with Sandbox(folder=tmp_path) as running:
        call = recordings.listed(running.world)[0]
        url = f"{running.url}/vault{urlsplit(call.url).path}"
        running.fault("vault", kind, **options)
        assert reason(requests.get(url, timeout=10).content, "mp3").startswith(expected)
        assert agrees(looked(requests.get(url, timeout=10).content, "mp3"), call.seconds)


@pytest.mark.parametrize("make", [sound.vorbis, sound.opus, sound.mp3, sound.silence])
@pytest.mark.parametrize("seconds", [0.4, 3, 65.223])
def test_what_the_sandbox_makes_can_be_played(make, seconds):
    """Players leave out the half frame by which decoding MP3 lags behind."""
    data = make("x", seconds)
    samples, rate = soundfile.read(io.BytesIO(data))
    assert abs(len(samples) / rate - seconds) <= (0.06 if make is sound.mp3 else 1 / rate)
    loudness = numpy.sqrt((samples**2).mean())
    assert loudness == 0 if make is sound.silence else 0.02 < loudness < 0.5
    assert abs(looked(data).seconds - seconds) <= 0.02


@pytest.mark.parametrize("make", [sound.vorbis, sound.opus, sound.mp3, sound.silence])
def test_each_seed_has_its_own_sound(make):
    made = [make(seed, 1) for seed in range(50)]
    assert len(set(made)) == 50
    assert made == [make(seed, 1) for seed in range(50)]


@pytest.mark.skipif("ETL_PAYLOADS" not in os.environ, reason="ETL_PAYLOADS names no folder of recorded payloads")
def test_what_was_recorded_begins_like_what_the_sandbox_makes():
    payloads = Path(os.environ["ETL_PAYLOADS"])
    first = bytes.fromhex((payloads / "spinoco" / "ogg_vorbis_first_page_58bytes.hex").read_text())
    assert reason(first, "ogg") == "cut after page 0: the last page is missing"
    ours = sound.pieces(VORBIS)[0]
    assert (first[:14], first[26:44], first[56:]) == (ours[:14], ours[26:44], ours[56:])
    assert MP3.startswith(bytes.fromhex((payloads / "csv_recordings" / "mp3_first_4_bytes.hex").read_text()))
