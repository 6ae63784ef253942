"""The three levels: who may import whom, and that importing does nothing else."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "jaxlm"
ROOMS = [
    "functional", "sharding", "layers", "models", "tokenizers", "data", "training", "generation",
    "evaluation", "interop", "commands", "cli",
]  # fmt: skip
# What each room may import of the others, besides itself and the two modules without a room.
MAY = {
    "functional": set(),
    "sharding": set(),
    "layers": {"functional", "sharding"},
    "models": {"functional", "sharding", "layers"},
    "tokenizers": set(),
    "data": {"tokenizers"},
    "training": {"functional", "sharding", "layers", "models", "tokenizers", "data"},
    "generation": {"functional", "sharding", "layers", "models", "tokenizers"},
    "evaluation": {"functional", "models", "tokenizers", "data", "training"},
    "interop": {"functional", "sharding", "layers", "models", "tokenizers"},
    "commands": {*ROOMS} - {"cli"},
    "cli": {"commands"},
    "platform": set(),
    "errors": set(),
    "files": set(),
}
ANYONE = {"errors", "files"}


def imported(path):
    """Names of modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "jaxlm":
                yield from (f"jaxlm.{alias.name}" for alias in node.names)
            else:
                yield node.module


FILES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_one_way(path):
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    allowed = MAY[room] | ANYONE | {room}
    if room == "commands":
        allowed.add("platform")
    for name in imported(path):
        top, _, rest = name.partition(".")
        if top == "jaxlm":
            if rest.split(".")[0] == "__version__":
                continue
            assert rest.split(".")[0] in allowed, f"{room} must not import {name}"
        elif room == "functional":
            assert top == "jax" or top in sys.stdlib_module_names, f"functional imports {name}"
        assert top not in ("torch", "tensorflow")


def run(code):
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_functional_loads_only_jax():
    run(
        "import sys, jaxlm.functional\n"
        "found = {'flax', 'optax', 'orbax', 'yaml', 'rich', 'tyro'} & {*sys.modules}\n"
        "assert not found, found"
    )


def test_the_help_of_the_command_line_loads_no_jax():
    run(
        "import sys\nfrom jaxlm import cli\nassert cli.main(['--help']) == 0\n"
        "assert 'jax' not in sys.modules and 'numpy' not in sys.modules"
    )


def test_the_data_line_loads_no_jax():
    run(
        "import sys, jaxlm.commands.data, jaxlm.commands.tokenizer\n"
        "found = {'jax', 'flax', 'optax', 'orbax', 'tensorflow_datasets'} & {*sys.modules}\n"
        "assert not found, found"
    )


def test_importing_has_no_side_effect(tmp_path):
    modules = [
        ".".join(p.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        for p in FILES
    ]
    code = f"""
import os, jax
os.chdir({str(tmp_path)!r})
before, environment = dict(jax.config.values), dict(os.environ)
import importlib
for name in {modules!r}:
    importlib.import_module(name)
assert dict(jax.config.values) == before
changed = {{k for k in os.environ if environment.get(k) != os.environ[k]}}
assert not changed, changed
jax.config.update("jax_num_cpu_devices", 3)  # refused once a backend has started
assert not os.listdir(".")
"""
    run(code)
