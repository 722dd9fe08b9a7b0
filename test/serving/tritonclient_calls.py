"""Drives a gateway with Triton's own client, and prints what came back as one JSON document.

usage: tritonclient_calls.py <host:port> <model> <version>

Nothing is judged here: the test does that. A call that fails is recorded with its status and message.
"""

import json
import sys
import urllib.request

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

URL, MODEL, VERSION = sys.argv[1:4]
ROWS = np.array([[1, 2, 3], [-4, 0.5, 0]], dtype=np.float32)


def matrix(rows, datatype="FP32", binary=True):
    tensor = triton.InferInput("features", list(rows.shape), datatype)
    return tensor.set_data_from_numpy(rows, binary_data=binary)


def outputs_of(result):
    response = result.get_response()
    described = [
        {
            "name": output["name"],
            "datatype": output["datatype"],
            "shape": output["shape"],
            "binary": "binary_data_size" in output.get("parameters", {}),
            "dtype": str(result.as_numpy(output["name"]).dtype),
            "data": result.as_numpy(output["name"]).tolist(),
        }
        for output in response["outputs"]
    ]
    return {"id": response.get("id"), "version": response["model_version"], "outputs": described}


def main():
    client = triton.InferenceServerClient(URL)
    seen = {}

    def record(name, call):
        try:
            seen[name] = {"ok": call()}
        except InferenceServerException as error:
            seen[name] = {"status": error.status(), "message": error.message()}

    def infer(name, inputs, **options):
        model = options.pop("model", MODEL)
        record(name, lambda: outputs_of(client.infer(model, inputs, **options)))

    record("live", client.is_server_live)
    record("ready", client.is_server_ready)
    record("model ready", lambda: client.is_model_ready(MODEL))
    record("version ready", lambda: client.is_model_ready(MODEL, VERSION))
    record("unknown model ready", lambda: client.is_model_ready("nobody"))
    record("server metadata", client.get_server_metadata)
    record("model metadata", lambda: client.get_model_metadata(MODEL))
    record("unknown metadata", lambda: client.get_model_metadata("nobody"))

    score = "score"
    label = "label"
    wanted = triton.InferRequestedOutput
    infer("defaults", [matrix(ROWS)])
    infer("JSON in", [matrix(ROWS, binary=False)])
    infer("JSON out", [matrix(ROWS)], outputs=[wanted(n, binary_data=False) for n in (label, score)])
    infer(
        "JSON both ways",
        [matrix(ROWS, binary=False)],
        outputs=[wanted(score, binary_data=False), wanted(label, binary_data=False)],
        request_id="r-1",
    )
    infer("mixed out", [matrix(ROWS)], outputs=[wanted(score), wanted(label, binary_data=False)])
    infer("FP64", [matrix(ROWS.astype(np.float64), "FP64")])
    infer("gzip", [matrix(ROWS)], request_compression_algorithm="gzip", response_compression_algorithm="gzip")
    infer("deflate", [matrix(ROWS)], request_compression_algorithm="deflate")
    infer("named version", [matrix(ROWS)], model_version=VERSION)
    infer("priority, timeout and parameters", [matrix(ROWS)], priority=1, timeout=5_000_000, parameters={"unit": "ann"})
    columns = []
    for index, name in enumerate(["alpha", "beta", "gamma"]):
        column = triton.InferInput(name, [2, 1], "FP64")
        columns.append(column.set_data_from_numpy(ROWS[:, index : index + 1].astype(np.float64)))
    infer("a tensor for each feature", columns)

    def raw_binary():
        headers = {"Inference-Header-Content-Length": "0", "Content-Type": "application/octet-stream"}
        url = f"http://{URL}/v2/models/{MODEL}/infer"
        request = urllib.request.Request(url, data=ROWS.tobytes(), headers=headers)
        with urllib.request.urlopen(request, timeout=10) as response:
            length = int(response.headers["Inference-Header-Content-Length"])
            return outputs_of(triton.InferenceServerClient.parse_response_body(response.read(), header_length=length))

    record("raw binary", raw_binary)

    infer("unknown model", [matrix(ROWS)], model="nobody")
    infer("unknown version", [matrix(ROWS)], model_version="0" * 64)
    infer("wrong shape", [matrix(ROWS[:, :2])])
    infer("unknown output", [matrix(ROWS)], outputs=[wanted("logits")])
    infer("classification", [matrix(ROWS)], outputs=[wanted(score, class_count=2)])
    infer("NaN", [matrix(np.full((1, 3), np.nan, dtype=np.float32))])
    infer("sequence", [matrix(ROWS)], sequence_id=7, sequence_start=True)

    record("index", client.get_model_repository_index)
    record("load", lambda: client.load_model(MODEL))
    record("load with a config", lambda: client.load_model(MODEL, config="{}"))
    record("unload", lambda: client.unload_model(MODEL))
    record("statistics of all", client.get_inference_statistics)
    record("statistics", lambda: client.get_inference_statistics(MODEL))
    record("statistics of a version", lambda: client.get_inference_statistics(MODEL, VERSION))
    record("statistics of nobody", lambda: client.get_inference_statistics("nobody"))
    client.close()
    json.dump(seen, sys.stdout)


main()
