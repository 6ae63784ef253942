"""Which banding of MinHash signatures finds which near duplicates, planted at known similarity.

Shows: the share of pairs that become candidates by theory and by count for several bandings, and
what the cleaning line's check of candidates makes of them: recall and precision at Jaccard 0.8.

    python experiments/banding.py

Cost: ten seconds of one CPU core. Came out: counts as the theory has them, within what 400 pairs
allow; at Jaccard 0.8 a banding of 14 x 8 finds 95 % of the pairs (93 % expected), 9 x 13 finds
40 %, 26 x 8 finds 99 %, and with the check that follows no pair below 0.8 is taken for a duplicate.
"""

import random

import numpy as np

from jaxlm.data.duplicate_clusters import connect, find_clusters, roots
from jaxlm.data.near_duplicates import (
    NearConfig,
    band_keys,
    banding,
    candidate_probability,
    describe_banding,
    signatures,
    similarity,
)
from jaxlm.data.word_hashes import words

PAIRS, WORDS = 400, 300
TARGETS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9)
BANDINGS = ((14, 8), (20, 5), (9, 13), (26, 8), banding(0.8, 0.999, 512))


def plant(generator: random.Random, target: float, shingle: int) -> tuple[str, str]:
    """Two texts; words of the second are changed as long as `target` is not undercut."""
    first = [f"w{generator.getrandbits(40)}" for _ in range(WORDS)]
    second, changed = list(first), set[int]()
    total = WORDS - shingle + 1
    for place in generator.sample(range(WORDS), WORDS):
        after = changed | set(range(max(0, place - shingle + 1), min(place, total - 1) + 1))
        if (total - len(after)) / (total + len(after)) >= target:
            second[place], changed = f"x{generator.getrandbits(40)}", after
    return " ".join(first), " ".join(second)


def main() -> None:
    """Prints the tables."""
    generator = random.Random(0)
    shingle = NearConfig().shingle
    pairs = [plant(generator, t, shingle) for t in TARGETS for _ in range(PAIRS)]
    texts = [text for pair in pairs for text in pair]
    hashed = words(texts)
    exact = np.array([similarity(*pair, NearConfig()) for pair in pairs])
    print(f"{'':16}" + "".join(f"   J={t:<11}" for t in TARGETS) + " recall at 0.8  precision")
    print(f"{'bands x rows':16}" + "  theory counted" * len(TARGETS))
    for bands, rows in BANDINGS:
        config = NearConfig(bands=bands, rows=rows)
        minima = signatures(hashed, config)
        keys = band_keys(minima, config)
        candidates = (keys[:, ::2] == keys[:, 1::2]).any(axis=0).reshape(len(TARGETS), PAIRS)
        theory = np.array([candidate_probability(s, bands, rows) for s in exact])
        labels, open_pairs = find_clusters(
            keys, minima.__getitem__, np.ones(len(texts), bool), config
        )
        checked = [similarity(texts[a], texts[b], config) for a, b in open_pairs]
        sure = open_pairs[np.array(checked) >= config.threshold]
        connect(labels, sure[:, 0], sure[:, 1])
        labels = roots(labels, np.arange(len(texts)))
        found, true = labels[::2] == labels[1::2], exact >= config.threshold
        cells = "".join(
            f"  {t:6.1%} {c:7.1%}"
            for t, c in zip(
                theory.reshape(candidates.shape).mean(axis=1), candidates.mean(axis=1), strict=True
            )
        )
        recall = found.reshape(candidates.shape)[TARGETS.index(0.8)].mean()
        print(f"{f'{bands} x {rows}':16}{cells}  {recall:14.1%}  {true[found].mean():9.1%}")
    print("\n" + describe_banding(NearConfig()))


if __name__ == "__main__":
    main()
