"""Datasets by name, file, folder or function; the checked MNIST cache; splits."""

from bogp.data.dataset import Dataset as Dataset
from bogp.data.mnist import cache_folder as cache_folder
from bogp.data.named import DATASETS as DATASETS
from bogp.data.sources import load_dataset as load_dataset
from bogp.data.split import PROTOCOLS as PROTOCOLS
from bogp.data.split import Split as Split
from bogp.data.split import split as split
from bogp.data.split import usable_device as usable_device
from bogp.data.torch_datasets import from_datasets as from_datasets
