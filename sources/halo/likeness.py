"""What a commendation of Halo 5 may be in Halo Infinite: a medal of the same name, or a statistic its text speaks of.

A guess with a confidence each; which one counts, and from where on, is said by the model `commendation_mapping`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any

from sources.halo.lists import Listed

EXACT, CERTAIN = 0.98, 0.95
ALIKE = 0.70  # of the words that either has, how many both have
STOP_WORDS = frozenset(("a", "au", "aux", "d", "de", "des", "du", "en", "et", "l", "la", "le", "les", "un", "une"))
LIGATURES = str.maketrans({"œ": "oe", "æ": "ae"})
MEDALS = re.compile(r"\bmedailles?\b|\bmedals?\b")
STATISTICS: tuple[tuple[str, float, re.Pattern[str]], ...] = (
    ("headshot_kills", 0.85, re.compile(r"\btirs? a la tete\b|\bheadshots?\b")),
    ("wins", 0.78, re.compile(r"\bgagn\w*|\bvictoires?\b")),
    ("assists", 0.75, re.compile(r"\bassistances?\b|\bassists?\b")),
    ("matches_played", 0.70, re.compile(r"\btermin\w* .*\bparties?\b")),
    ("kills", 0.55, re.compile(r"\btue[rz]\b|\belimine[rz]\b")),
    ("deaths", 0.40, re.compile(r"\bmourir\b|\bmorts?\b")),
)
SPECIFIC = frozenset(("arme", "ennemi"))  # categories in which a kill is one by a weapon or of an enemy
GENERIC = 0.25


def candidates(commendations: Iterable[tuple[str, Any]], labels: Iterable[tuple[int, str]]) -> Listed:
    """Every guess for every commendation; `commendations` are rows by their place, `labels` those of the medals."""
    medals = [(name_id, label, normal(label)) for name_id, label in labels]
    for place, row in commendations:
        if isinstance(row, dict) and isinstance(row.get("name"), str):
            best: dict[tuple[str, str], dict[str, Any]] = {}
            for guess in (*_medals(normal(row["name"]), medals), *_statistics(row)):
                known = best.setdefault((guess["kind"], guess["target"]), guess)
                known.update(guess if guess["confidence"] > known["confidence"] else {})
            for guess in best.values():
                yield place, {"commendation_id": row["commendation_id"], **guess}


def normal(text: str) -> str:
    """Small letters and digits without accents, a blank between words; what stands in brackets is left out."""
    bare = unicodedata.normalize("NFKD", re.sub(r"\[[^]]*\]", " ", text.lower()).translate(LIGATURES))
    return " ".join(re.findall(r"[a-z0-9]+", "".join(c for c in bare if not unicodedata.combining(c))))


def likeness(first: str, second: str) -> float:
    """How many of the words that either text has both have, stop words aside; both are `normal`."""
    one, other = (set(text.split()) - STOP_WORDS for text in (first, second))
    return len(one & other) / len(one | other) if one | other else 0.0


def _medals(name: str, medals: list[tuple[int, str, str]]) -> Iterator[dict[str, Any]]:
    for name_id, label, normal_label in medals:
        score = 1.0 if name == normal_label else likeness(name, normal_label)
        if name and score >= ALIKE:
            exact = name == normal_label
            yield {
                "kind": "medal",
                "matched_by": "exact_norm" if exact else "token_jaccard",
                "target": str(name_id),
                "name_id": name_id,
                "label": label,
                "confidence": EXACT if exact else min(CERTAIN, round(0.60 + 0.5 * score, 4)),
            }


def _statistics(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Statistics by their keywords. Who wins a medal wins no match: `Gagnez des médailles` speaks of no win."""
    text = normal(f"{row['name']} {row.get('description') or ''}")
    specific = normal(str(row.get("category"))) in SPECIFIC
    for statistic, confidence, keyword in STATISTICS:
        if not keyword.search(text) or (statistic == "wins" and MEDALS.search(text)):
            continue
        if specific and statistic != "kills":
            continue
        yield {
            "kind": "stat",
            "matched_by": "keyword",
            "target": statistic,
            "confidence": GENERIC if specific else confidence,
        }
