"""How much more frequent a word is at a feature's positions than in the corpus."""

from math import log, sqrt

import polars as pl


class Corpus:
    """Word counts of a corpus, the background of the log-odds.

    :param word_counts: word, language, modality, n
    :param prior: weight of the corpus in the log-odds, in words
    """

    def __init__(self, word_counts: pl.DataFrame, prior: float):
        by_word = word_counts.group_by("word").agg(pl.col("n").sum())
        self._counts: dict[str, int] = dict(by_word.iter_rows())
        self.n_words = max(sum(self._counts.values()), 1)
        self._prior = prior
        by_language = word_counts.group_by("language").agg(pl.col("n").sum() / self.n_words)
        self.languages: dict[str, float] = dict(by_language.iter_rows())
        """Share of the words in each language."""

    def count(self, word: str) -> int:
        """Occurrences in the corpus, at least 1 (a word that was seen at all occurs)."""
        return self._counts.get(word, 1)

    def z(self, word: str, weight: float, total: float) -> float:
        """z-score of a word's log-odds, where it holds `weight` of a feature's `total`.

        δ = log (y + α)/(n + α₀ − y − α) − log p/(1 − p), z = δ/√(1/(y + α) + 1/(c + α)), with p the word's share of
        the corpus, c its count there, α₀ the prior and α = α₀ p (Monroe, Colaresi and Quinn 2008, equations 15–22).
        """
        count = self.count(word)
        share = min(count / self.n_words, 0.999)
        alpha = self._prior * share
        inside = weight + alpha
        outside = max(total + self._prior - inside, 1e-9)
        delta = log(inside / outside) - log(share / (1 - share))
        return delta / sqrt(1 / inside + 1 / (count + alpha))
