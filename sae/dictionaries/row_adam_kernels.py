"""Gradient, projection, Adam and norm of one latent after the other; nothing is written but weights and moments."""

import numpy as np

from sae.dictionaries.compiled import compiled


@compiled
def row_gradient(i, level, entries, added, weights, unit_rows, for_decoder, for_encoder):
    """The gradients of row i of decoder and encoder, into `for_decoder` and `for_encoder` [d]."""
    starts, order, rows, codes, slopes, towards, inputs = entries
    slots, added_decoder, added_encoder, along = added
    d = len(for_decoder)
    for_decoder[:] = 0
    for_encoder[:] = 0
    for place in range(starts[i], starts[i + 1]):
        entry, row = order[place], rows[place]
        code, slope = codes[entry], slopes[entry]
        a, b = towards[level, row], inputs[row]
        for j in range(d):
            for_decoder[j] += code * a[j]
            for_encoder[j] += slope * b[j]
    slot = slots[i]
    if slot >= 0:
        for j in range(d):
            for_decoder[j] += added_decoder[slot, j]
            for_encoder[j] += added_encoder[slot, j]
    w = weights[i]
    towards_row = along[i]
    if unit_rows:
        product = np.float32(0)
        for j in range(d):
            product += for_decoder[j] * w[j]
        towards_row = -product
    for j in range(d):
        for_decoder[j] += towards_row * w[j]


@compiled
def square_norms(start, stop, levels, entries, added, weights, unit_rows, out, for_decoder, for_encoder):
    """out[i] = squared norm of the gradients of row i; `for_decoder` and `for_encoder` [d] are room to work in."""
    d = weights.shape[1]
    for i in range(start, stop):
        row_gradient(i, levels[i], entries, added, weights, unit_rows, for_decoder, for_encoder)
        total = np.float32(0)
        for j in range(d):
            total += for_decoder[j] * for_decoder[j] + for_encoder[j] * for_encoder[j]
        out[i] = total


@compiled
def adam(w, m, v, g, constants):
    """One step of Adam on a row. Moments of long silent latents end at 0: subnormal numbers are slow."""
    clip, rate, keep1, take1, keep2, take2, root_of_correction, epsilon, least = constants
    for j in range(len(w)):
        gradient = clip * g[j]
        first = keep1 * m[j] + take1 * gradient
        second = keep2 * v[j] + take2 * gradient * gradient
        if abs(first) <= least:
            first = np.float32(0)
        if second <= least:
            second = np.float32(0)
        m[j] = first
        v[j] = second
        w[j] -= rate * first / (np.sqrt(second) * root_of_correction + epsilon)


@compiled
def update(
    start, stop, levels, entries, added, decoder, encoder, moments, unit_rows, constants, for_decoder, for_encoder
):
    """Adam on the rows from start to stop of decoder and encoder; the last two arguments [d] are room to work in."""
    m_decoder, v_decoder, m_encoder, v_encoder = moments
    d = decoder.shape[1]
    for i in range(start, stop):
        row_gradient(i, levels[i], entries, added, decoder, unit_rows, for_decoder, for_encoder)
        w = decoder[i]
        adam(w, m_decoder[i], v_decoder[i], for_decoder, constants)
        adam(encoder[i], m_encoder[i], v_encoder[i], for_encoder, constants)
        if unit_rows:
            total = np.float32(0)
            for j in range(d):
                total += w[j] * w[j]
            scale = np.float32(1) / max(np.sqrt(total), np.float32(1e-30))
            for j in range(d):
                w[j] *= scale
