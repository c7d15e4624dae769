import pytest
import torch

from sae.causal.answer import Answer, answer_of
from sae.errors import AtlasError
from sae.models.subject import Subject


def scores(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, 12, generator=torch.Generator().manual_seed(0))


def test_two_tokens_are_compared_by_their_logits_at_the_last_place():
    read = scores(5, 1)
    assert Answer((3,), (4,)).branches == ((3,),)
    torch.testing.assert_close(Answer((3,), (4,)).difference([read]), read[:, 0, 3] - read[:, 0, 4])


def test_several_tokens_are_compared_by_their_log_probabilities():
    answer = Answer((3, 4), (5, 6, 7))
    assert answer.branches == ((3, 4), (5, 6, 7))
    own, other = scores(2), scores(3)
    logp, logq = own.log_softmax(-1), other.log_softmax(-1)
    wanted = logp[0, 3] + logp[1, 4] - logq[0, 5] - logq[1, 6] - logq[2, 7]
    torch.testing.assert_close(answer.difference([own, other]), wanted)


def test_what_both_have_in_common_cancels():
    answer = Answer((3, 4), (3, 6))
    assert answer.branches == ((3, 4),)
    own = scores(2)
    both = own.log_softmax(-1)
    torch.testing.assert_close(answer.difference([own]), both[1, 4] - both[1, 6])


def test_without_a_baseline_each_token_is_compared_with_the_mean_logit():
    own = scores(2)
    wanted = own[0, 3] - own[0].mean() + own[1, 4] - own[1].mean()
    torch.testing.assert_close(Answer((3, 4)).difference([own]), wanted)


def test_continuations_are_spelt_in_the_model_s_tokens(linear: Subject):
    assert answer_of(linear, "c d", "e") == Answer((3, 4), (5,))
    assert answer_of(linear, "c", None) == Answer((3,))
    with pytest.raises(AtlasError, match="the same tokens"):
        answer_of(linear, "c d", "c d")
    with pytest.raises(AtlasError, match="at least one token"):
        answer_of(linear, "c", " ")
