"""A small generated corpus, and a model small enough to train in a second."""

import hashlib

import pytest

SMALL = [
    "--model.vocab-size", "300",
    "--model.context-length", "32",
    "--model.layers", "2",
    "--model.width", "32",
    "--model.heads", "4",
    "--model.kv-heads", "2",
    "--model.head-dim", "8",
    "--model.hidden", "64",
    "--training.batch-size", "8",
    "--training.log-every", "1",
    "--sample.tokens", "8",
    "--platform", "cpu",
]  # fmt: skip

WORDS = [
    "the",
    "a",
    "model",
    "token",
    "layer",
    "reads",
    "writes",
    "learns",
    "sees",
    "small",
    "large",
    "value",
    "key",
    "query",
    "head",
    "of",
    "in",
    "on",
    "to",
    "from",
    "with",
    "every",
    "each",
    "some",
    "text",
    "word",
    "line",
    "page",
    "book",
    "river",
    "stone",
    "light",
]


def sentence(number: int) -> str:
    """A line of words that depends on the number only."""
    digest = hashlib.sha256(str(number).encode()).digest()
    return " ".join(WORDS[byte % len(WORDS)] for byte in digest[:12]) + "."


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """A folder of 120 small text files."""
    folder = tmp_path_factory.mktemp("corpus")
    for number in range(120):
        lines = [sentence(100 * number + line) for line in range(6)]
        (folder / f"{number:03}.txt").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="session")
def small(corpus):
    """Arguments of a run that takes about a second."""
    return ["--corpus", str(corpus), *SMALL]
