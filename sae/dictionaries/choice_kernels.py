"""The choice of active latents, as loops over scores that were just computed and are still in the cache.

Scores come as the integers that their bits spell: of floats above zero these have the same order, and what is not above
zero spells an integer below 1. (A NaN may spell one above all others: it is chosen, and the loss shows it.)
"""

import numpy as np

from sae.dictionaries.compiled import compiled

_CHUNK = 64


@compiled
def kth_largest(values, n, k, top):
    """The greatest t from 1 to `top` that at least k of values[:n] reach; 1 where there is none."""
    low, high = 1, top
    while low < high:
        middle = (low + high + 1) >> 1
        reached = np.int32(0)
        for i in range(n):
            reached += np.int32(values[i] >= middle)
        if reached >= k:
            low = middle
        else:
            high = middle - 1
    return low


@compiled
def largest(start, stop, scores, k, lanes, top, chosen, counts, maxima, columns, candidates):
    """Columns of the k largest positive scores of each row, in no order: chosen[row, :counts[row]].

    Of `lanes` >= k interleaved groups of columns the k-th largest maximum is a floor that k scores reach; only groups
    whose maximum reaches it are looked at again. Of equal scores at the edge any are taken, always the same ones.
    `maxima` [lanes], `columns` and `candidates` [d_sae] are room to work in.
    """
    d_sae = scores.shape[1]
    for row in range(start, stop):
        line = scores[row]
        for lane in range(lanes):
            maxima[lane] = line[lane]
        for first in range(lanes, d_sae - lanes + 1, lanes):
            part = line[first : first + lanes]
            for lane in range(lanes):
                maxima[lane] = max(maxima[lane], part[lane])
        for lane in range(d_sae % lanes):
            maxima[lane] = max(maxima[lane], line[d_sae - d_sae % lanes + lane])

        floor = kth_largest(maxima, lanes, k, top)
        found = 0
        for lane in range(lanes):
            if maxima[lane] >= floor:
                for column in range(lane, d_sae, lanes):
                    if line[column] >= floor:
                        columns[found] = column
                        candidates[found] = line[column]
                        found += 1
        if found <= k:
            for i in range(found):
                chosen[row, i] = columns[i]
            counts[row] = found
            continue
        edge = kth_largest(candidates, found, k, top)
        taken = 0
        for i in range(found):
            if candidates[i] > edge:
                chosen[row, taken] = columns[i]
                taken += 1
        for i in range(found):
            if candidates[i] == edge and taken < k:
                chosen[row, taken] = columns[i]
                taken += 1
        counts[row] = taken


@compiled
def keep_largest(start, stop, scores, k, top):
    """Zero all but the k largest positive scores of each row; of equal ones at the edge the first."""
    d_sae = scores.shape[1]
    for row in range(start, stop):
        line = scores[row]
        edge = kth_largest(line, d_sae, k, top)
        above = 0
        for i in range(d_sae):
            above += line[i] > edge
        for i in range(d_sae):
            if line[i] <= edge:
                if line[i] == edge and above < k:
                    above += 1
                else:
                    line[i] = 0


@compiled
def count_reaching(scores, first, last, floor, shift, seen):
    """Add to the histogram `seen` of score >> shift the columns' scores that are at least `floor` (>= 1)."""
    for row in range(len(scores)):
        line = scores[row][first:last]
        for begin in range(0, last - first, _CHUNK):
            part = line[begin : min(begin + _CHUNK, last - first)]
            greatest = part[0]
            for i in range(len(part)):
                greatest = max(greatest, part[i])
            if greatest >= floor:
                for i in range(len(part)):
                    if part[i] >= floor:
                        seen[part[i] >> shift] += 1


@compiled
def floor_of(seen, wanted, shift, found):
    """found[0]: the greatest floor, a whole bin of the histogram, that `wanted` scores reach, or 1; found[1]: by how
    many it is reached."""
    total = 0
    for score in range(len(seen) - 1, 0, -1):
        total += seen[score]
        if total >= wanted:
            found[0], found[1] = score << shift, total
            return
    found[0], found[1] = 1, total + seen[0]


@compiled
def gather_reaching(scores, first, last, floor, first_row, rows, columns, kept, count):
    """Row, column and score of the columns' scores that are at least `floor` (>= 1), in reading order; count[0]."""
    found = 0
    for row in range(len(scores)):
        line = scores[row][first:last]
        for begin in range(0, last - first, _CHUNK):
            part = line[begin : min(begin + _CHUNK, last - first)]
            greatest = part[0]
            for i in range(len(part)):
                greatest = max(greatest, part[i])
            if greatest >= floor:
                for i in range(len(part)):
                    if part[i] >= floor:
                        rows[found] = first_row + row
                        columns[found] = first + begin + i
                        kept[found] = part[i]
                        found += 1
    count[0] = found
