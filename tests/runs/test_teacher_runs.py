"""Training runs with a teacher: `kbnn train --method distillation`."""

import json
import shutil

import pytest
import tf_keras as keras

from kbnn import data
from kbnn.losses import TeacherContrast
from kbnn.runs import Data, Fit, InputError, Network, RunConfig
from kbnn.runs.folder import RunFolder
from kbnn.runs.resume import check_teachers
from kbnn.runs.run_model import load_data
from kbnn.techniques import Distillation, FeatureContrast, ReleasedCode, SameBatch

METHOD = ("--method", "distillation")


def taught(finished, images, data=None, network=None, **settings):
    """The settings of a run that the finished one can teach."""
    return RunConfig(
        Data(**{"dataset": "folder", "directory": str(images), **(data or {})}),
        Network(**(network or {})),
        Fit(seed=3),
        (Distillation(finished[0], **settings),),
    )


@pytest.mark.slow
def test_a_run_learns_from_a_teacher(run_kbnn, settings, finished, move_first_run, tmp_path):
    first, _ = finished
    own = ("--seed", "5", "--set", "feature_weight=0.5", "--set", "temperature=2")
    own += ("--input-quantizer", "approx_sign")
    command = ("train", *settings(epochs=2), *METHOD, "--set", f"teacher={first}", *own)
    process = run_kbnn(*command, "--run", tmp_path / "run")
    assert process.returncode == 0, process.stderr
    folder = RunFolder(tmp_path / "run")
    config = folder.config()
    (technique,) = config.techniques
    assert technique == Distillation(first, feature_weight=0.5, temperature=2)
    assert (technique.teacher.directory, technique.distillation_weight) == (str(first), 1.0)
    # The images that the teacher has not seen, in spite of another seed.
    assert (config.fit.seed, config.split_seed, RunFolder(first).config().split_seed) == (5, 3, 3)
    log = folder.log()
    names = {"distillation", "feature_alignment", "real_accuracy", "val_real_accuracy"}
    assert names <= set(log[0])
    # The teacher stays as it is, and knows what it knew.
    assert log[0]["val_real_loss"] == log[1]["val_real_loss"]
    teacher = keras.models.load_model(first / "model.keras", compile=False)
    config.fit.compile(teacher, steps=1)
    known = teacher.evaluate(load_data(config).validation, verbose=0, return_dict=True)
    assert log[0]["val_real_loss"] == pytest.approx(known["loss"], rel=1e-5)
    assert log[0]["val_real_accuracy"] == pytest.approx(known["accuracy"])
    assert known["accuracy"] == RunFolder(first).result()["validation_accuracy"]
    assert run_kbnn("convert", folder.path).returncode == 0
    of_teacher, of_run = (
        keras.models.load_model(path / "model.keras", compile=False).count_params()
        for path in (first, folder.path)
    )
    assert of_teacher == of_run
    move_first_run(folder, ("techniques", "distillation", "teacher"), first, tmp_path / "moved")


def test_the_terms_of_a_teacher(finished):
    (term,) = Distillation(finished[0]).terms(100)
    assert (term.name, term.weight, term.temperature) == ("distillation", 1.0, 1.0)
    settings = {"feature_weight": 2.0, "teacher_contrast": FeatureContrast(0.2, 0.4, 9, False)}
    terms = Distillation(finished[0], distillation_weight=0.3, **settings).terms(100)
    assert [(term.name, term.weight) for term in terms] == [
        ("distillation", 0.3),
        ("feature_alignment", 2.0),
        ("teacher_contrast", 0.2),
    ]
    (contrast,) = terms[-1].trainable_layers
    assert contrast.negatives == SameBatch()
    assert (contrast.temperature, contrast.embedding, contrast.train_heads) == (0.4, 9, False)


def test_the_released_codes_setting_is_one_setting(finished, images):
    technique = Distillation(finished[0], teacher_contrast=ReleasedCode())
    assert technique.with_index
    assert not Distillation(finished[0], teacher_contrast=FeatureContrast()).with_index
    # Its loss has no distillation of class outputs.
    distillation, _ = technique.for_data(data.describe("fashion_mnist")).terms(100)
    assert distillation.weight == technique.distillation_weight == 0
    both = Distillation(finished[0], distillation_weight=0.5, teacher_contrast=ReleasedCode())
    assert both.distillation_weight == 0.5
    filled = technique.for_data(data.describe("fashion_mnist"))
    info = data.describe("fashion_mnist")
    assert filled.teacher_contrast == ReleasedCode(info.train_size, 10)
    own = TeacherContrast.released_code(info.train_size, 10)
    term = filled.terms(100)[-1]
    assert term.weight == own.weight == 3.2
    options = [each.trainable_layers[0].options() for each in (term, own)]
    assert options[0] == options[1]
    assert options[0]["negatives"]["count"] == 4551
    with pytest.raises(ValueError, match=r"Expected `rows` and `classes`.*ReleasedCode\(rows="):
        technique.terms(100)
    config = taught(finished, images, teacher_contrast=ReleasedCode())
    assert RunConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "epochs"), [(["--set", "per_anchor=true"], 2), (["--set", "feature_weight=1"], 1)]
)
def test_a_run_with_the_released_codes_setting(
    run_kbnn, settings, finished, tmp_path, options, epochs
):
    command = ("train", *settings(epochs=epochs), *METHOD, "--set", f"teacher={finished[0]}")
    command += ("--set", "teacher_contrast=released_code", *options)
    process = run_kbnn(*command, "--run", tmp_path / "run")
    assert process.returncode == 0, process.stderr
    log = RunFolder(tmp_path / "run").log()
    assert all(row["teacher_contrast"] > 0 and row["distillation"] == 0 for row in log)
    assert run_kbnn("convert", tmp_path / "run").returncode == 0


@pytest.mark.slow
def test_a_run_learns_from_the_teacher_only(run_kbnn, settings, finished, tmp_path):
    folder = RunFolder(tmp_path / "run")
    options = ("--set", f"teacher={finished[0]}", "--set", "label_weight=0")
    process = run_kbnn("train", *settings(epochs=2), *METHOD, *options, "--run", folder.path)
    assert process.returncode == 0, process.stderr
    (technique,) = folder.config().techniques
    assert technique == Distillation(finished[0], label_weight=0)
    for row in folder.log():
        assert row["loss"] == pytest.approx(row["distillation"], rel=1e-5)
    # Of the labels, though training does not use them.
    assert folder.log()[-1]["val_loss"] > folder.log()[-1]["val_distillation"]
    result = folder.result()
    assert result["test_loss"] > 0


def test_weights_depend_on_the_teacher_and_not_on_its_place(finished, images):
    config = taught(finished, images)
    content = config.to_dict()
    teacher = content["techniques"]["distillation"]["teacher"]
    teacher["directory"] = "/elsewhere"
    assert RunConfig.from_dict(content).digest() == config.digest()
    teacher["sha256"] = "0" * 64
    assert RunConfig.from_dict(content).digest() != config.digest()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--method", "latent-weights"], "--method distillation and --method latent-weights"),
        (["--set", "real_weight=1"], "real_weight with --method latent-weights --set way=twin"),
        (
            ["--set", "distillation_weight=0"],
            "--set distillation_weight, --set feature_weight above 0, or --set teacher_contrast.",
        ),
        (["--set", "label_weight=-1"], "--set label_weight to be a number of at least 0"),
        (["--set", "temperature=0"], "--set temperature to be a number above 0"),
        (["--set", "distillation_weight=-1"], "--set distillation_weight to be a number of at"),
    ],
)
def test_bad_options_beside_a_teacher(options, message, finished, settings, train, tmp_path):
    teacher = (*METHOD, "--set", f"teacher={finished[0]}")
    result = train(*settings(epochs=1), *teacher, *options, "--run", tmp_path / "run")
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert not (tmp_path / "run").exists()


def test_a_teacher_is_the_folder_of_a_finished_run(settings, finished, train, tmp_path):
    command = (*settings(epochs=1), *METHOD, "--run", tmp_path / "run")
    result = train(*command)
    assert result.exit_code == 2
    assert "Expected --set teacher (folder of the finished run)" in result.stderr
    shutil.copytree(finished[0], tmp_path / "teacher")
    (tmp_path / "teacher" / "model.keras").unlink()
    for folder in ("/nowhere", tmp_path / "teacher"):
        result = train(*command, "--set", f"teacher={folder}")
        assert result.exit_code == 2
        assert "Expected the folder of a finished run, with model.keras" in result.stderr


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"data": {"dataset": "fashion_mnist_sample", "directory": None}}, "dataset`, fashion_"),
        ({"data": {"directory": "/elsewhere"}}, "trained on the data in /elsewhere"),
        ({"data": {"image_size": (16, 16)}}, r"data.image_size`, \(16, 16\)"),
        ({"data": {"validation": 0.2}}, r"`data.validation`, 0\.2"),
        ({"data": {"split_seed": 4}}, "the split's seed 4. Received: 3"),
        (
            {"network": {"preprocessing": "pipeline"}},
            "network.preprocessing`, pipeline. Received: inside",
        ),
    ],
)
def test_a_teacher_of_other_images_is_refused(changed, message, finished, images):
    check_teachers(taught(finished, images))
    with pytest.raises(InputError, match=message):
        check_teachers(taught(finished, images, **changed))
    # Another seed with the same split is another training on the same images.
    config = taught(finished, images, data={"split_seed": 3})
    check_teachers(RunConfig(config.data, fit=Fit(seed=4), techniques=config.techniques))


def test_a_teacher_that_does_not_fit_leaves_no_folder(run_kbnn, settings, finished, tmp_path):
    command = ("train", *settings(epochs=1), *METHOD, "--set", f"teacher={finished[0]}")
    command += ("--run", tmp_path / "run")
    process = run_kbnn(*command, "--validation", "0.2")
    assert process.returncode == 2
    assert "a teacher with this run's --validation" in " ".join(process.stderr.split())
    process = run_kbnn(*command, "--set", "feature_weight=1", "--width", "12")
    assert process.returncode == 2
    assert "features of the same shape" in " ".join(process.stderr.split())
    assert "Traceback" not in process.stderr
    assert not (tmp_path / "run").exists()


def test_config_json_says_which_network_taught(finished, images):
    content = json.loads(json.dumps(taught(finished, images).to_dict()))
    assert RunConfig.from_dict(content) == taught(finished, images)
    assert len(content["techniques"]["distillation"]["teacher"]["sha256"]) == 64
