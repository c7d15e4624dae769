"""The world's facts: real places, teams, players, landmarks and events, read from two reviewed tables.

`entities.tsv` holds the names in four languages, `facts.tsv` one line a fact; each line names its source. Governors are
those of 2024. A name is what people write, and it is one token.
"""

import csv
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files

LANGUAGES = ("en", "es", "de", "ja")
STATE_RELATIONS = ("capital", "governor", "flower", "bird", "motto", "song")
CITY_RELATIONS = ("area_code", "incorporation")
PLACED_KINDS = ("player", "team", "city", "landmark", "event", "film")
"""Kinds of entities that are somewhere: each has a state."""
PLACES = ("state", "city")
_UPWARDS = {"player": "team", "team": "city", "landmark": "city", "event": "city", "film": "city", "city": "state"}


@dataclass(frozen=True)
class Entity:
    """Something with a name. `names` has one for each of LANGUAGES; the first is the canonical one."""

    kind: str
    names: tuple[str, ...]
    source: str

    @property
    def name(self) -> str:
        """The canonical (English) name, unique in the world."""
        return self.names[0]

    @property
    def concept_id(self) -> str:
        """`<kind>:<name in lower case with dashes>`."""
        return concept_id(self.kind, self.name)

    def in_language(self, language: str) -> str:
        """The name in one of LANGUAGES."""
        return self.names[LANGUAGES.index(language)]


@dataclass(frozen=True)
class Fact:
    """Something to tell or ask: the `relation` of `subject`, or of the `place` (state or city) where the subject is.

    A one-hop fact has no place; a composed one has; `relation` is None where the place itself is asked for.
    """

    subject: str
    place: str | None
    relation: str | None
    answer: str

    @property
    def key(self) -> tuple[str, str | None, str | None]:
        """What is asked, without the answer."""
        return (self.subject, self.place, self.relation)


@dataclass(frozen=True)
class Facts:
    """The two tables."""

    entities: dict[str, Entity]
    """By canonical name."""
    table: dict[tuple[str, str], str]
    """(subject, relation) to object, all by canonical name."""

    def of_kind(self, *kinds: str) -> list[str]:
        """Canonical names of the entities of some kinds, in the table's order."""
        return [name for name, entity in self.entities.items() if entity.kind in kinds]

    @cached_property
    def aliased(self) -> list[Entity]:
        """The entities with several names."""
        return [entity for entity in self.entities.values() if len(set(entity.names)) > 1]

    @cached_property
    def aliased_landmarks(self) -> list[Entity]:
        """The landmarks with several names."""
        return [entity for entity in self.aliased if entity.kind == "landmark"]

    def chain(self, subject: str) -> list[str]:
        """What the subject belongs to, upwards: team, city and state of a player."""
        above: list[str] = []
        while (relation := _UPWARDS.get(self.entities[subject].kind)) is not None:
            subject = self.table[subject, relation]
            above.append(subject)
        return above

    def place(self, subject: str, place: str) -> str | None:
        """The city or state where the subject is; None where it has none (a state is in no city)."""
        return next((name for name in self.chain(subject) if self.entities[name].kind == place), None)

    def sport(self, subject: str) -> str:
        """The sport of a player or a team."""
        team = self.table.get((subject, "team"), subject)
        return self.table[team, "sport"]

    @cached_property
    def one_hop(self) -> list[Fact]:
        """Every fact of the table that is asked for directly."""
        return [Fact(s, None, r, o) for (s, r), o in self.table.items() if r != "sport"]

    @cached_property
    def composed(self) -> list[Fact]:
        """Every fact that takes two steps or more: the place where a subject is, or a fact of that place."""
        return [fact for name in self.of_kind(*PLACED_KINDS) for fact in self._composed_of(name)]

    def _composed_of(self, subject: str) -> list[Fact]:
        direct = self.table.get
        found: list[Fact] = []
        for place, relations in zip(PLACES, (STATE_RELATIONS, CITY_RELATIONS), strict=True):
            where = self.place(subject, place)
            if where is None:
                continue
            if direct((subject, place)) is None:
                found.append(Fact(subject, place, None, where))
            found += [Fact(subject, place, relation, self.table[where, relation]) for relation in relations]
        return found


def load_facts() -> Facts:
    """Read the tables that come with the package."""
    entities = {}
    for row in _rows("entities.tsv"):
        names = (row["name"], *(row[language] or row["name"] for language in LANGUAGES[1:]))
        entities[row["name"]] = Entity(row["kind"], names, row["source"])
    table = {(row["subject"], row["relation"]): row["object"] for row in _rows("facts.tsv")}
    return Facts(entities, table)


@cache
def concept_id(kind: str, name: str) -> str:
    """Id of a concept in the truth tables."""
    letters = "".join(letter if letter.isalnum() else " " for letter in name.lower())
    return f"{kind}:{'-'.join(letters.split())}"


def _rows(name: str) -> list[dict[str, str]]:
    lines = files("sae.world").joinpath(name).read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
