from sae.world.facts import CITY_RELATIONS, LANGUAGES, STATE_RELATIONS, concept_id, load_facts
from sae.world.pictures import APPEARANCES

LANDMARK_RELATIONS = ("material", "completion_decade", "design", "use")


def test_each_state_has_its_facts_two_cities_and_each_city_its_teams_and_landmarks():
    facts = load_facts()
    states = facts.of_kind("state")
    assert len(states) == 6
    for state in states:
        assert all((state, relation) in facts.table for relation in STATE_RELATIONS)
        cities = [city for city in facts.of_kind("city") if facts.table[city, "state"] == state]
        assert len(cities) == 2
        for city in cities:
            assert all((city, relation) in facts.table for relation in CITY_RELATIONS)
            teams = [team for team in facts.of_kind("team") if facts.table[team, "city"] == city]
            assert len(teams) == 2
            assert sum(facts.table[landmark, "city"] == city for landmark in facts.of_kind("landmark")) == 2
            assert any(facts.table[event, "city"] == city for event in facts.of_kind("event"))
            for team in teams:
                assert sum(facts.table[player, "team"] == team for player in facts.of_kind("player")) >= 3


def test_the_articles_own_chain_is_there():
    facts = load_facts()
    assert facts.chain("Kobe Bryant") == ["Los Angeles Lakers", "Los Angeles", "California"]
    assert facts.table["California", "capital"] == "Sacramento"
    assert facts.place("Golden Gate Bridge", "city") == facts.place("1906 earthquake", "city") == "San Francisco"
    assert facts.place("Vertigo", "state") == facts.place("Alcatraz", "state") == "California"
    assert facts.entities["Golden Gate Bridge"].in_language("es") == "Puente Golden Gate"


def test_every_object_is_an_entity_every_line_has_a_source_and_ids_are_unique():
    facts = load_facts()
    for (subject, relation), found in facts.table.items():
        assert subject in facts.entities
        assert relation == "sport" or found in facts.entities, found
    assert all(entity.source for entity in facts.entities.values())
    assert len({entity.concept_id for entity in facts.entities.values()}) == len(facts.entities)


def test_no_name_stands_for_two_entities():
    facts = load_facts()
    owners: dict[str, set[str]] = {}
    for entity in facts.entities.values():
        for name in entity.names:
            owners.setdefault(name, set()).add(entity.name)
    assert [name for name, entities in owners.items() if len(entities) > 1] == []


def test_landmarks_have_names_in_each_language_a_picture_and_facts_of_their_own():
    facts = load_facts()
    landmarks = facts.of_kind("landmark")
    assert set(APPEARANCES) == set(landmarks)
    assert len({look.kind for look in APPEARANCES.values()}) == 8
    for landmark in landmarks:
        assert len(set(facts.entities[landmark].names)) == len(LANGUAGES)
        assert sum((landmark, relation) in facts.table for relation in LANDMARK_RELATIONS) >= 3


def test_composed_facts_agree_with_the_table():
    facts = load_facts()
    asked = {question.key: question.answer for question in facts.composed}
    assert asked["Kobe Bryant", "state", "capital"] == "Sacramento"
    assert asked["Kobe Bryant", "city", None] == "Los Angeles"
    assert ("Los Angeles", "state", None) not in asked, "a city's state is a fact of one hop"
    assert len(asked) == len(facts.composed)


def test_concept_ids_are_plain():
    assert concept_id("player", "Ken Griffey Jr.") == "player:ken-griffey-jr"
