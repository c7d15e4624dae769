"""What is tried again, and when."""

import random
from datetime import UTC, datetime

import pytest

from sae.labels.backoff import LONGEST_WAIT_S, asked_wait, is_passing, wait_before
from sae.labels.budget import Price, likely_input_tokens, most_input_tokens

NOW = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)


@pytest.mark.parametrize(("status", "passing"), [(None, True), (408, True), (429, True), (500, True), (529, True),
                                                 (400, False), (401, False), (404, False), (422, False)])  # fmt: skip
def test_which_faults_may_pass(status, passing):
    assert is_passing(status) is passing


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3.0),
        ("0.25", 0.25),
        ("Wed, 06 May 2026 07:08:39 GMT", 30.0),
        ("Wed, 06 May 2026 07:00:00 GMT", 0.0),
        (None, None),
        ("soon", None),
        ("-5", None),
        ("nan", None),
        ("inf", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header, seconds):
    assert asked_wait(header, NOW) == seconds


def test_waits_double_up_to_a_limit_and_differ_among_requests():
    generator = random.Random(0)
    waits = [wait_before(send, generator) for send in range(2, 20)]

    assert all(0.25 * 2**n <= wait <= 0.5 * 2**n for n, wait in enumerate(waits[:6]))
    assert max(waits) <= LONGEST_WAIT_S
    assert len({wait_before(5, generator) for _ in range(20)}) == 20


def test_a_prompt_s_bound_counts_every_byte_and_picture():
    messages = [
        {"role": "system", "content": "é" * 10},
        {"role": "user", "content": [{"type": "text", "text": "abc"}, {"type": "image_url", "image_url": {"url": ""}}]},
    ]

    most = most_input_tokens(messages, "{}", image_tokens=1000)

    assert most >= 20 + 3 + 2 + 1000
    assert 1000 < likely_input_tokens(messages, image_tokens=1000) < most


def test_prices_are_per_million_tokens():
    assert Price(0.15, 0.60).cost(1_000_000, 500_000) == pytest.approx(0.45)
    assert Price(0.15, 0.60).halved().cost(1_000_000, 500_000) == pytest.approx(0.225)
