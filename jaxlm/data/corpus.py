"""Text that every Python installation carries: its documentation topics and docstrings.

Read from the interpreter's own source files with `ast`; nothing is imported or executed.
"""

from __future__ import annotations

import ast
import inspect
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from jaxlm.data.documents import Document
from jaxlm.errors import InputError

_TOPICS = Path("pydoc_data") / "topics.py"
# Tests, whose docstrings are no documentation, and what others have installed.
_LEFT_OUT = {"test", "tests", "site-packages", "dist-packages", "__pycache__", "_pyrepl",
             "__phello__"}  # fmt: skip


def embedded_documents(library: Path | None = None) -> Iterator[Document]:
    """Documentation topics (source `python-docs`), then docstrings (source `stdlib`), sorted.

    A docstring stands under the line that defines its object, such as
    `json.dumps(obj, *, skipkeys=False)`; its identifier is the dotted name.

    Args:
      library: the folder of a standard library; by default that of the running interpreter.

    Raises:
      InputError: the sources are not there, as in a zipped or stripped installation.
    """
    library = Path(sysconfig.get_path("stdlib")) if library is None else library
    if not (library / _TOPICS).is_file():
        raise InputError(
            f"{library} holds no sources of the standard library (zipped or stripped), which are "
            "the default corpus; give your own text with --corpus"
        )
    return _documents(library)


def _documents(library: Path) -> Iterator[Document]:
    for name, text in sorted(_topics(library / _TOPICS).items()):
        yield Document(text.strip() + "\n", "python-docs", name)
    for path in sorted(library.rglob("*.py")):
        relative = path.relative_to(library)
        if relative == _TOPICS or _LEFT_OUT & set(relative.parts):
            continue
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError, RecursionError, OSError):
            continue  # a template, not a module
        parts = relative.with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        for name, heading, docstring in _docstrings(tree, module, module):
            yield Document(f"{heading}\n\n{docstring}\n", "stdlib", name)


def _topics(path: Path) -> dict[str, str]:
    """The dictionary literal that the module of topics assigns."""
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            return ast.literal_eval(node.value)
    raise InputError(f"{path} holds no table of topics; give your own text with --corpus")


def _docstrings(node: ast.AST, name: str, heading: str) -> Iterator[tuple[str, str, str]]:
    docstring = ast.get_docstring(node, clean=False)  # type: ignore[arg-type]
    if docstring:
        cleaned = inspect.cleandoc(docstring).strip()
        if cleaned and "\0" not in cleaned and _is_text(cleaned):
            yield name, heading, cleaned
    for child in _definitions(node):
        child_name = f"{name}.{child.name}"
        yield from _docstrings(child, child_name, _heading(child, child_name))


def _definitions(node: ast.AST):
    """Classes and functions of a module or class, those under `if` and `try` included."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield child
        elif isinstance(child, ast.If | ast.Try | ast.With | ast.ExceptHandler):
            yield from _definitions(child)


def _heading(node, name: str) -> str:
    if isinstance(node, ast.ClassDef):
        return f"class {name}({', '.join(map(ast.unparse, node.bases))})".replace("()", "")
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    arguments = ast.unparse(node.args)
    return f"{name}({arguments}){returns}"


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # an escaped lone surrogate in the source
        return False
    return True
