"""The names of the metrics, by task: plain data, so that a wrong name is found before anything heavy is imported."""

HIGHER_IS_BETTER = {
    "r2": True, "mae": False, "rmse": False,
    "roc_auc": True, "average_precision": True, "log_loss": False, "brier": False,
    "accuracy": True, "f1": True, "precision": True, "recall": True,
    "f1_macro": True, "roc_auc_ovr": True,
}  # fmt: skip

METRICS = {
    "regression": ("r2", "mae", "rmse"),
    "binary": ("roc_auc", "average_precision", "log_loss", "brier", "accuracy", "f1", "precision", "recall"),
    "multiclass": ("log_loss", "roc_auc_ovr", "accuracy", "f1_macro"),
}
"""What is measured for each task; the first is what a search and the gate go by unless params.yaml names another."""
