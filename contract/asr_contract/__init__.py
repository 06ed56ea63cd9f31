"""The contract of export, server and clients: tensors, model names, request parameters, error codes, labels file.

`gpu` is what the models have in common that run on one.

Nothing here imports another package of the project. The export copies this package into every repository, and the light
client contains it. So it needs only the standard library and numpy; jiwer for counting word errors, and ONNX Runtime
for sessions.
"""
