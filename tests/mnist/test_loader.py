import itertools

import numpy as np
import pytest
import textbook
import torch
from conftest import assert_same_batches
from torch.utils.data import DataLoader, Subset, TensorDataset
from torchvision import datasets, transforms

import common
from mnist import files as mnist_files
from mnist.images import extend_by_shifts, keep_first

DATA_ROOT = mnist_files.find_root()


@pytest.fixture(scope="module")
def train_set():
    return common.get_dataset()


def test_a_transform_that_changes_later_is_honoured(train_set):
    dataset = keep_first(common.get_dataset(), 20)
    loader = common.get_loader(dataset, shuffle=False)
    before = next(iter(loader))[0]
    dataset.transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(0, 0.5)])
    assert torch.equal(next(iter(loader))[0], 2 * before)
    dataset.target_transform = str
    assert next(iter(loader))[1][0] == "5"


def test_every_image_is_bit_for_bit_the_textbook_s(train_set):
    images = torch.cat([images for images, _ in common.get_loader(train_set, 1000, shuffle=False)])
    assert np.array_equal(images.numpy()[:, 0], train_set.data.numpy() / np.float32(255))


@pytest.mark.parametrize("batch_size", [1, 7, 10, 64])
def test_shuffled_batches_and_the_random_stream_are_the_textbook_s(train_set, batch_size):
    torch.manual_seed(5)
    loader = common.get_loader(keep_first(common.get_dataset(), 300), batch_size)
    batches = [*loader, *loader]  # two epochs
    number = torch.rand(())

    torch.manual_seed(5)
    textbook_loader = textbook.create_loader(
        textbook.create_dataset(DATA_ROOT, num_images=300), batch_size
    )
    expected = [*textbook_loader, *textbook_loader]

    assert assert_same_batches(batches, expected) == 2 * len(loader)
    assert number == torch.rand(())
    assert not torch.equal(batches[0][1], batches[len(loader)][1])  # shuffled anew


def test_the_full_set_is_shuffled_as_the_textbook_does(train_set):
    torch.manual_seed(6)
    batches = list(itertools.islice(common.get_loader(train_set), 200))
    torch.manual_seed(6)
    expected = itertools.islice(textbook.create_loader(textbook.create_dataset(DATA_ROOT)), 200)
    assert assert_same_batches(batches, expected) == 200


def test_the_random_stream_is_drawn_from_when_the_textbook_does():
    def numbers(loader):
        torch.manual_seed(7)
        iterator = iter(loader)
        after_iter = torch.rand(())
        next(iterator)
        return after_iter, torch.rand(())

    loader = common.get_loader(keep_first(common.get_dataset(), 20))
    assert numbers(loader) == numbers(textbook.create_loader(loader.dataset))


def test_an_epoch_holds_each_image_once(train_set):
    dataset = keep_first(common.get_dataset(), 1005)
    dataset.targets = torch.arange(1005)
    batches = list(common.get_loader(dataset))
    assert len(batches) == len(common.get_loader(dataset)) == 101
    assert sorted(torch.cat([labels for _, labels in batches]).tolist()) == list(range(1005))


def test_other_data_sets_are_taken(tmp_path, train_set):
    numbers = TensorDataset(torch.arange(12.0).reshape(6, 2), torch.arange(6))
    assert_same_batches(
        common.get_loader(numbers, 4, shuffle=False), DataLoader(numbers, batch_size=4)
    )
    torch.manual_seed(1)
    batches = list(common.get_loader(numbers, 4))
    torch.manual_seed(1)
    assert_same_batches(batches, DataLoader(numbers, batch_size=4, shuffle=True))

    subset = Subset(train_set, [5, 6, 7])
    assert_same_batches(common.get_loader(subset, 2, shuffle=False), DataLoader(subset, 2))


def test_fashion_mnist_is_taken(tmp_path):
    # The format is MNIST's, and so, here, are the images.
    raw_folder = tmp_path / "FashionMNIST" / "raw"
    raw_folder.parent.mkdir()
    raw_folder.symlink_to(DATA_ROOT.resolve() / "MNIST" / "raw")
    dataset = datasets.FashionMNIST(tmp_path, transform=common.transformations)
    expected = textbook.create_loader(keep_first(dataset, 100), shuffle=False)
    assert assert_same_batches(common.get_loader(dataset, shuffle=False), expected) == 10


def test_a_subclass_with_items_of_its_own_is_taken():
    class Pairs(datasets.MNIST):
        raw_folder = str(DATA_ROOT / "MNIST" / "raw")

        def __getitem__(self, index):
            image, label = super().__getitem__(index)
            return -image, label + 100

    dataset = keep_first(Pairs(DATA_ROOT, transform=common.transformations), 30)
    assert_same_batches(common.get_loader(dataset, shuffle=False), DataLoader(dataset, 10))


@pytest.mark.parametrize("batch_size", [1, 30, 100, 130, 300, 1000])
def test_batches_of_any_size_are_cut_right(batch_size):
    loader = common.get_loader(keep_first(common.get_dataset(), 305), batch_size, shuffle=False)
    assert len(loader) == len(list(loader))
    assert_same_batches(loader, DataLoader(loader.dataset, batch_size))


def test_data_in_another_form_are_left_to_the_plain_loader():
    dataset = keep_first(common.get_dataset(), 30)
    expected = list(DataLoader(dataset, 10))
    dataset.targets = dataset.targets.tolist()
    assert_same_batches(common.get_loader(dataset, shuffle=False), expected)


@pytest.mark.parametrize(
    "options",
    [
        {"drop_last": True},
        {"sampler": [5, 3, 11, 7, 2]},
        {"batch_size": 1, "sampler": range(3)},
        {"num_workers": 1},
        {"collate_fn": lambda items: (torch.stack([i for i, _ in items]), torch.zeros(1))},
    ],
    ids=lambda options: "+".join(options),
)
def test_a_data_loader_s_options_have_their_ordinary_meaning(options):
    dataset = keep_first(common.get_dataset(), 23)
    options = {"batch_size": 4, "shuffle": False, **options}
    expected = DataLoader(dataset, **options)
    count = assert_same_batches(common.get_loader(dataset, **options), expected)
    assert count == len(expected)


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_generator_of_the_caller_s_is_used_as_the_plain_loader_does(shuffle):
    dataset = keep_first(common.get_dataset(), 50)

    def draw(create_loader):
        generator = torch.Generator().manual_seed(3)
        batches = list(create_loader(dataset, 10, shuffle=shuffle, generator=generator))
        return batches, torch.rand((), generator=generator)

    batches, number = draw(common.get_loader)
    expected_batches, expected_number = draw(DataLoader)
    assert_same_batches(batches, expected_batches)
    assert number == expected_number


@pytest.fixture
def no_item_is_asked_for(monkeypatch):
    """Let a data set that is asked for a single image fail: the slow way."""

    def refuse(*_):
        raise AssertionError("an image was prepared on its own")

    monkeypatch.setattr(datasets.MNIST, "__getitem__", refuse)


def normalize(dataset):
    dataset.transform = common.normalized_transformations
    return dataset


DATA_SETS = {
    "subset": lambda dataset: Subset(dataset, [7, 3, 3, 60]),
    "split": lambda dataset: torch.utils.data.random_split(
        dataset, [70, 30], torch.Generator().manual_seed(1)
    )[1],
    "subset of a subset": lambda dataset: Subset(Subset(dataset, range(20, 60)), [1, 39]),
    "normalised": normalize,
    "extended": extend_by_shifts,
    "normalised subset": lambda dataset: Subset(normalize(dataset), torch.arange(15)),
}


@pytest.mark.parametrize("change", DATA_SETS.values(), ids=DATA_SETS)
def test_what_people_use_is_the_plain_loader_s_bit_for_bit(change):
    dataset = change(keep_first(common.get_dataset(), 100))
    expected = DataLoader(dataset, 3)
    batches = common.get_loader(dataset, 3, shuffle=False)
    assert assert_same_batches(batches, expected) == len(expected)


@pytest.mark.parametrize("change", DATA_SETS.values(), ids=DATA_SETS)
def test_what_people_use_is_cut_from_memory(change, no_item_is_asked_for):
    dataset = change(keep_first(common.get_dataset(), 100))
    assert len(list(common.get_loader(dataset, 3))) == -(-len(dataset) // 3)


def test_a_subset_counted_from_the_end_is_taken():
    subset = Subset(keep_first(common.get_dataset(), 100), [-1, -100])
    assert_same_batches(common.get_loader(subset, 1, shuffle=False), DataLoader(subset, 1))


def test_a_random_augmentation_stays_image_by_image():
    turn = transforms.Compose([transforms.RandomRotation(30), transforms.ToTensor()])
    dataset = keep_first(common.get_dataset(transform=turn), 10)
    torch.manual_seed(1)
    batches = list(common.get_loader(dataset, 5, shuffle=False))
    torch.manual_seed(1)
    assert_same_batches(batches, DataLoader(dataset, 5))


class NoisyCompose(transforms.Compose):
    def __call__(self, image):
        return super().__call__(image) + 0.5


@pytest.mark.parametrize(
    "transform",
    [
        NoisyCompose([transforms.ToTensor()]),
        transforms.RandomApply([transforms.ToTensor()], p=1),
        transforms.Compose([transforms.PILToTensor()]),
    ],
)
def test_other_transforms_are_applied(transform):
    dataset = keep_first(common.get_dataset(transform=transform), 10)
    assert_same_batches(common.get_loader(dataset, 5, shuffle=False), DataLoader(dataset, 5))


def test_images_go_to_the_device_once(monkeypatch):
    """On "meta", nothing is computed, but each tensor says where it would be."""
    dataset = keep_first(common.get_dataset(), 25)
    loader = common.get_loader(dataset, device="meta")
    for images, labels in [*loader, *loader]:
        assert images.is_meta
        assert labels.is_meta
    moved, to = [], torch.Tensor.to

    def record(tensor, *arguments):
        moved.append(tensor)
        return to(tensor, *arguments)

    def is_moved(stored):
        return any(tensor is stored for tensor in moved)

    monkeypatch.setattr(torch.Tensor, "to", record)
    list(loader)
    assert moved
    assert not is_moved(dataset.data)
    dataset.targets[3] = 9  # in place, between two epochs
    list(loader)
    assert not is_moved(dataset.data)
    assert is_moved(dataset.targets)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_batches_assembled_on_cuda_are_the_cpu_s(train_set):
    torch.manual_seed(9)
    batches = [*itertools.islice(common.get_loader(train_set), 50)]
    torch.manual_seed(9)
    on_cuda = common.get_loader(train_set, device="cuda")
    on_cuda = [(images.cpu(), labels.cpu()) for images, labels in itertools.islice(on_cuda, 50)]
    assert assert_same_batches(batches, on_cuda) == 50
