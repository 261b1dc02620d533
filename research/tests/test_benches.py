"""The benches: their files, how arms inherit, and what is refused."""

import copy
import json

import pytest

from kbnn.runs import RunConfig
from kbnn.runs.recipe import load_recipe, recipe_names
from research import bench_table, benches

CONTENT = {
    "title": "a network on some images",
    "seeds": 3,
    "baseline": "plain",
    "time_curve": ["plain", "longer"],
    "data": {"dataset": "fashion_mnist_sample", "augment": "both"},
    "network": {"architecture": "vgg_tiny", "width": 8},
    "fit": {"epochs": 4, "learning_rate": 0.25},
    "arms": {
        "plain": {"label": "plain signs"},
        "longer": {"label": "twice the epochs", "fit": {"epochs": 8}, "seeds": 2},
        "float": {
            "label": "real-valued",
            "network": {"input_quantizer": "none", "kernel_quantizer": "none"},
        },
        "taught": {
            "label": "with a teacher",
            "teacher": "float",
            "techniques": {"distillation": {"temperature": 2.0}},
        },
        "tuned": {"label": "tuned", "from": "taught", "against": "taught", "tuning": True},
    },
}


def content(**arms):
    """Return CONTENT with arms added or changed."""
    found = copy.deepcopy(CONTENT)
    for name, changes in arms.items():
        found["arms"][name] = {**found["arms"].get(name, {}), **changes}
    return found


@pytest.fixture
def bench():
    return benches.parse("small", CONTENT)


def train(runs, arm, seed):
    """Write what a finished run leaves of its network."""
    folder = benches.run_folder(runs, "small", arm, seed)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.keras").write_bytes(f"{arm} {seed}".encode())
    return folder


def test_arms_inherit_the_settings_of_the_bench_and_change_them(bench, tmp_path):
    configs = {arm: bench.config(arm, 1, tmp_path) for arm in ("plain", "longer", "float")}
    plain, longer, real = configs.values()
    assert (plain.fit.epochs, longer.fit.epochs, real.fit.epochs) == (4, 8, 4)
    for config in configs.values():
        assert (config.fit.learning_rate, config.network.width) == (0.25, 8)
        assert (config.data.augment, config.fit.seed, config.split_seed) == ("both", 1, 1)
    assert plain.network.kernel_quantizer == "ste_sign"
    assert real.network.kernel_quantizer == "none"
    assert [arm.seeds for arm in bench.arms.values()] == [3, 2, 3, 3, 3]
    assert [name for name, arm in bench.arms.items() if arm.is_real] == ["float"]
    # A run does not change the bench.
    assert bench.config("plain", 0, tmp_path, tmp_path / "data").data.directory is not None
    assert bench.config("plain", 0, tmp_path).data.directory is None


def test_networks_of_other_arms_are_those_of_the_same_seed(bench, tmp_path):
    folders = {
        (arm, seed): train(tmp_path, arm, seed) for arm in ("float", "taught") for seed in (0, 1)
    }
    taught, tuned = (bench.config(arm, 1, tmp_path) for arm in ("taught", "tuned"))
    (technique,) = taught.techniques
    assert technique.teacher.directory == str(folders["float", 1])
    assert technique.temperature == 2.0
    assert tuned.network.pretrained.directory == str(folders["taught", 1])
    assert bench.needed("tuned") == {"taught", "float"}
    assert bench.needed("plain") == set()


@pytest.mark.parametrize(("arm", "needed"), [("taught", "float"), ("tuned", "taught")])
def test_a_missing_network_is_named_with_the_command_that_trains_it(bench, tmp_path, arm, needed):
    train(tmp_path, needed, 0)
    with pytest.raises(
        ValueError, match=rf"network of {needed} with seed 2.*run small {needed} --seeds 2"
    ):
        bench.config(arm, 2, tmp_path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (content(plain={"epoch": 3}), r"in small\.plain\. Received: epoch"),
        ({**CONTENT, "seed": 3}, r"in small\. Received: seed"),
        (content(other={"seeds": 1}), r"the key label in small\.other"),
        ({"title": "no more"}, "the key seeds and baseline and arms in small"),
        ({**CONTENT, "baseline": "none"}, "Expected arms of small.*Received: none"),
        (content(tuned={"from": "tought"}), "Received: tought"),
        (content(taught={"teacher": "flaot"}), "Received: flaot"),
        (content(tuned={"against": "any"}), "Received: any"),
        ({**CONTENT, "time_curve": ["plain", "long"]}, "Received: long"),
        (content(float={"teacher": "tuned"}), "float, which needs tuned, which needs taught"),
        (content(plain={"from": "plain"}), "plain, which needs plain"),
        (content(longer={"fit": {"learning_rate": 1.0}}), "other epochs. Received: longer"),
        (content(longer={"from": "float"}), "other epochs. Received: longer"),
    ],
)
def test_a_file_that_is_not_a_bench_is_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        benches.parse("small", changed)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fit": {"epocs": 3}}, "Expected the settings of Fit.*Received: .*epocs"),
        ({"fit": {"epochs": 0}}, "epochs"),
        ({"network": {"architecture": "vgg"}}, "architecture"),
        ({"techniques": {"distilation": {}}}, "Received: distilation"),
    ],
)
def test_a_wrong_setting_is_refused(tmp_path, changes, message):
    bench = benches.parse("small", content(taught=changes))
    for check in (lambda: bench.check("taught"), lambda: bench.config("taught", 0, tmp_path)):
        train(tmp_path, "float", 0)
        with pytest.raises(ValueError, match=rf"{message}.*\(in small\.taught\)"):
            check()


def test_a_bench_is_read_by_its_name_or_from_a_file(tmp_path):
    (tmp_path / "other.toml").write_text(
        'title = "t"\nseeds = 1\nbaseline = "a"\n[arms.a]\nlabel = "b"\n'
    )
    assert benches.load(str(tmp_path / "other.toml")).name == "other"
    for name in ("no_such", str(tmp_path / "no_such.toml")):
        with pytest.raises(ValueError, match="or a bench of cifar_resnet20, "):
            benches.load(name)


def test_settings_of_a_row_are_compared_with_those_of_the_arm(bench, tmp_path):
    train(tmp_path, "float", 0)
    train(tmp_path, "taught", 0)
    for arm in bench.arms:
        settings = bench_table.settings_json(bench.config(arm, 0, tmp_path, tmp_path))
        assert bench.changes_since(arm, 0, settings) == {}
        # A setting that did not exist then had its default.
        older = json.loads(settings)
        del older["network"]["kernel_scale"]
        assert bench.changes_since(arm, 0, json.dumps(older)) == {}
    older["network"]["kernel_scale"] = 2.0
    assert bench.changes_since(arm, 0, json.dumps(older)) == {"network.kernel_scale": (2.0, 1.0)}
    plain = bench_table.settings_json(bench.config("plain", 0, tmp_path))
    assert bench.changes_since("longer", 0, plain) == {"fit.epochs": (4, 8)}
    assert bench.changes_since("plain", 1, plain).keys() == {"fit.seed", "data.split_seed"}
    assert bench.changes_since("taught", 0, plain).keys() >= {"techniques.distillation.temperature"}


@pytest.mark.parametrize("name", benches.names())
def test_every_arm_of_every_bench_gives_settings(name, tmp_path):
    bench = benches.load(name)
    assert bench.baseline in bench.time_curve or not bench.time_curve
    assert len({arm.label for arm in bench.arms.values()}) == len(bench.arms)
    for arm in bench.arms.values():
        for other in arm.needs:
            with pytest.raises(ValueError, match="Expected the network of "):
                bench.config(arm.name, 0, tmp_path)
            folder = benches.run_folder(tmp_path, name, other, 0)
            folder.mkdir(parents=True)
            (folder / "model.keras").write_bytes(b"a network")
        assert isinstance(bench.config(arm.name, 0, tmp_path), RunConfig)
        for other in arm.needs:
            (benches.run_folder(tmp_path, name, other, 0) / "model.keras").unlink()
            benches.run_folder(tmp_path, name, other, 0).rmdir()


def test_every_row_has_the_settings_of_its_arm():
    """What is in results/bench.csv was measured with the benches as they are."""
    from research.bench_results import check_settings

    rows = bench_table.read()
    for name in benches.names():
        check_settings(benches.load(name), rows)
    assert {row.bench for row in rows} <= set(benches.names())


def test_an_arm_can_have_the_settings_of_a_recipe(tmp_path):
    recipe = load_recipe("distilled")
    arms = {
        "recipe": {"label": "a recipe", "recipe": "distilled", "fit": {"epochs": 2}},
        "first": {"label": "its first training", "recipe": "distilled/teacher"},
    }
    found = benches.parse("small", content(**arms)).arms
    result, first = recipe.stages[-1].settings, recipe.stages[0].settings
    assert found["recipe"].settings["network"] == CONTENT["network"] | result["network"]
    assert found["recipe"].settings["fit"] == CONTENT["fit"] | result["fit"] | {"epochs": 2}
    assert found["recipe"].settings["techniques"] == result["techniques"]
    assert found["first"].settings["fit"] == CONTENT["fit"] | first["fit"]
    assert found["recipe"].recipe == "distilled"
    for name, message in {"no_such": "one of accurate", "distilled/x": "Received: x"}.items():
        with pytest.raises(ValueError, match=message):
            benches.parse("small", content(recipe={"label": "a", "recipe": name}))


@pytest.mark.parametrize("name", recipe_names())
def test_what_a_recipe_says_was_measured_is_in_the_table(name):
    rows = bench_table.read()
    for measured in load_recipe(name).measured:
        arm = benches.load(measured["bench"]).arms[measured["arm"]]
        own = [row for row in rows if (row.bench, row.arm) == (measured["bench"], arm.name)]
        assert arm.recipe == name
        assert len(own) == measured["runs"]
        mean = 100 * sum(row.device_accuracy for row in own) / len(own)
        assert measured["accuracy"] == round(mean, 2)
        assert {row.file_bytes for row in own} == {measured["file_bytes"]}
