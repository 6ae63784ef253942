"""The line of steps: order, account, and the same result whoever does the work."""

import dataclasses
import functools

import pytest

from jaxlm.data.cleaning.balance import Balance
from jaxlm.data.cleaning.config import CleaningConfig, basic, cleaning_steps, web
from jaxlm.data.cleaning.pipeline import CleaningAccount, clean, clean_documents
from jaxlm.data.cleaning.step import Verdict
from jaxlm.data.documents import Document
from jaxlm.data.stages import processes, run_stage
from jaxlm.data.store import open_store, write_shard


def shout(document):
    return Verdict(document.text.upper(), counts={"letters": len(document.text)})


def no_b(document):
    return Verdict(document.text, dropped_by="no_b.has_b" if "B" in document.text else "")


def tag(document):
    return Verdict(document.text, metadata={"length": len(document.text), "format": "text"})


def erase_x(document):
    return Verdict(document.text.replace("X", ""))


STEPS = [("shout", shout), ("no_b", no_b), ("erase_x", erase_x), ("tag", tag)]
TEXTS = ["aa", "ab", "Cx", "xx", "D", "bbb"]
DOCUMENTS = [Document(t, f"here/{t}", str(i), {"format": "html"}) for i, t in enumerate(TEXTS)]


def test_steps_follow_each_other_and_are_accounted_for():
    account = CleaningAccount([name for name, _ in STEPS])
    kept = list(clean_documents(DOCUMENTS, STEPS, account))
    assert [d.text for d in kept] == ["AA", "C", "D"]
    assert [d.identifier for d in kept] == ["0", "2", "4"]
    assert kept[0].metadata == {"format": "text", "length": 2}
    statistics = account.statistics()
    assert (statistics["documents_in"], statistics["characters_in"]) == (6, 12)
    steps = statistics["steps"]
    assert list(steps) == ["shout", "no_b", "erase_x", "tag"]
    assert steps["shout"]["counts"] == {"letters": 12}
    assert steps["shout"]["changed"] == 5  # "D" was upper case before
    assert steps["no_b"]["dropped"] == {"no_b.has_b": 2}
    assert steps["no_b"]["examples"]["no_b.has_b"][0] == {
        "source": "here/ab", "id": "1", "text": "AB",
    }  # fmt: skip
    assert steps["erase_x"]["documents_in"] == 4
    assert steps["erase_x"]["dropped"] == {"erase_x.nothing_left": 1}
    assert steps["erase_x"]["changes"] == [
        {"source": "here/Cx", "id": "2", "before": "CX", "after": "C"}
    ]
    assert steps["tag"]["characters_out"] == 4
    assert statistics["balance"]["sources"] == {"here": {"documents": 3, "characters": 4}}
    # Nothing gets lost between the steps.
    for before, after in zip(list(steps.values())[:-1], list(steps.values())[1:], strict=True):
        assert before["documents_in"] - sum(before["dropped"].values()) == after["documents_in"]


def test_examples_show_the_place_that_changed():
    account = CleaningAccount(["step"])
    text = "a" * 5000 + "b" + "c" * 5000

    def step(document):
        return Verdict(document.text.replace("b", "BBB"))

    list(clean_documents([Document(text, "s", "0")] * 9, [("step", step)], account))
    changes = account.statistics()["steps"]["step"]["changes"]
    assert len(changes) == 3
    assert changes[0]["before"] == "a" * 80 + "b" + "c" * 319
    assert changes[0]["after"] == "a" * 80 + "BBB" + "c" * 317


def test_balance():
    balance = Balance()
    balance.add(Document("She said: HE sees the women.", "web/a", "1", {"language": "en"}))
    balance.add(Document("the shepherd", "web/b", "2", {"language": "en"}))
    balance.add(Document("der Hirt", "books", "3", {"language": "de"}))
    result = balance.result()
    assert result["languages"] == {
        "de": {"documents": 1, "characters": 8},
        "en": {"documents": 2, "characters": 40},
    }
    assert result["sources"]["web"]["documents"] == 2
    assert result["identity_terms"]["gender"] == {"he": 1, "she": 1, "women": 1}
    assert result["identity_terms"]["age"] == {}
    for number in range(1000):
        balance.add(Document("x", f"s{number}", "0"))
    assert len(balance.result()["sources"]) == 201
    assert balance.result()["sources"]["(others)"]["documents"] == 802


def test_profiles():
    names = [field.name for field in dataclasses.fields(CleaningConfig)]
    assert [name for name, _ in cleaning_steps(basic())] == ["html", "unicode", "whitespace"]
    on = [name for name, _ in cleaning_steps(web())]
    assert "classical" not in on
    assert on == [name for name in names if name in on]
    assert {"html", "language", "gopher_quality", "gopher_repetition", "personal_data"} <= set(on)


PAGE = (
    "<html><head><title>T</title></head><body><main><p>"
    + "Write to jane.doe@example.org about the tools that people have with them in the shed. " * 8
    + "</p></main></body></html>"
)


def collected(unit, directory):
    documents = [
        Document(PAGE.replace("tools", f"tools {unit['n']}"), "web", f"{unit['n']}.{i}",
                 {"format": "html"} if i % 2 else {})
        for i in range(3)
    ]  # fmt: skip
    return write_shard(directory, documents)


@pytest.fixture
def store(tmp_path):
    run_stage(tmp_path / "in", [{"n": n} for n in range(4)], collected, stage="c", settings={})
    return open_store(tmp_path / "in")


def test_a_store_is_cleaned_by_any_number_of_processes(store, tmp_path):
    config = basic()
    one = clean(store, tmp_path / "one", config)
    two = clean(store, tmp_path / "two", config, engine=processes(2))
    assert one == two
    documents = list(open_store(tmp_path / "one", verify=True).documents())
    assert len(documents) == 12
    pages = [d for d in documents if d.identifier.endswith(".1")]
    assert all(d.text.startswith("Write to jane") and "<" not in d.text for d in pages)
    assert all(d.metadata["format"] == "text" for d in pages)
    for name in ("00000", "00003"):
        file = functools.partial("/".join, (name, "documents.jsonl.zst"))
        assert (tmp_path / "one" / file()).read_bytes() == (tmp_path / "two" / file()).read_bytes()
