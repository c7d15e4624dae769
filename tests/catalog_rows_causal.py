"""The synthetic catalog's rows about prompts: attribution, interventions, steering."""


def causal_rows(large: str, small: str, model: str, run: str, question: str) -> dict[str, list[tuple]]:
    """The rows by table, of two dictionaries' ids, the model's, the run's, and a question."""
    tokens = question.replace(":", " :").split()
    kobe = tokens.index("Kobe")
    asked = ("kobe", model, question, "1" * 64, "Sacramento", "Albany", tokens, 6.1, "Sacramento", True)
    steered = ("visit", model, "I want to visit", "2" * 64, None, None, ["I", "want", "to", "visit"], None, "a", None)
    accounts = (4.7, 0.2, 1.1, 6.0, 1.1 / 6.0, 0.93, 0.02, 0.9, 0.1)
    both, others = ([f"{large}:{i}" for i in pair] for pair in ((0, 1), (30, 31)))
    on_the_way = [(3, kobe, 2.5, 2.2), (4, kobe, 1.2, 1.1), (6, 7, 0.8, 0.9), (5, 7, 0.4, 0.3), (20, 1, -0.2, None)]
    return {
        "prompts": [asked, steered],
        "attribution_runs": [
            ("kobe", dictionary, "1" * 64, 6.1, *accounts, len(on_the_way), run) for dictionary in (large, small)
        ],
        "attributions": [
            ("kobe", d, f"{d}:{i}", i, position, tokens[position], 5.0, attribution, effect, 0.1, rank)
            for d in (large, small)
            for rank, (i, position, attribution, effect) in enumerate(on_the_way, start=1)
        ],
        "attribution_edges": [("kobe", f"{small}:3", kobe, f"{large}:6", 7, 0.7)],
        "interventions": [
            ("kobe", large, "ablate", [f"{large}:3"], [], None, False, "Sacramento", "Albany", 6.1, -0.4, None),
            ("kobe", large, "ablate", [f"{large}:20"], [], None, True, "Sacramento", "Sacramento", 6.1, 6.0, None),
            ("visit", large, "steer", both, both, 5.0, False, "a", "the", None, None, "the prison"),
            ("visit", large, "steer", others, others, 5.0, True, "a", "no", None, None, "no more"),
        ],
        "steering": [
            (f"{large}:0", large, 0, "visit", strength, completion, shift)
            for strength, completion, shift in (
                (-5.0, "the city", 0.6),
                (0.0, "a friend", 0.0),
                (5.0, "the bridge", 0.9),
                (10.0, "the Golden Gate Bridge", 2.1),
            )
        ],
    }
