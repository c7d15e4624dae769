"""The figures beside their goals, for people."""

from speed import Contest

GOALS = {
    "ratio_topk": (3, 4),
    "ratio_topk_12288": (3, 4),
    "ratio_topk_autocast": (2, 2.5),
    "ratio_auxk": (3, 6),
    "ratio_batchtopk": (3, 6),
    "ratio_matryoshka": (3, 6),
    "ratio_jumprelu": (1.3, 2),
    "ratio_gated": (1.3, 2),
    "ratio_standard": (1.3, 2),
    "ratio_time_to_fvu": (3, 4),
    "share_of_product": (0.7, 0.8),
    "memory_ratio": (0.7, 0.5),
    "harvest_ratio": (0.95, 0.98),
}
"""What each must reach, and the goal."""


def goals_table(found: dict[str, float | None], contests: dict[tuple[str, int], Contest]) -> str:
    """Tokens a second and memory of every trainer, then each ratio beside its goals, as markdown."""
    lines = ["| variant | d_sae | trainer | tokens/s | peak MiB |", "|---|---|---|---|---|"]
    for one in contests.values():
        for name, speed in sorted(one.tokens_per_s.items(), key=lambda item: -item[1]):
            lines.append(f"| {one.variant} | {one.d_sae:,} | {name} | {speed:,.0f} | {one.peak_mib[name]:,.0f} |")
    lines += ["", "| figure | must | goal | measured |", "|---|---|---|---|"]
    for name, value in found.items():
        must, goal = GOALS.get(name, ("–", "–"))
        lines.append(f"| {name} | {must} | {goal} | {'–' if value is None else f'{value:.3g}'} |")
    return "\n".join(lines)
