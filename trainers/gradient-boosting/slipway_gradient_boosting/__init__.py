"""Slipway's reference trainer: gradient-boosted trees to ONNX.

Obeys ``docs/reference/trainer-contract.md``. Promises beyond it: the same job gives the same bytes of
``model.onnx`` on one machine, and a job that was killed and started again gives the bytes that the
undisturbed job gives.
"""
