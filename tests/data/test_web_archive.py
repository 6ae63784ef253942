"""WARC and WET files: pages with their address; truncation is always found."""

import gzip
import io
import zlib

import pytest
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from jaxlm.data.reading import ReadSettings
from jaxlm.data.sources import DocumentCounts, Reading, find_inputs, read_documents, read_inputs
from jaxlm.errors import InputError

CHUNKED = b"5\r\n<p>on\r\n3;x\r\nce.\r\n0\r\n\r\n"
DEFLATE = zlib.compressobj(wbits=-15)
BARE = DEFLATE.compress(b"<p>bare") + DEFLATE.flush()
# Content type, body, status, headers; and the text, or None.
RESPONSES = [
    ("text/html; charset=iso-8859-1", b"<p>caf\xe9", "200 OK", {}, "<p>café"),
    ("image/png", b"\x89PNG\0", "200 OK", {}, None),
    ("text/html", b"<p>missing", "404 Not Found", {}, None),
    ("text/html", b"<p>moved", "301 Moved", {}, None),
    ("TEXT/HTML", gzip.compress("<p>zipé".encode()), "200 OK", {"Content-Encoding": "gzip"},
     "<p>zipé"),
    ("text/html", zlib.compress(b"<p>z"), "200 OK", {"Content-Encoding": "deflate"}, "<p>z"),
    ("text/html", BARE, "200 OK", {"Content-Encoding": "deflate"}, "<p>bare"),
    ("text/html", b"<p>was zipped", "200 OK", {"Content-Encoding": "gzip"}, "<p>was zipped"),
    ("application/xhtml+xml", CHUNKED, "206 Partial", {"Transfer-Encoding": "chunked"},
     "<p>once."),
    ("text/plain", b"plain", "200 OK", {}, "plain"),
    ("text/html", "<meta charset=koi8-r>Привет".encode("koi8-r"), "200 OK", {},
     "<meta charset=koi8-r>Привет"),
    ("text/html", b"a stray\0 zero " + b"x" * 3000, "200 OK", {}, "a stray zero " + "x" * 3000),
    ("text/html", b"", "200 OK", {}, ""),
]  # fmt: skip


def archive(path, responses, *, zipped=False, conversion=b"extracted t\xc3\xa9xt"):
    file = io.BytesIO()
    writer = WARCWriter(file, gzip=zipped)
    writer.write_record(writer.create_warcinfo_record("a.warc", {"software": "test"}))
    for number, (kind, body, status, extra, _) in enumerate(responses):
        headers = StatusAndHeaders(
            status, [("Content-Type", kind), *extra.items()], protocol="HTTP/1.1"
        )
        record = writer.create_warc_record(
            f"http://example.org/{number}",
            "response",
            payload=io.BytesIO(body),
            http_headers=headers,
            warc_headers_dict={"WARC-Date": "2024-01-02T03:04:05Z"},
        )
        writer.write_record(record)
    writer.write_record(
        writer.create_warc_record(
            "http://example.org/wet",
            "conversion",
            payload=io.BytesIO(conversion),
            warc_content_type="text/plain",
        )
    )
    path.write_bytes(file.getvalue())
    return str(path)


@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz"])
def test_pages(tmp_path, name):
    path = archive(tmp_path / name, RESPONSES, zipped=name.endswith("gz"))
    counts = DocumentCounts()
    documents = list(read_documents([path], counts=counts))
    expected = [text for *_, text in RESPONSES if text] + ["extracted téxt"]
    assert [document.text for document in documents] == expected
    assert counts.left_out == {
        "record of another kind": 1,
        "neither HTML nor text": 1,
        "response without success": 2,
    }
    assert (counts.read, counts.empty, counts.skipped) == (len(expected) + 1, 1, 0)
    first = documents[0]
    assert dict(first.metadata) == {
        "url": "http://example.org/0",
        "date": "2024-01-02T03:04:05Z",
        "content_type": "text/html",
        "format": "html",
        "encoding": "cp1252",
    }
    assert len({document.identifier for document in documents}) == len(documents)
    by_url = {document.metadata["url"]: document for document in documents}
    assert "format" not in by_url["http://example.org/9"].metadata
    assert by_url["http://example.org/10"].metadata["encoding"] == "koi8-r"


def test_every_truncation_is_found(tmp_path):
    whole = archive(tmp_path / "a.warc", RESPONSES[:2])
    with open(whole, "rb") as file:
        data = file.read()
    path = tmp_path / "cut.warc"
    silent = set()
    for end in range(1, len(data)):
        path.write_bytes(data[:end])
        counts = DocumentCounts()
        reading = Reading(ReadSettings(on_error="skip"), counts)
        texts = [d.text for d in read_inputs(find_inputs([str(path)], reading), reading)]
        assert texts in ([], ["<p>café"], ["<p>café", "extracted téxt"])
        if not counts.skipped:
            silent.add(data[:end].rstrip(b"\r\n"))
    # Only an archive that ends with a whole record is taken for a whole one.
    assert len(silent) == 4
    packed = archive(tmp_path / "a.warc.gz", RESPONSES[:2], zipped=True)
    with open(packed, "rb") as file:
        data = file.read()
    path = tmp_path / "cut.warc.gz"
    ends = [i for i in range(len(data)) if data[i:].startswith(b"\x1f\x8b\x08")]
    for end in range(1, len(data), 7):
        path.write_bytes(data[:end])
        counts = DocumentCounts()
        reading = Reading(ReadSettings(on_error="skip"), counts)
        list(read_inputs(find_inputs([str(path)], reading), reading))
        assert counts.skipped == (end not in ends)


def test_damage_in_a_response_costs_that_response(tmp_path):
    zipped = gzip.compress(b"<p>" + bytes(range(256)))
    zipped = zipped[:20] + b"\xff\xff" + zipped[22:]
    bad = [
        ("text/html", zipped, "200 OK", {"Content-Encoding": "gzip"}),
        ("text/html", b"<p>", "200 OK", {"Content-Encoding": "br"}),
        ("text/html", b"\0\1" * 99, "200 OK", {}),
        ("text/html", b"<p>" + b"x" * 2000, "200 OK", {}),
        ("text/html", gzip.compress(b" " * 10_000_000), "200 OK", {"Content-Encoding": "gzip"}),
    ]  # fmt: skip
    for response in bad:
        path = archive(tmp_path / "a.warc", [(*response, None), RESPONSES[0]])
        counts = DocumentCounts()
        settings = ReadSettings(on_error="skip", max_bytes=1000)
        reading = Reading(settings, counts)
        texts = [d.text for d in read_inputs(find_inputs([path], reading), reading)]
        assert texts == ["<p>café", "extracted téxt"]
        assert counts.skipped == 1
        assert "a.warc, record 2" in counts.problems[0]


@pytest.mark.parametrize(
    "content",
    [b"hello\n", b"x" * 200_000, b"WARC/1.0\r\nA: " + b"x" * 200_000, b"WARC/1.0\r\n\r\n",
     b"WARC/1.0\r\nWARC-Type: response\r\nContent-Length: -5\r\n\r\n",
     b"WARC/1.0\r\nWARC-Type: response\r\nContent-Length: 9999999999\r\n\r\nHTTP/1.1 200\r\n\r\n"],
)  # fmt: skip
def test_what_is_no_archive(tmp_path, content):
    path = tmp_path / "a.warc"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.warc, record 1: truncated or damaged web archive"):
        list(read_documents([str(path)]))


def test_html_files(tmp_path):
    def read(data, **options):
        (tmp_path / "a.html").write_bytes(data)
        (document,) = read_documents([f"{tmp_path}/a.html"], **options)
        return document

    page = read(b"<title>x</title>\0 caf\xc3\xa9" + b"y" * 2000)
    assert page.text.startswith("<title>x</title> café")
    assert dict(page.metadata) == {"format": "html"}
    declared = read("<?xml version='1.0' encoding='windows-1251'?><p>Да".encode("cp1251"))
    assert (declared.text[-2:], declared.metadata["encoding"]) == ("Да", "cp1251")
    with pytest.raises(InputError, match=r"a\.html: binary, it holds NUL"):
        read(b"\x7fELF\0\0\0\0")
