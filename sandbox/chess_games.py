"""The games of the chess stand-in: who played whom, when, how it ended, and how the API tells it.

A player has about `records` games in the twelve months to the first noon, fewer months than that have any,
and each later day adds some. On day 2 a game turns up at the very end of last month, as it does on the
first day of any month.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from random import Random
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from sandbox.exchange import World, noon

API = "https://api.chess.com/pub"
SITE = "https://www.chess.com"
PLAYERS = ("demo_anna", "demo_boris")
MONTHS = [(2023, month) for month in range(4, 13)] + [(2024, month) for month in range(1, 4)]
GAPS = {(2023, 6), (2023, 10)}
EMPTY = (2023, 8)
LATE = datetime(2024, 2, 29, 23, 59, 58, tzinfo=UTC)

TIME_CONTROLS = {"rapid": "600", "blitz": "180+2", "bullet": "60", "daily": "1/86400"}
STRENGTH = {"rapid": 1240, "blitz": 1130, "bullet": 930, "daily": 1150}
WON = (("win", "resigned"), ("win", "checkmated"), ("win", "timeout"))
DRAWN = (("agreed", "agreed"), ("repetition", "repetition"), ("stalemate", "stalemate"))
SQUARES = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!?"
SETUP = "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1"


@dataclass(frozen=True)
class Opening:
    """A line of moves, in both notations, and where it leads."""

    code: str
    name: str
    moves: str
    squares: str
    fen: str


OPENINGS = (
    Opening(
        "C70",
        "Ruy-Lopez-Opening-Morphy-Defense",
        "e4 e5 Nf3 Nc6 Bb5 a6",
        "e2e4 e7e5 g1f3 b8c6 f1b5 a7a6",
        "r1bqkbnr/1ppp1ppp/p1n5/1B2p3/4P3/5N2/PPPP1PPP/RNBQK2R w KQkq - 0 4",
    ),
    Opening(
        "C50",
        "Giuoco-Piano-Game",
        "e4 e5 Nf3 Nc6 Bc4 Bc5",
        "e2e4 e7e5 g1f3 b8c6 f1c4 f8c5",
        "r1bqk1nr/pppp1ppp/2n5/2b1p3/2B1P3/5N2/PPPP1PPP/RNBQK2R w KQkq - 4 4",
    ),
    Opening(
        "D30",
        "Queens-Gambit-Declined",
        "d4 d5 c4 e6",
        "d2d4 d7d5 c2c4 e7e6",
        "rnbqkbnr/ppp2ppp/4p3/3p4/2PP4/8/PP2PPPP/RNBQKBNR w KQkq - 0 3",
    ),
)


@dataclass(frozen=True)
class Game:
    """A game as it ended, and when it could first be read (both in seconds since 1970)."""

    name: str
    ended: int
    appeared: int
    time_class: str
    rules: str
    players: tuple[str, str]
    ratings: tuple[int, int]
    results: tuple[str, str]

    @property
    def month(self) -> tuple[int, int]:
        """The year and month whose archive holds the game."""
        end = datetime.fromtimestamp(self.ended, UTC)
        return end.year, end.month

    @property
    def url(self) -> str:
        """Its page on the site."""
        kind = "daily" if self.time_class == "daily" else "live"
        return f"{SITE}/game/{kind}/{uuid5(NAMESPACE_URL, self.name).int % 10**12}"


@lru_cache(maxsize=16)
def games_of(world: World, player: str) -> tuple[Game, ...]:
    """Every game of a player that can be read by now, oldest first; some games are in two players' lists."""
    together = world.records // 10 if player in PLAYERS else 0
    games = [
        *_history(world, "together", PLAYERS, together),
        *_history(world, player, (player, None), world.records - together),
        *_later_days(world, player),
    ]
    return tuple(sorted(games, key=lambda game: (game.ended, game.name)))


def _history(world: World, owner: str, players: tuple[str, str | None], count: int) -> Iterator[Game]:
    months = [month for month in MONTHS if month not in GAPS and month != EMPTY]
    for number in range(count):
        name = f"{owner}/{number}"
        rng = world.random(name)
        year, month = rng.choice(months)
        first = datetime(year, month, 1, tzinfo=UTC)
        ended = first + timedelta(seconds=rng.randrange(int((_month_over(first) - first).total_seconds())))
        yield _game(world, name, players, ended, appeared=ended)


def _month_over(first: datetime) -> datetime:
    """The last moment history uses of a month: an hour before the next one, or the first noon."""
    following = (first + timedelta(days=32)).replace(day=1)
    return min(following - timedelta(hours=1), noon(1))


def _later_days(world: World, player: str) -> Iterator[Game]:
    if world.day > 1:
        owner, players = ("together", PLAYERS) if player in PLAYERS else (player, (player, None))
        yield _game(world, f"{owner}/late", players, LATE, appeared=noon(2))
    for day in range(2, world.day + 1):
        for number in range(max(1, world.records // 100)):
            name = f"{player}/day {day}/{number}"
            after = timedelta(seconds=world.random(name).randrange(86_400) if number else 43_197)
            yield _game(world, name, (player, None), noon(day - 1) + after, appeared=noon(day))


def _game(world: World, name: str, players: tuple[str, str | None], ended: datetime, appeared: datetime) -> Game:
    rng = world.random(name, "result")
    time_class = rng.choices(tuple(TIME_CONTROLS), weights=(4, 4, 2, 2))[0]
    first, second = players[0], players[1] or f"opponent_{rng.randrange(1000):03d}"
    strength = STRENGTH[time_class]
    return Game(
        name=f"{world.seed}/{name}",
        ended=int(ended.timestamp()),
        appeared=int(appeared.timestamp()),
        time_class=time_class,
        rules="chess960" if time_class == "daily" and rng.random() < 0.3 else "chess",
        players=(first, second) if rng.random() < 0.5 else (second, first),
        ratings=(strength + rng.randrange(-90, 90), strength + rng.randrange(-90, 90)),
        results=_results(rng),
    )


def _results(rng: Random) -> tuple[str, str]:
    if rng.random() < 0.1:
        return rng.choice(DRAWN)
    winner, loser = rng.choice(WON)
    return (winner, loser) if rng.random() < 0.5 else (loser, winner)


def told(game: Game) -> dict[str, Any]:
    """The game as the API tells it; some keys are there for some games only."""
    rng = Random(game.name)
    opening = rng.choice(OPENINGS)
    daily = game.time_class == "daily"
    spellings = tuple(name.title() if rng.random() < 0.3 else name for name in game.players)
    return {
        "url": game.url,
        "pgn": _pgn(game, opening, spellings),
        "time_control": TIME_CONTROLS[game.time_class],
        "end_time": game.ended,
        "rated": rng.random() < 0.9,
        **({"accuracies": _accuracies(rng)} if not daily and rng.random() < 0.4 else {}),
        "tcn": "".join(_tcn(square) for square in _pairs(opening.squares.replace(" ", ""))),
        "uuid": str(UUID(int=rng.getrandbits(128), version=4)),
        "initial_setup": "" if daily else SETUP,
        "fen": opening.fen,
        **({"start_time": game.ended - rng.randrange(86_400, 1_000_000)} if daily else {}),
        "time_class": game.time_class,
        "rules": game.rules,
        **({"eco": f"{SITE}/openings/{opening.name}"} if rng.random() < 0.7 else {}),
        **({"tournament": f"{API}/tournament/demo-{rng.randrange(9)}"} if rng.random() < 0.2 else {}),
        **({"match": f"{API}/match/{rng.randrange(10_000)}"} if rng.random() < 0.1 else {}),
        "white": _side(game, 0, spellings[0]),
        "black": _side(game, 1, spellings[1]),
    }


def identity(player: str) -> str:
    """The address that names a player."""
    return f"{API}/player/{player}"


def _side(game: Game, side: int, spelling: str) -> dict[str, Any]:
    name = identity(game.players[side])
    return {
        "rating": game.ratings[side],
        "result": game.results[side],
        "@id": name,
        "username": spelling,
        "uuid": str(uuid5(NAMESPACE_URL, name)),
    }


def _accuracies(rng: Random) -> dict[str, float]:
    return {"white": round(rng.uniform(40, 99), 2), "black": round(rng.uniform(40, 99), 2)}


def _pairs(text: str) -> list[str]:
    return [text[at : at + 2] for at in range(0, len(text), 2)]


def _tcn(square: str) -> str:
    """One character for a square, a1 being the first."""
    return SQUARES["abcdefgh".index(square[0]) + 8 * (int(square[1]) - 1)]


def _pgn(game: Game, opening: Opening, spellings: tuple[str, ...]) -> str:
    end = datetime.fromtimestamp(game.ended, UTC)
    score = {"win": "1-0"}.get(game.results[0], "0-1" if "win" in game.results else "1/2-1/2")
    tags = {
        "Event": "Let's Play!" if game.time_class == "daily" else "Live Chess",
        "Site": "Chess.com",
        "Date": f"{end:%Y.%m.%d}",
        "Round": "-",
        "White": spellings[0],
        "Black": spellings[1],
        "Result": score,
        "ECO": opening.code,
        "UTCDate": f"{end:%Y.%m.%d}",
        "WhiteElo": game.ratings[0],
        "BlackElo": game.ratings[1],
        "TimeControl": TIME_CONTROLS[game.time_class],
        "EndTime": f"{end:%H:%M:%S}",
        "Link": game.url,
    }
    head = "".join(f'[{tag} "{value}"]\n' for tag, value in tags.items())
    return f"{head}\n{_moves(opening)} {score}\n"


def _moves(opening: Opening) -> str:
    return " ".join(
        f"{number // 2 + 1}{'...' if number % 2 else '.'} {move} {{[%clk 0:0{9 - number // 2}:5{number}]}}"
        for number, move in enumerate(opening.moves.split())
    )
