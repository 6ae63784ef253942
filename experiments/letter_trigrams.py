"""Makes the table by which `jaxlm.data.cleaning.gibberish` tells letters from noise.

    python experiments/letter_trigrams.py texts/ --output jaxlm/data/cleaning/letter_trigrams.npy

Each file of the folder is one language (or kind of source code), of some 20,000 characters or more.
The shipped table was made from the manual pages that Debian translates into 14 languages, Django's
translations into 48 languages in Latin script, Python's documentation and library, the Linux
kernel's documentation, C headers, fortunes and Shakespeare.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from jaxlm.data.cleaning.gibberish import BITS, SYMBOLS, letter_symbols, letter_trigrams

_BLOCK = 1 << 17
_ROUNDS = 12


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


def fit(languages: dict[str, np.ndarray]) -> np.ndarray:
    """A table that finds languages about as surprising: one weighs more, the worse it did."""
    shares = {name: counts / counts.sum() * 1e5 for name, counts in languages.items()}
    weights = dict.fromkeys(shares, 1.0)
    for _ in range(_ROUNDS):
        table = surprise(sum(weights[name] * share for name, share in shares.items()))
        bits = {
            name: (share * table)[:, :, 1:].sum() / share[:, :, 1:].sum()
            for name, share in shares.items()
        }
        mean = np.mean(list(bits.values()))
        for name in weights:
            weights[name] = max(1.0, weights[name] * np.exp(np.clip(bits[name] - mean, -0.5, 0.5)))
    for name in sorted(bits, key=bits.__getitem__):
        print(f"{name:24} {bits[name]:.2f} bits a letter, weight {weights[name]:.2f}")
    table = surprise(sum(weights[name] * share for name, share in shares.items()))
    table[:, :, 0] = 0  # only letters count
    return np.clip(np.rint(table / BITS), 0, 255).astype(np.uint8)


def main() -> None:
    """Reads the texts and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="holds a text file for each language")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    np.save(
        arguments.output,
        fit(
            {
                path.stem: trigram_counts(path.read_text(encoding="utf-8"))
                for path in sorted(arguments.folder.iterdir())
            }
        ),
    )


if __name__ == "__main__":
    main()
