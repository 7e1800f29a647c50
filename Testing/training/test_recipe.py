"""Recipes: defaults, files, --set, and every mistake told with the path of its key."""

import json
from pathlib import Path

import msgspec
import pytest

from segmamba.errors import UserError
from segmamba.training import recipe as recipe_module
from segmamba.training.recipe import Recipe, from_dict, load_recipe, to_dict

RECIPES = sorted((Path(recipe_module.__file__).parent / "recipes").glob("*.json"))


def test_nothing_given_loads_the_defaults():
    assert load_recipe() == Recipe()


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_that_ships_loads_and_bears_its_files_name(path):
    assert load_recipe(path).name == path.stem
    assert load_recipe(path.stem) == load_recipe(path)


def test_there_are_recipes_that_ship():
    assert {"hippocampus-lightmunet", "phantom-lightmunet"} <= {path.stem for path in RECIPES}


def test_a_file_changes_what_it_names_and_the_command_line_goes_before_it(tmp_path):
    path = tmp_path / "my.json"
    path.write_text(json.dumps({"seed": 3, "train": {"epochs": 7, "batch": 4}}))
    recipe = load_recipe(path, "segmamba", ["train.epochs=9"])
    assert (recipe.seed, recipe.train.epochs, recipe.train.batch) == (3, 9, 4)
    assert recipe.network.name == "segmamba"
    assert recipe.optimiser == Recipe().optimiser


@pytest.mark.parametrize(
    ("change", "where", "value"),
    [
        ("seed=7", "seed", 7),
        ("network.options.init_filters=8", "network.options", {"init_filters": 8}),
        ('network.options={"blocks_down": [1, 1]}', "network.options", {"blocks_down": [1, 1]}),
        ("train.epochs=20", "train.epochs", 20),
        ("train.steps_per_epoch=5", "train.steps_per_epoch", 5),
        ("train.batch=1", "train.batch", 1),
        ("train.hours=0.5", "train.hours", 0.5),
        ("train.hours=2", "train.hours", 2.0),
        ("train.precision=bf16", "train.precision", "bf16"),
        ('train.precision="bf16"', "train.precision", "bf16"),
        ("train.workers=2", "train.workers", 2),
        ("train.epochs=null", "train.epochs", None),
        ("data.patch=[64, 48,32]", "data.patch", (64, 48, 32)),
        ("data.spacing=[1,1.5,3]", "data.spacing", (1.0, 1.5, 3.0)),
        ('augmentation.mirror_axes=["i"]', "augmentation.mirror_axes", ("i",)),
    ],
)
def test_set_takes_json_or_plain_text(change, where, value):
    found = load_recipe(changes=[change])
    for key in where.split("."):
        found = getattr(found, key)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("change", ["train.epochs", "=3", "  =3"])
def test_set_without_key_or_value_is_refused(change):
    with pytest.raises(UserError, match="key=value"):
        load_recipe(changes=[change])


def test_set_below_a_value_that_is_no_group_is_refused():
    with pytest.raises(UserError, match=r"--set seed\.low=3.*seed is not a group"):
        load_recipe(changes=["seed=1", "seed.low=3"])


def test_unknown_keys_at_every_depth_are_told_at_once():
    values = {"epochs": 3, "train": {"epoch": 1}, "data": {"normalisation": {"sort": 1}, "pach": [1, 1, 1]}}
    with pytest.raises(UserError) as error:
        from_dict(values, "recipe x.json")
    text = str(error.value)
    assert text.startswith("recipe x.json: ")
    for path in ("key epochs ", "key train.epoch ", "key data.normalisation.sort ", "key data.pach "):
        assert path in text
    assert "steps_per_epoch" in text  # what is allowed there


def test_values_of_a_wrong_type_are_told_at_once_with_unknown_keys():
    with pytest.raises(UserError) as error:
        from_dict({"train": {"epochs": "many", "batch": 1.5}, "data": {"patch": [1, 2]}, "seeds": 1, "loss": 3})
    text = str(error.value)
    for path in ("train.epochs is 'many'", "train.batch is 1.5", "data.patch is [1, 2]", "key seeds", "loss is 3"):
        assert path in text


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"seed": -1}, "seed"),
        ({"data": {"patch": [4, 32, 32]}}, "data.patch"),
        ({"data": {"spacing": [1, 0, 1]}}, "data.spacing"),
        ({"data": {"spacing": [1, float("nan"), 1]}}, "data.spacing"),
        ({"data": {"orientation": "LPP"}}, "data.orientation"),
        ({"data": {"orientation": "lps"}}, "data.orientation"),
        ({"data": {"foreground": 1.2}}, "data.foreground"),
        ({"data": {"max_patch_voxels": 100}}, "data.max_patch_voxels"),
        ({"data": {"normalisation": {"kind": "window"}}}, "data.normalisation.window"),
        ({"data": {"normalisation": {"kind": "window", "window": [5, 1]}}}, "data.normalisation.window"),
        ({"data": {"normalisation": {"kind": "zscore", "window": [1, 5]}}}, "data.normalisation.window"),
        ({"data": {"normalisation": {"kind": "percentile", "percentiles": [0, 101]}}}, "data.normalisation.perc"),
        ({"data": {"normalisation": {"region": "nonzero"}}}, "data.normalisation.region"),
        ({"augmentation": {"gamma_probability": 2}}, "augmentation.gamma_probability"),
        ({"augmentation": {"scale_range": [1.4, 0.7]}}, "augmentation.scale_range"),
        ({"augmentation": {"noise_std": -1}}, "augmentation.noise_std"),
        ({"augmentation": {"mirror_axes": ["x"]}}, "augmentation.mirror_axes"),
        ({"loss": {"kind": "focal"}}, "loss.kind"),
        ({"optimiser": {"lr": 0}}, "optimiser.lr"),
        ({"optimiser": {"clip": 0}}, "optimiser.clip"),
        ({"optimiser": {"kind": "sgd", "momentum": 0}}, "optimiser.momentum"),
        ({"train": {"epochs": 0}}, "train.epochs"),
        ({"train": {"hours": float("inf")}}, "train.hours"),
        ({"train": {"hours": -1}}, "train.hours"),
        ({"train": {"steps_per_epoch": 0}}, "train.steps_per_epoch"),
        ({"train": {"batch": True}}, "train.batch"),
        ({"train": {"workers": -1}}, "train.workers"),
        ({"train": {"precision": "fp8"}}, "train.precision"),
        ({"train": {"ema": 1}}, "train.ema"),
        ({"validation": {"every": 0}}, "validation.every"),
        ({"validation": {"cases": 0}}, "validation.cases"),
        ({"validation": {"overlap": 1}}, "validation.overlap"),
    ],
)
def test_a_bad_value_is_refused_with_its_path(values, path):
    with pytest.raises(UserError) as error:
        from_dict(values)
    assert f": {path}" in str(error.value)
    assert "\n" not in str(error.value)


def test_several_bad_values_are_told_at_once():
    with pytest.raises(UserError, match=r"optimiser\.lr.*; .*train\.workers"):
        from_dict({"train": {"workers": -1}, "optimiser": {"lr": -1}})


def test_plain_values_come_back_to_an_equal_recipe():
    recipe = load_recipe(changes=["data.patch=[16,24,32]", 'augmentation.mirror_axes=["i"]', "train.hours=0.1"])
    plain = to_dict(recipe)
    assert plain == json.loads(json.dumps(plain))
    assert from_dict(plain) == recipe


def test_tuples_in_network_options_are_plain_lists_in_the_file():
    recipe = msgspec.structs.replace(Recipe(), network=from_dict({}).network.__class__(options={"depths": (1, 2)}))
    assert to_dict(recipe)["network"]["options"] == {"depths": [1, 2]}


@pytest.mark.parametrize("text", ["{", "[1]", "\xff", pytest.param("[" * 100_000, id="deep")])
def test_a_file_that_is_no_json_object_is_refused_by_name(tmp_path, text):
    path = tmp_path / "broken.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"broken\.json"):
        load_recipe(path)


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(UserError, match=r"none\.json: no such file"):
        load_recipe(tmp_path / "none.json")


def test_a_recipe_is_frozen():
    with pytest.raises(AttributeError):
        Recipe().seed = 1
