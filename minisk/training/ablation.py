"""Ablations: train the variants of a study from several seeds, and put their accuracies in a table.

Files in the folder of a study:
    <variant>/seed-<n>/          the folder of a run, as of `Trainer`, until it is finished
    <variant>/seed-<n>/result.json    what the table needs of it
    ablation.csv, ablation.md    the table of all runs that are finished
"""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..analysis.summary import summarize
from ..errors import MiniskError
from ..models.ablations import Variant
from ..models.network import Network
from ..serialization import atomic_write, csv_text
from .config import Config
from .trainer import Trainer


@dataclasses.dataclass(frozen=True)
class AblationResult:
    """One finished run.

    variant, seed: which it is. parameters: trained values. macs: multiply-adds of layers for one image of the run.
    accuracy, loss: on the test images after the last epoch, in percent and nats. seconds: of training.
    """

    variant: str
    seed: int
    parameters: int
    macs: int
    accuracy: float
    loss: float
    seconds: float


class _VariantTrainer(Trainer):
    """Trains a variant instead of the model that the Config names."""

    def __init__(self, variant: Variant, config: Config, out: Path) -> None:
        self.variant = variant
        super().__init__(config, out, resume=True)

    def new_network(self) -> Network:
        return self.variant.network(len(self.classes))


def run_study(
    variants: Sequence[Variant],
    config: Config,
    seeds: Sequence[int],
    out: str | Path,
    stop: Callable[[], bool] = lambda: False,
    progress: bool = True,
) -> Iterator[AblationResult]:
    """Train each variant from each seed; yield each result. What is finished or begun in the folder is not repeated.

    Args:
        variants: of the study.
        config: settings of all runs; the seed is replaced, and the model is the variant.
        seeds: one run of every variant each. All variants are trained from the first seed before the second.
        out: the folder of the study.
        stop: called after each step; if it returns True, the current run is saved, and the study ends early.
        progress: show a bar on a terminal, otherwise a line every minute.

    Raises:
        CheckpointError: the folder holds a run with other settings.
        MiniskError: it holds a damaged result, or one with other settings.
    """
    results = []
    for seed in seeds:
        for variant in variants:
            settings = dataclasses.replace(config, seed=seed)
            folder = Path(out) / variant.name.replace(" ", "-") / f"seed-{seed}"
            about = {"config": dataclasses.asdict(settings), "variant": json.loads(json.dumps(variant.__dict__))}
            found = _read_result(folder / "result.json", about)
            if found is None:
                found = _train(variant, settings, folder, stop, progress)
                if found is None:
                    return
                content = json.dumps({**about, "result": dataclasses.asdict(found)}, indent=1)
                atomic_write(folder / "result.json", content.encode())
            results.append(found)
            _write_table(results, variants, Path(out))
            yield found


def _train(
    variant: Variant, config: Config, folder: Path, stop: Callable[[], bool], progress: bool
) -> AblationResult | None:
    """Return the result of one run, or None if it was stopped."""
    trainer = _VariantTrainer(variant, config, folder)
    for _ in trainer.run(progress=progress, stop=stop):
        pass
    if not trainer.finished:
        return None
    last = trainer.history[-1]
    height, width = trainer.images["image_size"]
    size = summarize(trainer.model, (3, height, width))
    seconds = sum(epoch.seconds for epoch in trainer.history)
    return AblationResult(
        variant.name, config.seed, size.parameters, size.macs, last.test_accuracy, last.test_loss, round(seconds, 1)
    )


def _read_result(path: Path, about: dict[str, Any]) -> AblationResult | None:
    """Return the result in a file, or None if there is none. Raises MiniskError if it is not of this run."""
    if not path.exists():
        return None
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        result = AblationResult(**stored.pop("result"))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise MiniskError(f"ablation: {path} is damaged: {error!r}; remove it to train this run again") from error
    for part in ("config", "variant"):
        before, now = stored.get(part, {}), about[part]
        changed = [f"{name} {before.get(name)!r} is now {now[name]!r}" for name in now if before.get(name) != now[name]]
        changed = [text for text in changed if not text.startswith(("device ", "data_dir "))]
        if changed:
            raise MiniskError(f"ablation: {path} is of other settings: {'; '.join(changed)}; choose another --out")
    return result


def table(results: Sequence[AblationResult], variants: Sequence[Variant]) -> str:
    """Return the results as a table in Markdown: for each variant its size, the mean and spread of its accuracy.

    The spread is the standard deviation over the seeds.
    """
    lines = [
        "| variant | parameters | multiply-adds | test accuracy, % | each seed | minutes |",
        "|:--|--:|--:|--:|:--|--:|",
    ]
    for variant in variants:
        runs = [result for result in results if result.variant == variant.name]
        if runs:
            accuracies = [run.accuracy for run in runs]
            spread = f" ± {statistics.stdev(accuracies):.2f}" if len(runs) > 1 else ""
            each = ", ".join(f"{run.accuracy:.2f} ({run.seed})" for run in runs)
            minutes = sum(run.seconds for run in runs) / 60
            size = f"{runs[0].parameters:,} | {runs[0].macs:,}"
            mean = statistics.mean(accuracies)
            lines.append(f"| {variant.name} | {size} | {mean:.2f}{spread} | {each} | {minutes:.1f} |")
    return "\n".join(lines)


def _write_table(results: Sequence[AblationResult], variants: Sequence[Variant], out: Path) -> None:
    columns = [field.name for field in dataclasses.fields(AblationResult)]
    atomic_write(out / "ablation.csv", csv_text(columns, map(dataclasses.asdict, results)).encode())
    atomic_write(out / "ablation.md", f"{table(results, variants)}\n".encode())
