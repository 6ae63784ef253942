"""Books of Project Gutenberg lose their header and licence, and nothing else."""

import pytest

from jaxlm.data import plain_text
from jaxlm.data.sources import read_documents

BODY = "CHAPTER I.\n\nIt was a dark night, and *** stars *** shone.\n\nTHE END\n"
HEADER = """\ufeffThe Project Gutenberg eBook of A Dark Night

Title: A Dark Night
       And Its Morning

Author: Jane Doe

Release Date: May, 1998  [eBook #1234]

Language: English

Title: not this one

"""
NEW = f"""{HEADER}*** START OF THE PROJECT GUTENBERG EBOOK A DARK NIGHT ***

Produced by Someone and the
Online Distributed Proofreading Team

{BODY}
*** END OF THE PROJECT GUTENBERG EBOOK A DARK NIGHT ***

Updated editions will replace the previous one. START: FULL LICENSE
"""
WRAPPED = NEW.replace("A DARK NIGHT ***", "A\nDARK NIGHT ***").replace("OF THE PRO", "OF THIS PRO")
OLD = f"""{HEADER}
***START**THE SMALL PRINT!**FOR PUBLIC DOMAIN ETEXTS**START***
Why is this "Small Print!" statement here?
*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*

{BODY}
End of Project Gutenberg's A Dark Night, by Jane Doe
"""
BOTH = f"""{HEADER}*** START OF THIS PROJECT GUTENBERG EBOOK A DARK NIGHT ***
*END THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*

{BODY}

End of the Project Gutenberg EBook of A Dark Night, by Jane Doe

*** END OF THIS PROJECT GUTENBERG EBOOK A DARK NIGHT ***
"""
BACK = f"""{NEW}
*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*
"""
FORMS = {"new": NEW, "wrapped": WRAPPED, "old": OLD, "both": BOTH, "at the back": BACK}


@pytest.mark.parametrize("block", [8_000_000, 64])
@pytest.mark.parametrize("lines", ["\n", "\r\n"])
@pytest.mark.parametrize("form", FORMS)
def test_header_and_licence(tmp_path, monkeypatch, form, lines, block):
    path = tmp_path / "book.txt"
    path.write_bytes(FORMS[form].replace("\n", lines).encode())
    monkeypatch.setattr(plain_text, "_BLOCK", max(block, len(FORMS[form].encode()) // 2 + 400))
    documents = list(read_documents([str(path)]))
    text = "".join(document.text for document in documents)
    assert text.replace("\r\n", "\n") == BODY
    assert documents[0].metadata == {
        "title": "A Dark Night And Its Morning",
        "author": "Jane Doe",
        "language": "English",
        "release_date": "May, 1998 [eBook #1234]",
    }


def test_other_texts_are_untouched(tmp_path):
    for number, text in enumerate(
        (
            BODY,
            "About Project Gutenberg.\nTitle: no header\n",
            "*** START OF THE SHOW ***\n" + BODY,
            "End of Project Gutenberg's copyright, they said.\n" + BODY,
        )
    ):
        path = tmp_path / f"{number}.txt"
        path.write_text(text)
        (document,) = read_documents([str(path)])
        assert (document.text, dict(document.metadata)) == (text, {})
