"""How fast rows are loaded, from how many shards, in how much memory.

Shows: packed and shuffled rows come thousands of times faster than a model is trained on a CPU,
from any number of shards; memory grows with the number of documents and not with the tokens that
were read. Beside it, rows at random from three formats: token files as they are read here, a
memory map, ArrayRecord.

    python experiments/benchmarks/loading.py
    python experiments/benchmarks/loading.py --megatokens 600 --shards 1 100 10000

Rates are per second of one core. The loader's are of processes of their own, of which the peak
memory is reported too; what the plan and the offsets of the documents take is in it.

Cost: about two minutes (nine for the second), and 2 bytes of disk for each token.
Came out (600 million tokens, 1.2 GB, on two busy cores, median of three): 61 million tokens/s from
one shard, 46 from 100, 29 from 10,000 (which take 1.5 s to open): 8,000 times what the small preset
can train on there. Peak memory 370, 370 and 384 MB, of which 182 are Python and libraries and the
rest the offsets and the plan of 1.2 million documents. Rows at random: token files 670,000 a
second, a memory map 3.9 million (but it counts as memory, keeps a descriptor for each file and ends
the process when a file shrinks), ArrayRecord 37,000.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from jaxlm.cli import run_guarded
from jaxlm.commands.options import parse
from jaxlm.data.loader import BatchLoader
from jaxlm.data.packing import plan_rows
from jaxlm.data.shards import TokenWriter, open_tokens
from jaxlm.data.token_files import TokenFiles

_VOCABULARY = 32_000
_BATCHES = 100


@dataclasses.dataclass(frozen=True)
class Options:
    """Arguments of the benchmark."""

    megatokens: int = 100
    """Size of the corpus, in millions of tokens."""
    shards: tuple[int, ...] = (1, 100, 1000)
    """Into how many shards it is divided."""
    context_length: int = 1024
    batch_size: int = 64
    document_tokens: int = 500
    """Mean length of a document; lengths are log-normal."""
    rounds: int = 3
    measure: str | None = None
    """(Used by the benchmark itself: measure the loader on this directory and print JSON.)"""


def main(arguments: Sequence[str]) -> int:
    """Measures and prints the tables."""
    options = parse(
        Options, arguments, program="loading.py", description=(__doc__ or "").partition("\n")[0]
    )
    if options.measure:
        print(json.dumps(measure(Path(options.measure), options)))
        return 0
    console = Console()
    loaders = Table("shards", "open s", "plan s", "Mtokens/s", "padding", "peak MB", "before MB")
    loaders.title = f"the loader, {options.megatokens} million tokens"
    rates = []
    for count in options.shards:
        with tempfile.TemporaryDirectory() as folder:
            write_corpus(Path(folder), count, options)
            found = [run_alone(folder, arguments) for _ in range(options.rounds)]
        middle = {name: statistics.median(one[name] for one in found) for name in found[0]}
        rates.append(middle["rate"])
        loaders.add_row(
            f"{count:,}",
            f"{middle['open']:.2f}",
            f"{middle['plan']:.2f}",
            f"{middle['rate'] / 1e6:.0f}",
            f"{middle['padding']:.3%}",
            f"{middle['peak'] / 1e6:.0f}",
            f"{middle['before'] / 1e6:.0f}",
        )
    console.print(loaders)
    consumed = small_preset_rate()
    console.print(
        f"training of the small preset takes at most {consumed:,.0f} tokens/s here (if all it did "
        f"were matrix products): the slowest loader above gives {min(rates) / consumed:,.0f} times "
        "as many"
    )
    formats = Table("rows at random from", "rows/s", "Mtokens/s")
    for name, rate in row_formats(options, console).items():
        formats.add_row(name, f"{rate:,.0f}", f"{rate * options.context_length / 1e6:.0f}")
    console.print(formats)
    return 0


def write_corpus(folder: Path, shards: int, options: Options) -> None:
    """Token files of documents whose ids are drawn at random."""
    for number in range(shards):
        generator = np.random.default_rng([number, shards])
        left = options.megatokens * 10**6 // shards
        with TokenWriter(folder / f"{number:05d}", _VOCABULARY, "random") as writer:
            while left > 1:
                drawn = generator.lognormal(np.log(options.document_tokens) - 0.5, 1.0)
                length = min(left, 2 + int(drawn))
                ids = generator.integers(0, _VOCABULARY, length, dtype=np.uint16)
                writer.add(ids, 4 * length)
                left -= length


def run_alone(folder: str, arguments: Sequence[str]) -> dict[str, float]:
    """`measure` in a process of its own."""
    command = [sys.executable, __file__, *arguments, "--measure", folder]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def measure(folder: Path, options: Options) -> dict[str, float]:
    """Seconds to open and to plan, tokens per CPU second, share of padding, memory in bytes."""
    before = peak_memory()
    start = time.perf_counter()
    shards = open_tokens(*sorted(folder.iterdir()))
    opened = time.perf_counter()
    plan = plan_rows(shards.lengths, options.context_length)
    planned = time.perf_counter()
    loader = BatchLoader(
        shards.tokens, plan, batch_size=options.batch_size, seed=0, identity=shards.fingerprint
    )
    batches = max(_BATCHES, plan.rows // options.batch_size)  # an epoch reads every byte
    loader.batch(0)
    began = time.process_time()
    tokens = 0
    for number in range(batches):
        tokens += loader.batch(number * options.batch_size)["tokens"].size
    seconds = time.process_time() - began
    return {
        "open": opened - start,
        "plan": planned - opened,
        "rate": tokens / seconds,
        "padding": 1 - plan.fill,
        "peak": peak_memory(),
        "before": before,
    }


def peak_memory() -> float:
    """The most memory this process has had, in bytes."""
    status = Path("/proc/self/status")
    if status.is_file():  # where the other figure begins with that of the parent process
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        if found:
            return float(found[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def small_preset_rate() -> float:
    """Tokens per second that training could reach here at most."""
    import jax.numpy as jnp

    from jaxlm.models.presets import small
    from jaxlm.sharding.mesh import MeshConfig, make_mesh
    from jaxlm.training.throughput import flops_per_token, measure_matrix_rate

    rate = measure_matrix_rate(make_mesh(MeshConfig()), jnp.dtype(jnp.float32), seconds=2)
    return rate / flops_per_token(small())


def row_formats(options: Options, console: Console) -> Mapping[str, float]:
    """Rows per CPU second from each format, all of the same tokens, in the same order."""
    width = options.context_length + 1
    count = max(1, options.megatokens * 10**6 // 10 // width)
    generator = np.random.default_rng(0)
    rows = generator.integers(0, _VOCABULARY, (count, width), dtype=np.uint16)
    order = generator.permutation(count)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tokens.bin"
        rows.tofile(path)
        mapped = np.memmap(path, np.uint16, "r").reshape(count, width)
        files = TokenFiles([path], [rows.size], "<u2")
        lengths = np.full(options.batch_size, width)
        readers: dict[str, Callable[[np.ndarray], np.ndarray]] = {
            "token files": lambda some: files.spans(some * width, lengths[: len(some)]).reshape(
                len(some), width
            ),
            "a memory map": lambda some: mapped[some],
        }
        try:
            readers["ArrayRecord"] = array_record_reader(rows, Path(folder) / "rows.array_record")
        except ImportError:
            console.print("ArrayRecord is not measured: pip install array_record")
        return {
            name: read_rate(functools.partial(read_all, read, rows, order, options.batch_size))
            for name, read in readers.items()
        }


def array_record_reader(rows: np.ndarray, path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Writes the rows, a record each, and returns what reads some of them."""
    from array_record.python.array_record_data_source import ArrayRecordDataSource
    from array_record.python.array_record_module import ArrayRecordWriter

    writer = ArrayRecordWriter(str(path), "group_size:1,uncompressed")
    for row in rows:
        writer.write(row.tobytes())
    writer.close()
    source = ArrayRecordDataSource([str(path)])
    return lambda some: np.stack(
        [np.frombuffer(record, np.uint16) for record in source.__getitems__(some.tolist())]
    )


def read_all(
    read: Callable[[np.ndarray], np.ndarray], rows: np.ndarray, order: np.ndarray, batch_size: int
) -> int:
    """Reads every row, some at a time, and compares the last ones."""
    for start in range(0, len(order), batch_size):
        some = order[start : start + batch_size]
        found = read(some)
    if not np.array_equal(found, rows[some]):
        raise AssertionError("other rows than were written")
    return len(order)


def read_rate(work: Callable[[], int]) -> float:
    """What `work` does per CPU second, the median of five times."""
    rates = []
    for _ in range(5):
        start = time.process_time()
        done = work()
        rates.append(done / (time.process_time() - start))
    return statistics.median(rates)


if __name__ == "__main__":
    sys.exit(run_guarded(lambda: main(sys.argv[1:])))
