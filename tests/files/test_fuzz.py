"""What reads files, on files that nobody would write: a right answer, or a RefusedError."""

import contextlib
import gzip
import io
import zipfile

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

import pytorch_mnist
from common import RefusedError, read_idx
from files import models, states
from training import checkpoint, progress
from training.checkpoint import Checkpoint, describe_optimizer

pytestmark = pytest.mark.filterwarnings("ignore")
fuzz = settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
CHANGES = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=4), st.integers(0, 4)),
    min_size=1,
    max_size=3,
)
TENSORS = st.sampled_from([torch.zeros(3), torch.tensor(float("nan")), torch.ones(2).to_sparse()])
SIMPLE = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | TENSORS
VALUES = st.recursive(
    SIMPLE,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=3), values),
    max_leaves=6,
)


def change(content, changes):
    """Replace bytes: at a fraction of the length, these, in place of so many."""
    for place, inserted, num_removed in changes:
        index = int(place * len(content))
        content = content[:index] + inserted + content[index + num_removed :]
    return content


def change_in_archive(content, changes):
    """Change the pickle in a file of PyTorch's, whose checksums are right again then."""
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            part = old.read(name)
            new.writestr(name, change(part, changes) if name.endswith("data.pkl") else part)
    return changed.getvalue()


def create_net():
    torch.manual_seed(0)
    return pytorch_mnist.Net(2)


def create_checkpoint(file):
    net = create_net()
    sgd = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    described = states.describe(net, nn.MSELoss(), None)
    return Checkpoint(file, described | describe_optimizer(sgd), net, sgd)


def read_all(file):
    """Read a file as a model and as a checkpoint; whatever is accepted has to work."""
    with contextlib.suppress(RefusedError):
        outputs = models.load(file)(torch.zeros(1, 1, 28, 28))
        assert outputs.shape == (1, 10)
    with contextlib.suppress(RefusedError):
        net = states.load_state(create_net(), states.read_state(file)[0], file)
        assert net.output_layer.bias.isfinite().all()
    with contextlib.suppress(RefusedError):
        assert create_checkpoint(file).resume(9) <= 9
    with contextlib.suppress(RefusedError):
        checkpoint.read_seed(file)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "file"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Whole files: a checkpoint, a model, and one in PyTorch's older format."""
    folder = tmp_path_factory.mktemp("whole")
    files = [folder / name for name in ("checkpoint", "model", "older")]
    saved, net = create_checkpoint(files[0]), create_net()
    saved.write(3)
    states.save_model(net, files[1], saved.settings)
    torch.save(net.state_dict(), files[2], _use_new_zipfile_serialization=False)
    return files


@fuzz
@given(kind=st.integers(0, 2), in_archive=st.booleans(), changes=CHANGES)
def test_models_and_checkpoints_with_changed_bytes(file, whole, kind, in_archive, changes):
    content = whole[kind].read_bytes()
    is_archive = content.startswith(b"PK")
    changed = change_in_archive if in_archive and is_archive else change
    file.write_bytes(changed(content, changes))
    read_all(file)


@fuzz
@given(kind=st.integers(0, 1), keys=st.lists(st.integers(0, 20), max_size=3), value=VALUES)
def test_models_and_checkpoints_with_a_value_of_another_kind(file, whole, kind, keys, value):
    content = torch.load(whole[kind], weights_only=True)
    part = content
    for key in keys:
        if not isinstance(part, dict) or not part:
            break
        name = list(part)[key % len(part)]
        part, owner = part[name], part
        if not isinstance(part, dict) or key == keys[-1]:
            owner[name] = value
    torch.save(content if keys else value, file)
    read_all(file)


@fuzz
@given(
    name=st.sampled_from([None, "network", "arguments", "hidden_size", "loss", "transform"]),
    value=VALUES,
)
def test_models_with_another_description(file, whole, name, value):
    state = torch.load(whole[1], weights_only=True)
    described = state._metadata[""]["description"]
    if name is None:
        state._metadata[""] = value
    else:
        (described["arguments"] if name == "hidden_size" else described)[name] = value
    torch.save(state, file)
    read_all(file)


CELLS = st.sampled_from(["", "0", "1", "-1", "0.5", "97.8", "nan", "inf", "null", "x", "1" * 9])


@fuzz
@given(
    rows=st.lists(st.lists(CELLS, min_size=4, max_size=6), max_size=4),
    end=st.sampled_from(["\n", "", "\r\n", "\0\n"]),
    changes=CHANGES | st.just([]),
)
def test_logs(file, rows, end, changes):
    lines = ['# {"seed": 1}', ",".join(progress.COLUMNS), *map(",".join, rows)]
    file.write_bytes(change(("\n".join(lines) + end).encode(), changes))
    with contextlib.suppress(RefusedError):
        training, read = progress.read_log(file)
        assert isinstance(training, dict)
        assert all(epoch > 0 and step > 0 for epoch, step in read)
        assert all(0 <= (row["test_accuracy"] or 0) <= 1 for row in read.values())


@fuzz
@given(
    header=st.sampled_from([b"\0\0\x08\x01", b"\0\0\x08\x03", b"\0\0\x0d\x01"])
    | st.binary(max_size=5),
    sizes=st.lists(st.integers(0, 4) | st.sampled_from([2**16, 2**31]), max_size=4),
    numbers=st.binary(max_size=70),
    is_packed=st.booleans(),
    changes=CHANGES | st.just([]),
)
def test_idx_files(tmp_path, header, sizes, numbers, is_packed, changes):
    content = header + b"".join(size.to_bytes(4, "big") for size in sizes) + numbers
    content = change(gzip.compress(content) if is_packed else content, changes)
    file = tmp_path / "images-ubyte"
    target = file.with_name("images-ubyte.gz") if is_packed else file
    target.write_bytes(content)
    try:
        read = read_idx(file)
        if not changes:
            assert list(read.shape) == sizes
            assert bytes(read.flatten().tolist()) == numbers
    except RefusedError as error:
        assert str(target) in str(error)
    finally:
        target.unlink()
