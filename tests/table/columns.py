"""The columns of the table. Each is a function that raises an error if the row fails."""

from tests.table import callback_columns as callbacks
from tests.table import file_columns as files
from tests.table import formula_columns as formulas
from tests.table import training_columns as training
from tests.table.rows import CallbackRow, LayerRow, QuantizerRow

FOR_MODELS = {
    "forward": formulas.check_forward,
    "config": files.check_config,
    "keras_file": files.check_keras_file,
    "h5_file": files.check_h5_file,
    "saved_model": files.check_saved_model,
    "weights_file": files.check_weights_file,
    "clone_model": files.check_clone_model,
    "fit": training.check_fit,
    "mixed_float16": training.check_mixed_float16,
    "mixed_bfloat16": training.check_mixed_bfloat16,
    "jit_compile": training.check_jit_compile,
    "mirrored": training.check_mirrored,
    "determinism": training.check_determinism,
    "bop": training.check_bop,
    "freeze": files.check_freeze,
    "convert": files.check_convert,
}

COLUMNS = {
    QuantizerRow: {
        **FOR_MODELS,
        "gradient": formulas.check_pseudo_gradient,
        "larq_layer": formulas.check_larq_layer,
        "alias": files.check_alias,
    },
    LayerRow: {**FOR_MODELS, "gradient": formulas.check_gradient},
    CallbackRow: {
        "fit": callbacks.check_fit,
        "resume": callbacks.check_resume,
        "mirrored": callbacks.check_mirrored,
    },
}
