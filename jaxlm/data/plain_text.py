"""Plain text, books and source code: one document for each file, or several for a long one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from jaxlm.data.books import without_licence
from jaxlm.data.documents import Document
from jaxlm.data.encoding import StreamDecoder
from jaxlm.data.reading import Reading, SourceFile

_BLOCK = 8_000_000  # bytes that are read at once

LANGUAGES = {
    ".ada": "ada", ".adb": "ada", ".ads": "ada", ".asm": "assembly", ".awk": "awk",
    ".bash": "shell", ".c": "c", ".cc": "c++", ".clj": "clojure", ".cljs": "clojure",
    ".cmake": "cmake", ".cpp": "c++", ".cs": "c#", ".cu": "cuda", ".cxx": "c++", ".d": "d",
    ".dart": "dart", ".el": "emacs lisp", ".elm": "elm", ".erl": "erlang", ".ex": "elixir",
    ".exs": "elixir", ".f": "fortran", ".f90": "fortran", ".f95": "fortran", ".fs": "f#",
    ".go": "go", ".groovy": "groovy", ".h": "c", ".hh": "c++", ".hpp": "c++", ".hrl": "erlang",
    ".hs": "haskell", ".java": "java", ".jl": "julia", ".js": "javascript", ".jsx": "javascript",
    ".kt": "kotlin", ".lean": "lean", ".lisp": "lisp", ".lua": "lua", ".m": "objective-c",
    ".mjs": "javascript", ".ml": "ocaml", ".mli": "ocaml", ".nim": "nim", ".pas": "pascal",
    ".php": "php", ".pl": "perl", ".pm": "perl", ".proto": "protocol buffers", ".ps1": "powershell",
    ".py": "python", ".pyi": "python", ".pyx": "cython", ".r": "r", ".rb": "ruby", ".rkt": "racket",
    ".rs": "rust", ".s": "assembly", ".scala": "scala", ".scm": "scheme", ".sh": "shell",
    ".sql": "sql", ".sv": "systemverilog", ".swift": "swift", ".tcl": "tcl", ".ts": "typescript",
    ".tsx": "typescript", ".v": "verilog", ".vhd": "vhdl", ".zig": "zig", ".zsh": "shell",
}  # fmt: skip
"""The programming language of each extension of source code."""


def read_text(
    stream: BinaryIO, file: SourceFile, reading: Reading, metadata: Mapping[str, Any] | None = None
) -> Iterator[Document]:
    """The text of a file, in parts of at most about 8 million bytes.

    A longer file is divided after a paragraph, else a line, else a word. Of books of Project
    Gutenberg the header and the licence are left out and the header's fields are metadata.
    """
    decoder = StreamDecoder(reading.settings.encoding)
    about: dict[str, Any] = dict(metadata or {})
    parts = without_licence(_parts(stream, file, reading, decoder), about)
    for number, (text, is_last) in enumerate(parts):
        found = dict(about)
        if decoder.encoding not in ("utf-8", reading.settings.encoding):
            found["encoding"] = decoder.encoding
            reading.decoded(decoder.encoding)
        identifier = "" if is_last and not number else f"#{number}"
        yield Document(text, file.source, identifier, found)


def read_code(
    stream: BinaryIO, file: SourceFile, reading: Reading, language: str
) -> Iterator[Document]:
    """Source code, with its language."""
    metadata = {"format": "code", "programming_language": language}
    return read_text(stream, file, reading, metadata)


def _parts(
    stream: BinaryIO, file: SourceFile, reading: Reading, decoder: StreamDecoder
) -> Iterator[tuple[str, bool]]:
    """The text in parts, each with whether it is the last."""
    rest, whole = "", True
    while True:
        block = stream.read(_BLOCK)
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            if b"\0" in block:
                reading.binary_problem(file.path)
            else:
                reading.decoding_problem(file.path, error, error.start)
            return
        if "\0" in text:
            reading.binary_problem(file.path)
            return
        text = rest + text
        if not block:
            if text or whole:
                yield text, True
            return
        end = _end(text) if len(block) == _BLOCK else 0
        if end:
            yield text[:end], False
            whole = False
        rest = text[end:]


def _end(text: str) -> int:
    """Where a text that goes on is divided; without any line end so that memory stays bounded."""
    paragraph = text.rfind("\n\n")
    if paragraph >= 0:
        return paragraph + 2
    line = text.rfind("\n")
    return line + 1 if line >= 0 else text.rfind(" ", len(text) - 10_000) + 1 or len(text)
