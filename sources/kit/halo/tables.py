"""The tables of matches: keys, columns with their types, and what they mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import dlt
from dlt.common.schema.typing import TTableSchemaColumns, TWriteDispositionConfig
from dlt.extract import DltResource

FIRST_SEEN = "x-first-seen"  # a hint: the column keeps the value it was loaded with first, whatever comes later
DESCRIPTIONS = {
    "match_id": "the match",
    "xuid": "the person's number at Xbox, as text; null for a bot",
    "player_id": "`xuid(…)` of a person, `bid(…)` of a bot",
    "team_id": "team, from 0 on; free-for-all has up to 12",
    "last_team_id": "the team of the end; -1 or null for none",
    "name_id": "the API's number of the medal or award, unsigned 32 bits",
    "outcome": "1 tie, 2 win, 3 loss, 4 did not finish; others exist",
    "lifecycle_mode": "1 custom, 3 matchmade; others exist",
    "game_variant_category": "kind of mode: 6 slayer, 15 capture the flag, 18 oddball …; new ones come",
    "duration_seconds": "of the match, as the API has it",
    "playable_duration_seconds": "of the match without its intro",
    "playlist_id": "null for a custom match",
    "pair_id": "the pairing of map and mode; null for a custom match",
    "season_id": "file of the ranked season; null for a custom match",
    "map_id": "asset of kind map",
    "game_variant_id": "asset of kind ugc_game_variant",
    "kda": "kills + assists / 3 - deaths: no ratio, may be negative",
    "accuracy": "percent, cut to two decimals by the API; shots_hit / shots_fired is exact",
    "score": "points of the mode; 0 is a score",
    "personal_score": "points of the person, which no team score is made of",
    "is_bot": "whether it is none of flesh",
    "player_type": "1 person, 2 bot",
    "bot_difficulty": "of a bot",
    "stints": "how many teams the player was in, one after the other",
    "time_played_seconds": "how long the player took part",
    "count": "how often",
    "mode": "block of statistics, such as capture_the_flag, pvp, pve",
    "result_code": "0 found, 1 not found, 2 failed, 3 unavailable, 4 forbidden",
    "team_mmr": "of the player's team",
    "mmr": "of the team, as this player's answer has it",
    "tier": "rank, such as Gold",
    "kills__expected": "kills that the rating foretold",
    "deaths__expected": "deaths that the rating foretold",
    "self_kills": "kills expected of the player's own rating",
    "self_deaths": "deaths expected of the player's own rating",
    "pre_match_csr__value": "ranked skill before; -1 is unranked",
    "post_match_csr__value": "ranked skill after; -1 is unranked",
    "event_index": "place in the film, by time; two events may be alike in all else",
    "time_ms": "since the match began",
    "event_type": "kill, death, medal or mode",
    "medal_value": "the film's number of the medal, which is no name_id",
    "medal_name": "English name of the medal; null where nobody knows the number",
    "gamertag": "as it was then",
    "kind": "map, playlist, map_mode_pair or ugc_game_variant",
    "asset_id": "the asset",
    "version_id": "its version, which never changes",
    "language": "in which names were asked for",
    "public_name": "its name",
    "linked_map_id": "of a pair: its map",
    "linked_game_variant_id": "of a pair: its mode",
    "linked_engine_variant_name": "of a game variant: the mode of the engine",
    "raw": "the answer as it came",
    "source": "where it is from: api, film, match_roster, migrated or legacy",
    "first_seen_at": "when the pair was first loaded, or first seen where that is told",
    "seen_at": "when the name was last seen",
    "part": "stats, skill or film",
    "payload": "the answer as it came: JSON text",
    "rank": "place in the match, the best is 1",
}


@dataclass(frozen=True)
class Table:
    """A table: `key` tells rows apart; a row that comes again takes the place of the former, unless `first_stays`."""

    name: str
    about: str
    key: tuple[str, ...]
    columns: TTableSchemaColumns
    first_stays: bool = False

    def resource(self, rows: Any) -> DltResource:
        """What fills the table with pages of rows."""
        merge: TWriteDispositionConfig = {"disposition": "merge", "strategy": "insert-only"}
        filled: DltResource = dlt.resource(
            rows,
            name=self.name,
            write_disposition=merge if self.first_stays else "merge",
            primary_key=self.key,
            columns=self.columns,
        )
        return filled


def columns(keys: tuple[str, ...], /, **types: str) -> TTableSchemaColumns:
    """Columns by data type, declared so that they exist while no row fills them; `keys` are never null."""
    found: TTableSchemaColumns = {}
    for data_type, names in types.items():
        for name in names.split():
            found[name] = {"data_type": data_type, "nullable": name not in keys}  # type: ignore[typeddict-item]
            if name in DESCRIPTIONS:
                found[name]["description"] = DESCRIPTIONS[name]
            if name == "first_seen_at":
                found[name][FIRST_SEEN] = True  # type: ignore[literal-required]
    return found


def _table(name: str, about: str, key: str, **types: str) -> Table:
    keys = tuple(key.split())
    return Table(name, about, keys, columns(keys, **types))


INFO = {
    "text": (
        "match_id level_id map_id map_version_id game_variant_id game_variant_version_id "
        "playlist_id playlist_version_id pair_id pair_version_id season_id clearance_id"
    ),
    "timestamp": "start_time end_time",
    "double": "duration_seconds playable_duration_seconds",
    "bigint": "lifecycle_mode game_variant_category playlist_experience gameplay_interaction",
    "bool": "teams_enabled team_scoring_enabled",
}
CORE = {
    "bigint": (
        "score personal_score rounds_won rounds_lost rounds_tied kills deaths assists suicides betrayals "
        "grenade_kills headshot_kills melee_kills power_weapon_kills shots_fired shots_hit damage_dealt damage_taken "
        "callout_assists vehicle_destroys driver_assists hijacks emp_assists max_killing_spree spawns "
        "objectives_completed"
    ),
    "double": "kda accuracy average_life_duration_seconds deprecated_damage_dealt deprecated_damage_taken",
}
MODES = {
    "bigint": (
        "flag_capture_assists flag_captures flag_carriers_killed flag_grabs flag_returners_killed flag_returns "
        "flag_secures flag_steals kills_as_flag_carrier kills_as_flag_returner "
        "allies_revived elimination_assists eliminations enemy_revives_denied executions "
        "kills_as_last_player_standing last_players_standing_killed rounds_survived times_revived_by_ally "
        "lives_remaining elimination_order "
        "successful_extractions extraction_conversions_denied extraction_conversions_completed "
        "extraction_initiations_denied extraction_initiations_completed "
        "alphas_killed spartans_infected spartans_infected_as_alpha kills_as_last_spartan_standing "
        "last_spartans_standing_infected rounds_as_alpha rounds_as_last_spartan_standing rounds_finished_as_infected "
        "rounds_survived_as_spartan rounds_survived_as_last_spartan_standing infected_killed "
        "kills_as_skull_carrier skull_carriers_killed skull_grabs skull_scoring_ticks "
        "stronghold_captures stronghold_defensive_kills stronghold_offensive_kills stronghold_secures "
        "stronghold_scoring_ticks "
        "kills_as_power_seed_carrier power_seeds_deposited power_seeds_stolen power_seed_carriers_killed "
        "kills deaths assists marine_kills grunt_kills jackal_kills elite_kills brute_kills hunter_kills "
        "skimmer_kills sentinel_kills boss_kills"
    ),
    "double": (
        "time_as_flag_carrier_seconds time_as_last_spartan_standing_seconds longest_time_as_skull_carrier_seconds "
        "time_as_skull_carrier_seconds stronghold_occupation_time_seconds time_as_power_seed_carrier_seconds "
        "time_as_power_seed_driver_seconds kda"
    ),
}
AWARDS = {
    "text": "match_id player_id xuid",
    "bigint": "team_id name_id count total_personal_score_awarded",
}

MATCH_HISTORY = _table(
    "match_history",
    "One row per person and match, as the person's history lists it.",
    "xuid match_id",
    text=f"xuid {INFO['text']}",
    timestamp=INFO["timestamp"],
    double=INFO["double"],
    bigint=f"{INFO['bigint']} last_team_id outcome rank",
    bool=f"{INFO['bool']} present_at_end_of_match",
)
MATCH_STATS = _table("match_stats", "One row per match.", "match_id", **INFO)
MATCH_TEAMS = _table(
    "match_teams",
    "One row per match and team; free-for-all has none.",
    "match_id team_id",
    text="match_id",
    bigint=f"team_id outcome rank {CORE['bigint']}",
    double=CORE["double"],
    json="medals personal_scores",
)
MATCH_PLAYERS = _table(
    "match_players",
    "One row per match and player, bots too.",
    "match_id player_id",
    text="match_id player_id xuid",
    bigint="player_type bot_difficulty last_team_id outcome rank stints",
    timestamp="first_joined_time last_leave_time",
    double="time_played_seconds",
    bool=(
        "is_bot present_at_beginning joined_in_progress left_in_progress present_at_completion confirmed_participation"
    ),
)
MATCH_STINTS = _table(
    "match_stints",
    "One row per match, player and team the player was in; a player's numbers are their sum.",
    "match_id player_id team_id",
    text="match_id player_id xuid",
    bigint=f"team_id {CORE['bigint']}",
    double=CORE["double"],
)
MATCH_MEDALS = _table("match_medals", "Medals of a stint, by kind.", "match_id player_id team_id name_id", **AWARDS)
MATCH_PERSONAL_SCORES = _table(
    "match_personal_scores", "Awards of a stint, by kind.", "match_id player_id team_id name_id", **AWARDS
)
MATCH_PLAYER_MODES = _table(
    "match_player_modes",
    "Statistics of a mode, of one stint.",
    "match_id player_id team_id mode",
    text="match_id player_id xuid mode",
    bigint=f"team_id {MODES['bigint']}",
    double=MODES["double"],
)
MATCH_TEAM_MODES = _table(
    "match_team_modes",
    "Statistics of a mode, of one team.",
    "match_id team_id mode",
    text="match_id mode",
    bigint=f"team_id {MODES['bigint']}",
    double=MODES["double"],
)
CSR = (
    "value measurement_matches_remaining tier_start sub_tier next_tier_start next_sub_tier initial_measurement_matches"
)


def csr(*prefixes: str) -> dict[str, str]:
    """The columns of ranked skills, by type."""
    return {
        "bigint": " ".join(f"{prefix}__{name}" for prefix in prefixes for name in CSR.split()),
        "text": " ".join(f"{prefix}__{name}" for prefix in prefixes for name in ("tier", "next_tier")),
    }


_CSRS = csr("pre_match_csr", "post_match_csr")
MATCH_SKILL = _table(
    "match_skill",
    "One row per match and person: ratings before and after, and what they foretold.",
    "match_id player_id",
    text=f"match_id player_id xuid {_CSRS['text']}",
    bigint=f"result_code team_id kills__count deaths__count {_CSRS['bigint']}",
    double=("team_mmr kills__expected kills__std_dev deaths__expected deaths__std_dev self_kills self_deaths"),
    json="ranked_rewards",
)
MATCH_SKILL_MMRS = _table(
    "match_skill_mmrs",
    "The rating of each team, as each person's answer has it.",
    "match_id player_id team_id",
    text="match_id player_id",
    bigint="team_id",
    double="mmr",
)
MATCH_SKILL_TIERS = _table(
    "match_skill_tiers",
    "Kills and deaths expected of somebody of each tier, in this person's place.",
    "match_id player_id tier",
    text="match_id player_id tier",
    double="kills deaths",
)
HIGHLIGHT_EVENTS = _table(
    "highlight_events",
    "Kills, deaths, medals and events of the mode, of persons, from the film of a match.",
    "match_id event_index",
    text="match_id xuid gamertag event_type medal_name",
    bigint="event_index time_ms type_hint medal_value",
    bool="is_medal",
)
ASSETS = _table(
    "assets",
    "Maps, playlists, pairs of map and mode, and game variants, by version.",
    "kind asset_id version_id language",
    text=(
        "kind asset_id version_id language public_name description linked_map_id linked_map_name "
        "linked_game_variant_id linked_game_variant_name linked_engine_variant_id linked_engine_variant_name "
        "files_prefix"
    ),
    bigint=(
        "asset_home inspection_result clone_behavior version_number "
        "plays_recent plays_all_time favorites likes bookmarks parent_asset_count number_of_ratings"
    ),
    double="average_rating",
    timestamp="published_date",
    json="tags files contributors rotation_entries custom_data raw",
)
_NAME = ("xuid", "gamertag", "source")
ALIASES = Table(
    "aliases",
    "Names that a person was seen with, and who told.",
    _NAME,
    columns(_NAME, text=" ".join(_NAME), timestamp="first_seen_at seen_at"),
    first_stays=True,
)
MATCH_PAYLOADS = _table(
    "match_payloads",
    "The answers about a match as they came.",
    "match_id part",
    text="match_id part source payload",
)
MEDALS = _table(
    "medals",
    "Medals that the API describes; matches have more of them.",
    "name_id",
    text="name description difficulty type",
    bigint="name_id sprite_index sorting_weight difficulty_index type_index personal_score",
)
MEDAL_LABELS = _table(
    "medal_labels", "Names of medals by language.", "name_id locale", text="locale name description", bigint="name_id"
)

STATS = (
    MATCH_STATS,
    MATCH_TEAMS,
    MATCH_PLAYERS,
    MATCH_STINTS,
    MATCH_MEDALS,
    MATCH_PERSONAL_SCORES,
    MATCH_PLAYER_MODES,
    MATCH_TEAM_MODES,
)
SKILL = (MATCH_SKILL, MATCH_SKILL_MMRS, MATCH_SKILL_TIERS)
FILM = (HIGHLIGHT_EVENTS,)
TABLES = {
    table.name: table
    for table in (MATCH_HISTORY, *STATS, *SKILL, *FILM, ASSETS, ALIASES, MATCH_PAYLOADS, MEDALS, MEDAL_LABELS)
}
