"""Several ranks, here threads, train the network that one rank would train."""

import threading

import numpy as np
import pytest
import tiny_run
from agreement import kernel_mode
from photographs import make_tree
from thread_group import on_ranks
from tiny_run import assert_same_bits, config, tiny_net, weights

from minisk import models, nn, ops
from minisk.autograd import Tensor
from minisk.distributed import DataParallel, EndedByPeer
from minisk.errors import CheckpointError, DataError, MiniskError
from minisk.ops.autocast import autocast
from minisk.serialization import load_checkpoint
from minisk.training import LossScale, Trainer, images, run_folder

# Ten steps: 64 images in batches of 16 are 4 steps an epoch.
SETTINGS = {"epochs": 3, "lr": 0.05, "clip_norm": 1.0, "ema": 0.8, "accumulate": 2, "momentum": 0.9}
STEPS = 10


class Float64Net(nn.Module):
    """The tiny network in float64, so that only the order of sums distinguishes one rank from several."""

    def __init__(self, name, classes):
        self.net = tiny_net(name, classes).to(dtype="float64")

    def forward(self, x):
        return self.net(ops.cast(x, "float64"))


def use_tiny(monkeypatch):
    tiny_run.use_tiny(monkeypatch)
    monkeypatch.setattr(run_folder, "draw_curves", lambda *arguments: None)  # takes longer than the training


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    use_tiny(monkeypatch)


def after(count):
    """Return a `stop` that ends a run after so many steps; several ranks ask within a step, so one step earlier."""
    return lambda trainer: lambda: int(trainer.schedule.steps >= count - (trainer.group.size > 1))


def train(out, size, stop=None, resume=False, **settings):
    """Train on so many ranks; return the trainer of each."""

    def work(group):
        trainer = Trainer(config(**settings), out, resume, group=group, log_every=1)
        list(trainer.run(progress=False, stop=stop(trainer) if stop else lambda: 0))
        return trainer

    return on_ranks(size, work)


def error_of(work):
    with pytest.raises(MiniskError) as found:
        work()
    return found.value


def largest_difference(one, other):
    """Return max|Δ| / max|value| over the arrays of two checkpoints, the weights' average and momentum included."""
    arrays, others = (load_checkpoint(folder / "last.safetensors")[0] for folder in (one, other))
    assert arrays.keys() == others.keys()
    return max(np.abs(arrays[k] - others[k]).max() / np.abs(arrays[k]).max() for k in arrays if np.abs(arrays[k]).max())


@pytest.fixture(scope="module")
def one_rank(tmp_path_factory):
    out = tmp_path_factory.mktemp("one")
    with pytest.MonkeyPatch.context() as patch:
        use_tiny(patch)
        patch.setattr(models, "create", Float64Net)
        train(out, 1, after(STEPS), **SETTINGS)
    return out


@pytest.mark.parametrize("size", [2, 3, 4])  # 3: parts of 8 images become 3, 3 and 2
def test_ten_steps_in_float64_equal_those_of_one_rank(size, one_rank, tmp_path, monkeypatch):
    monkeypatch.setattr(models, "create", Float64Net)
    trainers = train(tmp_path, size, after(STEPS), **SETTINGS)
    assert largest_difference(one_rank, tmp_path) < 1e-12
    for trainer in trainers[1:]:
        assert_same_bits(weights(trainers[0]), weights(trainer))
    rows = [[(m.train_accuracy, m.test_accuracy) for m in trainer.history] for trainer in trainers]
    assert rows == [rows[0]] * size


def test_gradients_travel_in_buckets_while_backward_runs():
    def work(group):
        model = Float64Net("sknet_small", 10)
        parallel = DataParallel(model, group, bucket_bytes=2000)
        images = np.random.default_rng(group.rank).standard_normal((4, 3, 32, 32)).astype(np.float32)
        with parallel.sending():
            ops.cross_entropy(model(Tensor(images)), Tensor(np.arange(4))).backward()
        sent_in_backward = len(group.sums)
        own = [p.grad.numpy().copy() for p in model.parameters()]
        parallel.exchange(np.zeros(1))
        return sent_in_backward, len(group.sums), own, [p.grad.numpy() for p in model.parameters()]

    results = on_ranks(2, work)
    for sent_in_backward, sent, _, sums in results:
        assert 2 < sent_in_backward == sent - 1  # the numbers follow the last bucket
        for position, total in enumerate(sums):
            assert total.tobytes() == (results[0][2][position] + results[1][2][position]).tobytes()


class TwoBranches(nn.Module):
    def __init__(self):
        self.left, self.right, self.unused = (nn.Linear(2, 1, bias=False) for _ in range(3))


def test_a_gradient_that_one_rank_lacks_counts_as_zero_and_one_that_all_lack_stays_none():
    def work(group):
        model = TwoBranches()
        parallel = DataParallel(model, group)
        branch = model.left if group.rank == 0 else model.right
        with parallel.sending():
            branch(Tensor(np.full((1, 2), 3.0, np.float32))).sum().backward()
        parallel.exchange(np.zeros(1))
        return [None if p.grad is None else p.grad.numpy().tolist() for p in model.parameters()]

    assert on_ranks(2, work) == [[[[3.0, 3.0]], [[3.0, 3.0]], None]] * 2


def test_without_synchronised_batch_norm_running_statistics_are_averaged():
    def work(group):
        norm = nn.BatchNorm1d(1, momentum=1.0)
        parallel = DataParallel(norm, group, sync_bn=False)
        norm(Tensor(np.array([[0.0], [4.0 * (1 + group.rank)]], np.float32)))
        parallel.exchange(np.zeros(1))
        return norm.running_mean.numpy().tolist()

    assert on_ranks(2, work) == [[3.0]] * 2  # of the means 2 and 4


def test_a_rank_with_one_image_can_train_if_batch_norm_is_synchronised(tmp_path):
    (trainer, _) = train(tmp_path / "sync", 2, after(1), batch_size=2)
    assert trainer.schedule.steps == 1
    with pytest.raises(MiniskError, match=r"SKConv: x .* is one image"):
        train(tmp_path / "own", 2, after(1), batch_size=2, sync_bn=False)


# --- Mixed precision ------------------------------------------------------------------------------------------


def normalize_half(group, norm, images, dout):
    """Normalise float16 images, this rank's share; return the output, and the gradients that all ranks agree on."""
    x = Tensor(np.array_split(images, group.size)[group.rank], requires_grad=True)
    parallel = DataParallel(norm, group)
    with autocast():
        out = norm(x)
    out.backward(Tensor(np.array_split(dout, group.size)[group.rank]))
    parallel.exchange(np.zeros(1))
    return [t.numpy() for t in (out, x.grad, norm.weight.grad, norm.bias.grad, norm.running_mean, norm.running_var)]


@pytest.mark.parametrize("mode", ["numpy", "threads"])  # the modes that compute float16 without a GPU
def test_synchronised_batch_norm_of_float16_images_keeps_statistics_and_parameters_in_float32(mode):
    rng = np.random.default_rng(0)
    images = (100 + rng.standard_normal((5, 3, 4, 4))).astype(np.float16)  # float16 could not hold their squares' sums
    dout = rng.standard_normal(images.shape).astype(np.float16)

    def on(size):
        with kernel_mode(mode):
            return on_ranks(size, lambda group: normalize_half(group, nn.BatchNorm2d(3, relu=True), images, dout))

    (one,), several = on(1), on(3)
    assert [str(array.dtype) for array in one] == ["float16"] * 2 + ["float32"] * 4
    whole = [np.concatenate([results[i] for results in several]) for i in (0, 1)] + several[0][2:]
    for seen, expected, tolerance in zip(whole, one, [1e-3, 1e-3, 1e-6, 1e-6, 1e-6, 1e-6], strict=True):
        assert seen.dtype == expected.dtype
        assert np.abs(seen - expected).max() <= tolerance * np.abs(expected).max()
    for results in several[1:]:
        assert [array.tobytes() for array in results[2:]] == [array.tobytes() for array in several[0][2:]]


def test_steps_that_overflow_are_left_out_on_all_ranks_and_they_train_the_network_of_one_rank(tmp_path):
    settings = {**SETTINGS, "precision": "mixed"}

    def run(size):
        def work(group):
            trainer = Trainer(config(**settings), tmp_path / str(size), group=group)
            trainer.state.loss_scale = LossScale(2.0**24)
            list(trainer.run(progress=False))
            return trainer

        return on_ranks(size, work)

    (one,), ranks = run(1), run(2)
    assert ranks[0].state.loss_scale == ranks[1].state.loss_scale
    assert ranks[0].schedule.steps == ranks[1].schedule.steps < 12  # of 12 batches some were left out
    assert_same_bits(weights(ranks[0]), weights(ranks[1]))
    losses = [[epoch.train_loss for epoch in trainer.history] for trainer in (one, ranks[0])]
    np.testing.assert_allclose(*losses, rtol=1e-3)


# --- Stopping, saving, going on -----------------------------------------------------------------------------


def ask_one(rank, count):
    """Return a `stop` that asks one rank alone to stop."""
    return lambda trainer: lambda: 15 * (trainer.group.rank == rank and trainer.schedule.steps >= count - 1)


@pytest.mark.parametrize("sync_bn", [True, False])
def test_one_rank_that_is_asked_stops_all_and_the_run_goes_on_with_the_same_bits(sync_bn, tmp_path):
    settings = {**SETTINGS, "epochs": 2, "sync_bn": sync_bn}
    train(tmp_path / "whole", 2, **settings)
    trainers = train(tmp_path / "parts", 2, ask_one(1, 3), **settings)
    assert [(t.schedule.steps, t.agreement.stopped_by) for t in trainers] == [(3, 15)] * 2
    train(tmp_path / "parts", 2, resume=True, **settings)
    one, other = (load_checkpoint(tmp_path / name / "last.safetensors")[0] for name in ("whole", "parts"))
    assert_same_bits(one, other)


def test_another_number_of_ranks_is_reported_and_refused_if_it_trains_another_network(tmp_path, caplog):
    train(tmp_path / "sync", 2, ask_one(0, 2))
    train(tmp_path / "sync", 3, ask_one(0, 4), resume=True)
    assert "processes '2' is now '3': the bits will differ" in caplog.text
    train(tmp_path / "own", 2, ask_one(0, 2), sync_bn=False)
    with pytest.raises(CheckpointError, match="run of 2 processes without --sync-bn can't go on with 1"):
        train(tmp_path / "own", 1, resume=True, sync_bn=False)


def test_more_ranks_than_images_of_a_part_are_refused(tmp_path):
    with pytest.raises(MiniskError, match="batch_size is too small: 16 images in 8 parts leave a rank of 3"):
        train(tmp_path, 3, accumulate=8)


def test_other_bits_on_a_rank_are_found_before_they_are_saved(tmp_path):
    def spoil(trainer):
        def stop():
            if trainer.schedule.steps == 2 and trainer.group.rank == 1:
                next(trainer.model.parameters()).data.ravel()[0] += 1e-7
            return int(trainer.schedule.steps >= 2)

        return stop

    with pytest.raises(MiniskError, match=r"rank 1 has other bits in model\..* than rank 0"):
        train(tmp_path, 2, spoil)
    assert load_checkpoint(tmp_path / "last.safetensors")[1]["schedule"] == 0


def test_an_error_of_one_rank_before_training_ends_all_with_one_sentence(tmp_path, monkeypatch):
    real = images.load_dataset

    def load(*arguments, **keywords):
        if threading.current_thread().name == "rank 1":
            raise DataError("the disk of this machine is empty")
        return real(*arguments, **keywords)

    monkeypatch.setattr(images, "load_dataset", load)
    endings = on_ranks(3, lambda group: error_of(lambda: Trainer(config(), tmp_path, group=group)))
    assert [type(error) for error in endings] == [EndedByPeer, DataError, EndedByPeer]


def test_a_loss_that_is_not_finite_is_reported_by_rank_0_alone(tmp_path):
    def work(group):
        trainer = Trainer(config(lr=1e15, epochs=5), tmp_path, group=group)
        with np.errstate(all="ignore"):
            return error_of(lambda: list(trainer.run(progress=False)))

    first, second = on_ranks(2, work)
    assert "became" in str(first) and not isinstance(first, EndedByPeer) and isinstance(second, EndedByPeer)
    assert (tmp_path / "bad_batch.safetensors").exists()


def test_only_rank_0_writes(tmp_path):
    def work(group):
        trainer = Trainer(config(), tmp_path / str(group.rank), group=group)
        return list(trainer.run(progress=False))

    on_ranks(2, work)
    assert [path.name for path in tmp_path.iterdir()] == ["0"]


# --- Photographs: each rank decodes its own ------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.undo()  # `tiny` has replaced the data set
    monkeypatch.setattr(run_folder, "draw_curves", lambda *arguments: None)
    monkeypatch.setattr(models, "create", Float64Net)
    monkeypatch.setenv("MINISK_CACHE", str(tmp_path / "cache"))
    return make_tree(tmp_path / "tree", 12, 4)


def of_photographs(tree, **settings):
    return {"dataset": "imagenet", "data_dir": str(tree), "image_size": 24, "batch_size": 8, "lr": 0.05, **settings}


def test_photographs_on_two_ranks_train_the_network_of_one(tree, tmp_path):
    settings = of_photographs(tree, jitter=0.4, lighting=0.1)
    for size in (1, 2):
        train(tmp_path / str(size), size, **settings)
    assert largest_difference(tmp_path / "1", tmp_path / "2") < 1e-12


def test_without_an_unreadable_photograph_the_others_have_its_weight(tree, tmp_path):
    min((tree / "train").rglob("*.*")).write_bytes(b"no photograph")
    # Nothing is drawn at random, because a missing photograph changes what its batch draws.
    settings = of_photographs(tree, mirror=False, least_area=1.0, max_broken=1)
    for size in (1, 2):
        train(tmp_path / str(size), size, **settings)
    assert largest_difference(tmp_path / "1", tmp_path / "2") < 1e-12
