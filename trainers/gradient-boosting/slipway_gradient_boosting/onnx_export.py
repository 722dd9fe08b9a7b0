"""The transform and the trees as one ONNX graph: `features` [N, K] to `label` [N] and `score` [N].

Built from the booster's own JSON rather than by a converter: it takes a page, and nothing has to be believed
about how thresholds, missing values and the intercept are carried over.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import xgboost
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper

from .transform import Transform

OPSET = 17
ML_OPSET = 3
#: Reads in ONNX Runtime from 1.18 on.
IR_VERSION = 10


@dataclass
class _Graph:
    nodes: list[NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)

    def constant(self, name: str, value: NDArray) -> str:
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def add(self, operator: str, inputs: Sequence[str], output: str, **attributes: object) -> str:
        domain = "ai.onnx.ml" if operator.startswith("Tree") else ""
        self.nodes.append(helper.make_node(operator, inputs, [output], domain=domain, **attributes))
        return output


def export(booster: xgboost.Booster, transform: Transform, declared: int, threshold: float) -> bytes:
    graph = _Graph()
    inputs = _transform_nodes(graph, transform, declared)
    margins = graph.add("TreeEnsembleRegressor", [inputs], "margins", **_tree_attributes(booster))
    # A node of its own: ONNX Runtime ignores post_transform LOGISTIC when there is one target.
    probability = graph.add("Sigmoid", [margins], "probability")
    score = graph.add(
        "Reshape", [probability, graph.constant("rows", np.array([-1], dtype=np.int64))], "score"
    )
    limit = graph.constant("threshold", np.array(threshold, dtype=np.float32))
    above = graph.add("GreaterOrEqual", [score, limit], "above")
    graph.add("Cast", [above], "label", to=TensorProto.INT64)
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "gradient-boosting",
            [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", declared])],
            [
                helper.make_tensor_value_info("label", TensorProto.INT64, ["N"]),
                helper.make_tensor_value_info("score", TensorProto.FLOAT, ["N"]),
            ],
            graph.constants,
        ),
        producer_name="slipway-gradient-boosting",
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)],
        ir_version=IR_VERSION,
    )
    return _checked(model).SerializeToString(deterministic=True)


def _checked(model: ModelProto) -> ModelProto:
    checker.check_model(model)
    return model


def _transform_nodes(graph: _Graph, transform: Transform, declared: int) -> str:
    selected = list(transform.selected)
    current = "features"
    if selected != list(range(declared)):
        indices = graph.constant("selected", np.array(selected, dtype=np.int64))
        current = graph.add("Gather", [current, indices], "picked", axis=1)
    if transform.scales and transform.scale_in_graph:
        mean = graph.constant("mean", transform.mean[selected])
        deviation = graph.constant("deviation", transform.deviation[selected])
        current = graph.add("Div", [graph.add("Sub", [current, mean], "centred"), deviation], "standardized")
    bucket = transform.bucket
    if bucket is not None:
        column = graph.constant("bucket_column", np.array([bucket.feature], dtype=np.int64))
        value = graph.add("Gather", ["features", column], "bucket_value", axis=1)
        units = graph.add(
            "Mul", [value, graph.constant("per_unit", np.array(bucket.per_unit))], "bucket_units"
        )
        number = graph.add(
            "Cast", [graph.add("Floor", [units], "bucket_floor")], "bucket", to=TensorProto.INT64
        )
        means = graph.add(
            "Gather", [graph.constant("bucket_means", bucket.means), number], "bucket_mean", axis=0
        )
        current = graph.add("Concat", [current, means], "tree_inputs", axis=1)
    return current


def _tree_attributes(booster: xgboost.Booster) -> dict[str, object]:
    learner = json.loads(booster.save_raw("json"))["learner"]
    base = json.loads(learner["learner_model_param"]["base_score"])
    if learner["objective"]["name"] != "binary:logistic" or base not in (0.5, [0.5]):
        raise ValueError("the export is for binary:logistic with base_score 0.5")
    nodes: dict[str, list] = {name: [] for name in _NODE_ATTRIBUTES}
    leaves: dict[str, list] = {name: [] for name in ("treeids", "nodeids", "ids", "weights")}
    for tree_id, tree in enumerate(learner["gradient_booster"]["model"]["trees"]):
        _add_tree(nodes, leaves, tree_id, tree)
    return {
        "n_targets": 1,
        "aggregate_function": "SUM",
        "post_transform": "NONE",
        "base_values": [0.0],
        **{f"nodes_{name}": values for name, values in nodes.items()},
        **{f"target_{name}": values for name, values in leaves.items()},
    }


_NODE_ATTRIBUTES = (
    "treeids",
    "nodeids",
    "featureids",
    "modes",
    "values",
    "truenodeids",
    "falsenodeids",
    "missing_value_tracks_true",
)


def _add_tree(nodes: dict[str, list], leaves: dict[str, list], tree_id: int, tree: dict) -> None:
    if int(tree["tree_param"]["num_deleted"]) != 0 or any(tree["split_type"]):
        raise ValueError("the export knows neither pruned nor categorical splits")
    for node_id, left in enumerate(tree["left_children"]):
        leaf = left == -1
        # XGBoost keeps a leaf's value where a split has its threshold; it goes left on `x < threshold`.
        value = tree["split_conditions"][node_id]
        row = (
            tree_id,
            node_id,
            0 if leaf else tree["split_indices"][node_id],
            "LEAF" if leaf else "BRANCH_LT",
            0.0 if leaf else value,
            0 if leaf else left,
            0 if leaf else tree["right_children"][node_id],
            0 if leaf else int(tree["default_left"][node_id]),
        )
        for name, item in zip(_NODE_ATTRIBUTES, row, strict=True):
            nodes[name].append(item)
        if leaf:
            for name, item in (("treeids", tree_id), ("nodeids", node_id), ("ids", 0), ("weights", value)):
                leaves[name].append(item)
