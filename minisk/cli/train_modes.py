"""`train_cifar.py --eval` and `--profile`: measure a checkpoint, or time some steps, instead of training."""

import itertools

from ..analysis.profiler import profile
from ..errors import MiniskError
from ..evaluation import load_classifier, measure
from ..training import Config, Trainer
from ..training.images import load_test_images


def evaluate_checkpoint(config: Config, checkpoint: str) -> int:
    """Print loss and accuracy of a checkpoint on the test set that the settings describe. Return the exit status."""
    classifier = load_classifier(checkpoint, config.device)
    test_set = load_test_images(config, classifier.view(config.image_size))
    if classifier.classes != test_set.classes:
        raise MiniskError(f"--eval {checkpoint} has other classes than --dataset {config.dataset}")
    result = measure(classifier.model, test_set, classifier.normalization, max_broken=config.max_broken)
    at = f" at {test_set.image_size[0]} pixels" if config.dataset == "imagenet" else ""
    print(f"{checkpoint}{at}: test loss {result.loss:.4f} accuracy {result.accuracy:.2f} % of {len(test_set):,} images")
    return 0


def profile_steps(trainer: Trainer) -> None:
    """Print where the time of ten steps goes, after three that build kernels and fetch memory; save nothing else.

    Of several ranks, rank 0 prints its own time.
    """
    trainer.model.train()
    batches = itertools.chain.from_iterable(map(trainer.train_loader.epoch, itertools.count(1)))
    for batch in itertools.islice(batches, 3):
        trainer.train_step(batch)
    with profile(trainer.model) as found:
        for batch in itertools.islice(batches, 10):
            trainer.train_step(batch)
    if trainer.group.rank > 0:
        return
    print(found)
    trainer.out.mkdir(parents=True, exist_ok=True)
    found.save_trace(trainer.out / "trace.json")
    print(f"every operation in time: {trainer.out / 'trace.json'}, for chrome://tracing or ui.perfetto.dev")
