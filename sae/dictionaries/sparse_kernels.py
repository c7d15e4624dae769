"""The sparse products as loops over rows that stay in the cache. What each gives is said in `sparse`."""

import numpy as np

from sae.dictionaries.compiled import compiled


@compiled
def products(start, stop, x, weights, offsets, features, out):
    """out[e] = x_row · weights_feature for the entries e of the rows from start to stop."""
    d = x.shape[1]
    for row in range(start, stop):
        a = x[row]
        for entry in range(offsets[row], offsets[row + 1]):
            b = weights[features[entry]]
            total = np.float32(0)
            for j in range(d):
                total += a[j] * b[j]
            out[entry] = total


@compiled
def reconstruct(start, stop, values, decoder, offsets, features, target, stops, weights, squared, towards, slopes):
    """Decode, compare and go back, row by row: a row's latents are read from memory once for all three."""
    d, prefixes = target.shape[1], len(stops)
    for row in range(start, stop):
        first, last = offsets[row], offsets[row + 1]
        entry = first
        for prefix in range(prefixes):
            error = towards[prefix, row]
            if prefix == 0:
                for j in range(d):
                    error[j] = -target[row, j]
            else:
                before = towards[prefix - 1, row]
                for j in range(d):
                    error[j] = before[j]
            while entry < last and features[entry] < stops[prefix]:
                w, value = decoder[features[entry]], values[entry]
                for j in range(d):
                    error[j] += value * w[j]
                entry += 1
            total = np.float32(0)
            for j in range(d):
                total += error[j] * error[j]
            squared[row, prefix] = total
        for prefix in range(prefixes - 1, -1, -1):
            error = towards[prefix, row]
            if prefix == prefixes - 1:
                for j in range(d):
                    error[j] *= weights[prefix]
            else:
                after = towards[prefix + 1, row]
                for j in range(d):
                    error[j] = weights[prefix] * error[j] + after[j]
        prefix = 0
        for entry in range(first, last):
            while features[entry] >= stops[prefix]:
                prefix += 1
            error, w = towards[prefix, row], decoder[features[entry]]
            total = np.float32(0)
            for j in range(d):
                total += error[j] * w[j]
            slopes[entry] = total


@compiled
def by_feature(offsets, features, starts, order, rows, place):
    """Counting sort of entries by latent, rows ascending within each: `order` and `rows` [m], starts [d_sae + 1].

    `place` [d_sae] is room to work in.
    """
    for feature in features:
        starts[feature + 1] += 1
    for feature in range(len(starts) - 1):
        starts[feature + 1] += starts[feature]
    for feature in range(len(place)):
        place[feature] = starts[feature]
    for row in range(len(offsets) - 1):
        for entry in range(offsets[row], offsets[row + 1]):
            feature = features[entry]
            order[place[feature]] = entry
            rows[place[feature]] = row
            place[feature] += 1
