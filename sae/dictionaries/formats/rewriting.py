"""The same dictionary written another way: formats differ in where a bias or a scale stands."""

from dataclasses import replace

from torch import Tensor

from sae.dictionaries.dictionary import Dictionary


def with_input_bias(dictionary: Dictionary, apply_b_dec_to_input: bool) -> Dictionary:
    """The dictionary whose encoder reads x − b_dec, or x itself, with the same codes and reconstructions.

    W_encᵀ(x − b_dec) + b = W_encᵀx + (b − W_encᵀb_dec); the magnitude's bias of a gated encoder moves with the factor
    exp(r_mag) of its product.
    """
    if dictionary.apply_b_dec_to_input == apply_b_dec_to_input:
        return dictionary
    moved = dictionary.b_dec @ dictionary.W_enc
    if not apply_b_dec_to_input:
        moved = -moved
    b_mag = dictionary.b_mag
    if b_mag is not None and dictionary.r_mag is not None:
        b_mag = b_mag + moved * dictionary.r_mag.exp()
    return replace(dictionary, b_enc=dictionary.b_enc + moved, b_mag=b_mag, apply_b_dec_to_input=apply_b_dec_to_input)


def over_raw_input(dictionary: Dictionary, scale: float) -> Dictionary:
    """The dictionary over raw x with the codes that `dictionary` has over scale·x, its reconstructions unscaled."""
    return replace(
        dictionary,
        W_enc=(dictionary.W_enc * scale).contiguous(),
        W_dec=(dictionary.W_dec / scale).contiguous(),
        b_dec=dictionary.b_dec / scale,
    )


def in_input_units(dictionary: Dictionary, norm: float) -> Dictionary:
    """The dictionary over raw x that does what `dictionary` does over x / norm, codes times norm, same weights.

    Biases and thresholds grow with the norm: z(x) = norm · z(x / norm).
    """

    def grown(part: Tensor | None) -> Tensor | None:
        return None if part is None else part * norm

    return replace(
        dictionary,
        b_enc=dictionary.b_enc * norm,
        b_dec=dictionary.b_dec * norm,
        threshold=grown(dictionary.threshold),
        b_mag=grown(dictionary.b_mag),
    )


def over_unwhitened_input(dictionary: Dictionary, mean: Tensor, matrix: Tensor, inverse: Tensor) -> Dictionary:
    """The dictionary over raw x with the codes that `dictionary` has over (x − mean) matrix, mapped back by `inverse`.

    mean [d_in], matrix and its inverse [d_in, d_in]. Where the encoder reads its input itself, the mean moves into its
    biases; else into b_dec, which is taken off before.
    """
    W_enc = (matrix @ dictionary.W_enc).contiguous()
    b_enc, b_mag = dictionary.b_enc, dictionary.b_mag
    if not dictionary.apply_b_dec_to_input:
        moved = mean @ W_enc
        b_enc = b_enc - moved
        if b_mag is not None and dictionary.r_mag is not None:
            b_mag = b_mag - moved * dictionary.r_mag.exp()
    return replace(
        dictionary,
        W_enc=W_enc,
        b_enc=b_enc,
        b_mag=b_mag,
        W_dec=(dictionary.W_dec @ inverse).contiguous(),
        b_dec=dictionary.b_dec @ inverse + mean,
    )
