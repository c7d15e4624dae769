"""The words of four languages: relation names, verbs, and sentence frames, each with its own order of words.

A frame is a list of tokens separated by spaces; `_` stands for a space inside a token and braces for a slot.
"""

from dataclasses import dataclass
from functools import cache

RELATION_WORDS: dict[str, tuple[str, str, str, str]] = {
    "capital": ("capital", "la capital", "Hauptstadt", "州都"),
    "governor": ("governor", "el gobernador", "Gouverneur", "州知事"),
    "flower": ("flower", "la flor", "Blume", "州花"),
    "bird": ("bird", "el ave", "Vogel", "州鳥"),
    "motto": ("motto", "el lema", "Wahlspruch", "標語"),
    "song": ("song", "la canción", "Lied", "州歌"),
    "area_code": ("area code", "el prefijo", "Vorwahl", "市外局番"),
    "incorporation": ("decade of incorporation", "la década de fundación", "Gründungsjahrzehnt", "市制施行年代"),
    "team": ("team", "el equipo", "Mannschaft", "チーム"),
    "birth_decade": ("birth decade", "la década de nacimiento", "Geburtsjahrzehnt", "生まれた年代"),
    "city": ("city", "la ciudad", "Stadt", "都市"),
    "state": ("state", "el estado", "Bundesstaat", "州"),
    "material": ("material", "el material", "Baustoff", "素材"),
    "completion_decade": ("decade of completion", "la década de construcción", "Baujahrzehnt", "完成年代"),
    "design": ("design", "el diseño", "Bauart", "様式"),
    "use": ("use", "el uso", "Nutzung", "用途"),
}
"""Name of each relation in en, es (with its article), de and ja."""

SPORT_WORDS: dict[str, tuple[str, str, str, str]] = {
    "basketball": ("basketball", "baloncesto", "Basketball", "バスケットボール"),
    "baseball": ("baseball", "béisbol", "Baseball", "野球"),
    "football": ("football", "fútbol americano", "American Football", "アメフト"),
    "ice hockey": ("ice hockey", "hockey sobre hielo", "Eishockey", "アイスホッケー"),
    "soccer": ("soccer", "fútbol", "Fußball", "サッカー"),
}


@dataclass(frozen=True)
class Phrasing:
    """How one language puts a fact."""

    direct: tuple[str, ...]
    """The relation of the subject; slots {rel}, {x}, {a}."""
    composed: tuple[str, ...]
    """The relation of the place where the subject is; slots {rel}, {place}, {clause}, {aside}, {a}."""
    located: str
    """The place where the subject is; slots {place}, {clause}, {a}."""
    places: dict[str, str]
    """Words for the state and the city in a composed sentence, with what ties them to the clause."""
    subjects: dict[str, str]
    """The same at the head of a sentence."""
    clauses: dict[str, str]
    """What the subject does there, by its kind; slots {x}, {sport}."""
    aside: str
    """The place's own name after the noun phrase; slot {name}."""
    brackets: tuple[str, str]
    """Around an apposition."""
    comma: str
    alias: str
    """Two names of one thing; slots {x}, {a}."""


PHRASES: dict[str, Phrasing] = {
    "en": Phrasing(
        direct=("Fact : The {rel} of {x} is {a} .", "{rel} ? {x} : {a} ."),
        composed=("Fact : The {rel} of the {place} where {clause} {aside} is {a} .",),
        located="Fact : The {place} where {clause} is {a} .",
        places={"state": "state", "city": "city"},
        subjects={"state": "state", "city": "city"},
        clauses={
            "player": "{x} played {sport}",
            "team": "{x} plays",
            "city": "{x} lies",
            "landmark": "{x} stands",
            "event": "{x} happened",
            "film": "{x} is_set",
        },
        aside=", {name} ,",
        brackets=("(", ")"),
        comma=",",
        alias="{x} = {a} .",
    ),
    "es": Phrasing(
        direct=("Dato : {rel} de {x} es {a} .", "¿ {rel} ? {x} : {a} ."),
        composed=("Dato : {rel} {place} donde {clause} {aside} es {a} .",),
        located="Dato : {place} donde {clause} es {a} .",
        places={"state": "del_estado", "city": "de_la_ciudad"},
        subjects={"state": "el_estado", "city": "la_ciudad"},
        clauses={
            "player": "jugó_al {sport} {x}",
            "team": "juega {x}",
            "city": "está {x}",
            "landmark": "se_alza {x}",
            "event": "ocurrió {x}",
            "film": "se_ambienta {x}",
        },
        aside=", {name} ,",
        brackets=("(", ")"),
        comma=",",
        alias="{x} = {a} .",
    ),
    "de": Phrasing(
        direct=("Fakt : {x} hat als {rel} {a} .", "{rel} ? {x} : {a} ."),
        composed=("Fakt : {place} {clause} , {aside} hat als {rel} {a} .",),
        located="Fakt : {place} {clause} , ist {a} .",
        places={"state": "Der_Bundesstaat , in_dem", "city": "Die_Stadt , in_der"},
        subjects={"state": "Der_Bundesstaat , in_dem", "city": "Die_Stadt , in_der"},
        clauses={
            "player": "{x} {sport} spielte",
            "team": "{x} spielt",
            "city": "{x} liegt",
            "landmark": "{x} steht",
            "event": "{x} geschah",
            "film": "{x} handelt",
        },
        aside="{name} ,",
        brackets=("(", ")"),
        comma=",",
        alias="{x} = {a} .",
    ),
    "ja": Phrasing(
        direct=("事実 ： {x} の {rel} は {a} 。", "{rel} ？ {x} ： {a} 。"),
        composed=("事実 ： {clause} {place} {aside} の {rel} は {a} 。",),
        located="事実 ： {clause} {place} は {a} 。",
        places={"state": "州", "city": "都市"},
        subjects={"state": "州", "city": "都市"},
        clauses={
            "player": "{x} が {sport} をした",
            "team": "{x} が本拠を置く",
            "city": "{x} がある",
            "landmark": "{x} が立つ",
            "event": "{x} が起きた",
            "film": "{x} の舞台となった",
        },
        aside="（ {name} ）",
        brackets=("（", "）"),
        comma="、",
        alias="{x} ＝ {a} 。",
    ),
}


def phrase_tokens() -> list[str]:
    """Every token that stands in a frame, a relation or a sport, in a fixed order without repeats."""
    found: list[str] = []
    for phrasing in PHRASES.values():
        frames = [*phrasing.direct, *phrasing.composed, phrasing.located, phrasing.aside, phrasing.alias]
        frames += [*phrasing.places.values(), *phrasing.subjects.values(), *phrasing.clauses.values()]
        found += [token for frame in frames for token in split_frame(frame) if "{" not in token]
        found += [*phrasing.brackets, phrasing.comma]
    found += [word for words in (*RELATION_WORDS.values(), *SPORT_WORDS.values()) for word in words]
    return list(dict.fromkeys(found))


@cache
def split_frame(frame: str) -> tuple[str, ...]:
    """The tokens and slots of a frame."""
    return tuple(token if "{" in token else token.replace("_", " ") for token in frame.split())
