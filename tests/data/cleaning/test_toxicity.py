"""Toxicity: rates worked out by hand, innocent look-alikes, lists of one's own, a classifier."""

import pickle

import pytest

from jaxlm.data.cleaning.toxicity import (
    ToxicityConfig,
    read_toxic_words,
    toxic_severity,
    toxicity_step,
)
from jaxlm.data.documents import Document
from jaxlm.errors import InputError

WORDS = read_toxic_words()
CALM = "The river runs dry in late summer most of these years. "  # 11 words


def document(text):
    return Document(text, "s", "1")


@pytest.mark.parametrize(
    ("text", "severity", "words"),
    [
        ("", 0, 0),
        (CALM, 0, 11),
        ("You IDIOT! You—idiot.", 4, 4),
        ("That piece of shit.", 3, 4),
        ("Shut up. Shut that door up!", 1, 6),
        ("They should go to hell, not 'to hell'.", 2, 8),
        ("What an *idiot*; “morons” all.", 4, 5),
    ],
)
def test_severity(text, severity, words):
    assert toxic_severity(text, WORDS) == (severity, words)


@pytest.mark.parametrize(
    "text",
    [
        "Run kill -9 on the child process, then kill the master and its slave.",
        "The people of Scunthorpe and Penistone assess classic bass cocktails.",
        "To abort, execute the hung task; the dead letter queue is garbage-collected.",
        "Essex and Sussex; the titular analyst's grape harvest; shiitake mushrooms.",
    ],
)
def test_innocent_look_alikes(text):
    assert toxic_severity(text, WORDS)[0] == 0


def test_the_rate_counts():
    step = toxicity_step(ToxicityConfig())
    insult = "You are an idiot, you moron! "  # 6 words, severity 4
    # 4 of 6 + 11 * n words: 20 for 1,000 words are exceeded up to 17 calm sentences.
    assert step(document(insult + CALM * 17)).dropped_by == "toxicity"
    kept = step(document(insult + CALM * 18))
    assert (kept.dropped_by, kept.counts) == ("", {"severity": 4})
    # One word alone never drops a text.
    assert step(document("What an idiot!")).dropped_by == ""


def test_removing_lines():
    step = toxicity_step(ToxicityConfig(action="remove_lines"))
    text = f"{CALM}\nYou idiot!\n\nThat is a dumb terminal.\nGo to hell.\n{CALM}"
    verdict = step(document(text))
    assert verdict.text == f"{CALM}\n\nThat is a dumb terminal.\n{CALM}"
    assert (verdict.dropped_by, dict(verdict.counts)) == ("", {"severity": 5, "lines": 2})


def test_a_list_of_ones_own(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("# ours\n\nFlüsse 3\ndry river 2\ndry river bed 1\n", encoding="utf-8")
    words = read_toxic_words(path)
    assert toxic_severity("FLÜSSE: a dry river, a dry river bed, an idiot", words)[0] == 6
    step = pickle.loads(pickle.dumps(toxicity_step(ToxicityConfig(words=str(path)))))
    assert step(document("Flüsse flüsse")).dropped_by == "toxicity"


@pytest.mark.parametrize("line", ["word", "word 4", "3", "two words"])
def test_a_wrong_line_is_named(tmp_path, line):
    path = tmp_path / "words.txt"
    path.write_text(f"fine 1\n{line}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"words\.txt, line 2: "):
        read_toxic_words(path)


def test_no_list(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        toxicity_step(ToxicityConfig(words=str(tmp_path / "none")))
    (tmp_path / "empty").write_text("# nothing\n")
    with pytest.raises(InputError, match="holds no words"):
        toxicity_step(ToxicityConfig(words=str(tmp_path / "empty")))


def test_classifier():
    step = toxicity_step(ToxicityConfig(), scorer=lambda text: 0.9 if "sly" in text else 0.1)
    sly = step(document("A sly remark."))
    assert (sly.dropped_by, dict(sly.metadata)) == ("toxicity", {"toxicity": 0.9})
    assert step(document(CALM)).dropped_by == ""


def test_impossible_settings():
    with pytest.raises(InputError, match="max-rate -1: must be at least 0"):
        toxicity_step(ToxicityConfig(max_rate=-1))
