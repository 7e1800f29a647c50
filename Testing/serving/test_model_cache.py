"""The model that stays in memory: the same one, and never a stale one."""

import gc
import json
import os
import shutil
import weakref

import pytest
import torch

from segmamba.errors import UserError
from segmamba.metadata import Label
from segmamba.serving.model_cache import ModelCache

LABELS = (Label(1, "Front", (230, 60, 50)),)


@pytest.fixture
def model(make_model, tmp_path):
    return make_model(tmp_path / "one", ("T1",), LABELS)


def test_the_same_model_is_not_loaded_again_in_whatever_precision(model):
    cache = ModelCache()
    first, told = cache.get(str(model), "cpu", "auto")
    assert told["name"] == "one" and told["version"] == "1.2.0" and len(told["sha256"]) == 64
    assert told["path"] == str(model) and told["network"] == "lightmunet"
    again, _ = cache.get(f"{model}/../one", "auto", "bf16")
    assert again is first and again.precision == "bf16"
    assert cache.get(str(model), "cpu", "auto")[0].precision == "fp32"


def test_another_version_in_the_same_place_is_loaded(model, make_model, tmp_path):
    cache = ModelCache()
    first, _ = cache.get(str(model), "cpu", "auto")
    other = make_model(tmp_path / "two", ("T1",), LABELS, name="one", version="2.0.0")
    shutil.rmtree(model)
    other.rename(model)
    second, told = cache.get(str(model), "cpu", "auto")
    assert second is not first and told["version"] == "2.0.0"


def test_weights_that_were_changed_are_found_out(model):
    cache = ModelCache()
    cache.get(str(model), "cpu", "auto")
    weights = model / "models" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    os.utime(weights, ns=(1, 1))
    with pytest.raises(UserError, match=r"model\.safetensors"):
        cache.get(str(model), "cpu", "auto")
    with pytest.raises(UserError):  # and nothing stale is given afterwards
        cache.get(str(model), "cpu", "auto")


def test_changed_metadata_are_taken_up(model):
    cache = ModelCache()
    cache.get(str(model), "cpu", "auto")
    file = model / "configs" / "metadata.json"
    document = json.loads(file.read_text())
    document["version"] = "9.9.9"
    file.write_text(json.dumps(document))
    segmenter, told = cache.get(str(model), "cpu", "auto")
    assert told["version"] == segmenter.metadata.version == "9.9.9"


def test_one_model_is_in_memory_and_none_after_freeing(model, make_model, tmp_path):
    cache = ModelCache()
    first = weakref.ref(cache.get(str(model), "cpu", "auto")[0].network)
    second = weakref.ref(cache.get(str(make_model(tmp_path / "b", ("T1",), LABELS)), "cpu", "auto")[0].network)
    gc.collect()
    assert first() is None and isinstance(second(), torch.nn.Module)
    cache.free()
    assert second() is None
    assert cache.get(str(model), "cpu", "auto")[1]["name"] == "one"


def test_unknown_models_devices_and_precisions_are_refused_and_cost_nothing(model):
    cache = ModelCache()
    first, _ = cache.get(str(model), "cpu", "auto")
    for wrong in (("nothing", "cpu", "auto"), (str(model), "tpu", "auto"), (str(model), "cpu", "fp8")):
        with pytest.raises(UserError):
            cache.get(*wrong)
    assert cache.get(str(model), "cpu", "auto")[0] is first
