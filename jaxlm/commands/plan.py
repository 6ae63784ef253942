"""`jaxlm plan`: the reference table, and the size and memory of one configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from rich.console import Console
from rich.table import Table

from jaxlm.commands.options import parse_run
from jaxlm.models.decoder import parameter_count
from jaxlm.training.config import RunConfig, Size, reference
from jaxlm.training.plan import memory_plan
from jaxlm.training.throughput import flops_per_token

DESCRIPTION = """Print the reference table; with options, also what a configuration takes. Nothing
is allocated and no device is touched.

Example: jaxlm plan --size base --mesh.fsdp 8"""

PURPOSES = {
    "tiny": "the quickstart on a CPU",
    "small": "prototyping",
    "medium": "a custom model on one accelerator",
    "base": "the standard for several accelerators",
}


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns its exit status."""
    config = parse_run(arguments, program="jaxlm plan", description=DESCRIPTION)
    console = Console()
    console.print(reference_table())
    if arguments:
        console.print(configuration_table(config))
    return 0


def reference_table() -> Table:
    """The four sizes, each a complete configuration."""
    table = Table(title="reference configurations (--size)")
    for heading in (
        "size", "for", "layers", "heads / kv", "width", "hidden", "context", "vocabulary",
        "parameters", "learning rate", "tokens a step", "steps",
    ):  # fmt: skip
        table.add_column(heading, justify="left" if heading in ("size", "for") else "right")
    for size in get_args(Size):
        c = reference(size)
        m = c.model
        table.add_row(
            size, PURPOSES[size], str(m.layers), f"{m.heads} / {m.kv_heads}", f"{m.width:,}",
            f"{m.hidden:,}", f"{m.context_length:,}", f"{m.vocab_size:,}",
            f"{parameter_count(m):,}", f"{c.optimizer.learning_rate:g}",
            f"{c.training.batch_size * m.context_length:,}", f"{c.training.steps:,}",
        )  # fmt: skip
    return table


def configuration_table(config: RunConfig) -> Table:
    """What one configuration takes, per device of its mesh."""
    tokens = config.training.batch_size * config.model.context_length
    flops = flops_per_token(config.model)
    memory = memory_plan(config)
    table = Table("this configuration", "", title="")
    table.add_row("parameters", f"{parameter_count(config.model):,}")
    table.add_row("devices", f"{config.mesh.devices} ({_mesh(config)})")
    table.add_row("tokens a step", f"{tokens:,}")
    table.add_row("tokens in all", f"{tokens * config.training.steps:,}")
    table.add_row("operations per token", f"{flops:.3g}")
    table.add_row("operations in all", f"{flops * tokens * config.training.steps:.3g}")
    for name, size in memory.items():
        table.add_row(f"{name}, per device", f"{size / 2**30:.3f} GiB")
    return table


def _mesh(config: RunConfig) -> str:
    return f"data {config.mesh.data}, fsdp {config.mesh.fsdp}, tensor {config.mesh.tensor}"
