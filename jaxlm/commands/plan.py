"""`jaxlm plan`: the reference table, and the size and memory of one configuration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import get_args

from rich.console import Console
from rich.table import Table

from jaxlm.commands.run_options import parse_run
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
    """The four sizes, each a complete configuration, one column each."""
    configs = {size: reference(size) for size in get_args(Size)}
    table = Table("reference configurations", *(f"--size {size}" for size in configs))
    rows: dict[str, Callable[[RunConfig], str]] = {
        "for": lambda c: PURPOSES[c.size],
        "layers": lambda c: str(c.model.layers),
        "heads / kv heads": lambda c: f"{c.model.heads} / {c.model.kv_heads}",
        "width": lambda c: f"{c.model.width:,}",
        "hidden": lambda c: f"{c.model.hidden:,}",
        "context": lambda c: f"{c.model.context_length:,}",
        "vocabulary": lambda c: f"{c.model.vocab_size:,}",
        "parameters": lambda c: f"{parameter_count(c.model):,}",
        "learning rate": lambda c: f"{c.optimizer.learning_rate:g}",
        "tokens a step": lambda c: f"{c.training.batch_size * c.model.context_length:,}",
        "steps": lambda c: f"{c.training.steps:,}",
    }
    for name, value in rows.items():
        table.add_row(name, *(value(c) for c in configs.values()))
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
