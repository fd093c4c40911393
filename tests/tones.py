"""Make the tones of `sandbox/tones` anew with libsndfile, another version of which gives other bytes.

`python -m tests.tones`: a tone that wanders, with a little noise so that it has the size of speech; nobody speaks.
"""

from __future__ import annotations

import numpy
import soundfile

from sandbox import sound

SECONDS = 2
TONES = {"vorbis": (8_000, 2, 0.12), "opus": (16_000, 1, 0.05)}


def tone(rate: int, channels: int, noise: float) -> numpy.ndarray:
    """Samples between -1 and 1, a column per channel."""
    at = numpy.arange(SECONDS * rate) / rate
    rng = numpy.random.default_rng(1)
    wave = 0.3 * numpy.sin(2 * numpy.pi * (300 * at + 40 * numpy.sin(2 * numpy.pi * at / SECONDS)))
    return numpy.stack([wave + noise * rng.standard_normal(len(at)) for _ in range(channels)], 1)


if __name__ == "__main__":
    for codec, (rate, channels, noise) in TONES.items():
        path = sound.TONES / f"{codec}.ogg"
        soundfile.write(path, tone(rate, channels, noise), rate, format="OGG", subtype=codec.upper())
        print(path, path.stat().st_size)
