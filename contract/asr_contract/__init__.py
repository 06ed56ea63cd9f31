"""The contract of export, server and clients: tensors, model names, request parameters, error codes, labels file.

Nothing here imports another package of the project. The export copies this package into every repository, and the light
client contains it. So it needs only the standard library and numpy, and jiwer for counting word errors.
"""
