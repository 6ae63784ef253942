"""The README's code runs as it stands, and its table is the one in the code."""

import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from jaxlm.models import parameter_count
from jaxlm.training.config import Size, reference

README = Path(__file__).parent.parent / "README.md"
TEXT = README.read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)


def test_functional_example_needs_only_jax():
    code = BLOCKS[0] + (
        "\nimport sys\n"
        "assert not {'flax', 'optax', 'orbax', 'yaml', 'rich'} & set(sys.modules)\n"
        "assert y.shape == (2, 16, 4, 16)\n"
    )
    assert "from jaxlm import functional" in code
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[0] == "(2, 16, 4, 16)"
    assert "2." in result.stdout.splitlines()[1]
    assert result.stdout.count("-inf") == 2


def test_module_example_runs(capsys):
    exec(compile(BLOCKS[1], "README.md", "exec"), {})
    assert capsys.readouterr().out.strip() == "(1, 8, 4096)"


@pytest.mark.parametrize("size", get_args(Size))
def test_table_is_that_of_the_code(size):
    row = next(line for line in TEXT.splitlines() if line.startswith(f"| {size} |"))
    cells = [cell.strip().replace(",", "") for cell in row.strip("|").split("|")][2:]
    c = reference(size)
    m = c.model
    expected = [
        str(m.layers), f"{m.heads} / {m.kv_heads}", str(m.width), str(m.hidden),
        str(m.context_length), str(m.vocab_size), str(parameter_count(m)),
    ]  # fmt: skip
    assert cells[:7] == expected
    assert float(cells[7]) == c.optimizer.learning_rate
    assert int(cells[8]) == c.training.batch_size * m.context_length
    assert int(cells[9]) == c.training.steps


def test_both_commands_stand_first_and_are_single_lines():
    commands = re.findall(r"<!-- command: (\w+) -->\n```sh\n(python3 [^\n]*)\n```", TEXT)
    assert [name for name, _ in commands] == ["quickstart", "test"]
    assert TEXT.index("<!-- command: test -->") < TEXT.index("\n## ")
