"""Makes the tables by which `jaxlm.data.cleaning.gibberish` tells letters from noise.

    python experiments/letter_trigrams.py texts/ --output jaxlm/data/cleaning/letter_trigrams.npy

Each folder in texts/ is a group of related languages and becomes a table; each file in it is one
language (or kind of source code) of some 20,000 characters or more. The shipped tables were made
from the manual pages that Debian translates into 14 languages, Django's translations into 45
languages in Latin script, Python's documentation and library, the Linux kernel's documentation, C
headers, fortunes in five languages, and Shakespeare.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from jaxlm.data.cleaning.gibberish import BITS, SYMBOLS, letter_symbols, letter_trigrams

_BLOCK = 1 << 17
_SHARE = 1e5  # counts of each language, whatever the size of its text


def trigram_counts(text: str) -> np.ndarray:
    """How often each symbol follows each two; [28, 28, 28]."""
    flat = np.zeros(SYMBOLS**3)
    for start in range(0, len(text), _BLOCK):
        trigrams = letter_trigrams(letter_symbols(text[start : start + _BLOCK]))
        flat += np.bincount(trigrams, minlength=SYMBOLS**3)
    counts = flat.reshape(SYMBOLS, SYMBOLS, SYMBOLS)
    counts[0, 0, 0] = 0
    return counts


def surprise(counts: np.ndarray) -> np.ndarray:
    """-log2 of the probability of each symbol after each two; rare contexts lean on shorter ones.

    Weights of 100 and 200 counts for the shorter contexts (Dirichlet smoothing).
    """
    pairs = counts.sum(0)
    one = (pairs.sum(0) + 1) / (pairs.sum(0) + 1).sum()
    two = (pairs + 200 * one) / (pairs.sum(1, keepdims=True) + 200)
    three = (counts + 100 * two) / (counts.sum(2, keepdims=True) + 100)
    return -np.log2(three)


def table(languages: list[np.ndarray]) -> np.ndarray:
    """The table of some languages, each with the same weight; uint8, in units of `BITS`."""
    result = surprise(sum(counts / counts.sum() * _SHARE for counts in languages))
    result[:, :, 0] = 0  # only letters count
    return np.clip(np.rint(result / BITS), 0, 255).astype(np.uint8)


def main() -> None:
    """Reads the texts and writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="GROUP/LANGUAGE.txt")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    tables = []
    for group in sorted(arguments.folder.iterdir()):
        counts = {
            path.stem: trigram_counts(path.read_text(encoding="utf-8"))
            for path in sorted(group.iterdir())
        }
        tables.append(table(list(counts.values())))
        bits = {
            name: (own * tables[-1]).sum() * BITS / own[:, :, 1:].sum()
            for name, own in counts.items()
        }
        print(f"{group.name}:", ", ".join(f"{name} {value:.2f}" for name, value in bits.items()))
    np.save(arguments.output, np.stack(tables))


if __name__ == "__main__":
    main()
