"""What labelling would ask and cost, before anything is asked."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sae.config.labeling import LabelerConfig
from sae.identity import canonical_json
from sae.labels.budget import likely_input_tokens, most_input_tokens
from sae.labels.llm import FeatureQuestion, attempt_question
from sae.labels.question import model_settings, request_identity
from sae.labels.reply import SCHEMA
from sae.labels.request_ledger import RequestLedger


@dataclass(frozen=True)
class Estimate:
    """What a run would do, if every first attempt is of use."""

    features: int
    """Features that are due."""
    answered: int
    """Those whose reply lies in the ledger already: they cost nothing."""
    requests: int
    input_tokens: int
    """A quarter of the prompts' bytes, and the pictures."""
    output_tokens: int
    """As many as replies had so far on average; the limit, before the first."""
    cost_usd: float
    """Of these tokens."""
    most_usd: float
    """The most that the requests can cost, each sent once."""
    spent_usd: float
    """By the ledger so far."""
    budget_usd: float
    seconds: float | None
    """At the pace of the last thousand requests; None before the first."""

    @property
    def reached(self) -> bool:
        """Whether the budget is likely to hold them all."""
        return self.spent_usd + self.cost_usd <= self.budget_usd


def estimate(questions: Iterable[FeatureQuestion], config: LabelerConfig, ledger_path: Path) -> Estimate:
    """Estimate what asking about some features would cost. Nothing is sent, and no key is needed.

    Raises ConfigError where the config names no model.
    """
    settings = model_settings(config)
    ledger = RequestLedger(ledger_path, config.budget_usd or 0.0)
    try:
        pace, spent = ledger.pace(), ledger.spent()
        features = answered = sent = most = 0
        for question in questions:
            features += 1
            body = request_identity(settings, attempt_question(question, config, 1))
            if ledger.known(hashlib.sha256(body.encode()).hexdigest()):
                answered += 1
                continue
            sent += likely_input_tokens(question.messages, settings.image_tokens)
            most += most_input_tokens(question.messages, canonical_json(SCHEMA), settings.image_tokens)
    finally:
        ledger.close()
    requests = features - answered
    received = round(requests * (pace.output_tokens if pace else settings.max_output_tokens))
    return Estimate(
        features=features,
        answered=answered,
        requests=requests,
        input_tokens=sent,
        output_tokens=received,
        cost_usd=settings.price.cost(sent, received),
        most_usd=settings.price.cost(most, requests * settings.max_output_tokens),
        spent_usd=spent,
        budget_usd=config.budget_usd or 0.0,
        seconds=requests * pace.seconds / settings.concurrency if pace else None,
    )
