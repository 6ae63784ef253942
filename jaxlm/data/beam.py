"""Stages as Apache Beam pipelines: the same functions on Dataflow, Flink, Spark or here.

Every unit is one element; its files are written by the work itself, into the directory of the
stage, which all workers must reach under the same path. The bytes are those of any other engine.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from jaxlm.data.stages import Engine, Task
from jaxlm.errors import InputError


def beam(options: Sequence[str] = ()) -> Engine:
    """An engine that runs a Beam pipeline with these options, such as `--runner=FlinkRunner`.

    Raises:
      InputError: Apache Beam is not installed.
    """
    try:
        import apache_beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError:
        raise InputError(
            "--engine beam needs Apache Beam, which is not installed: pip install 'jaxlm[beam]'"
        ) from None

    def engine(function: Callable[[Task], Any], tasks: Sequence[Task]) -> list[Any]:
        # It logs with tracebacks the errors that it raises, too.
        logging.getLogger("apache_beam.runners.common").setLevel(logging.CRITICAL)
        if tasks:
            with apache_beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
                _ = (
                    pipeline
                    | apache_beam.Create(list(tasks))
                    | apache_beam.Reshuffle()  # so that units are spread over the workers
                    | "one unit" >> apache_beam.Map(function)
                )
        return list(tasks)

    return engine
