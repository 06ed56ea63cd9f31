"""What export, server and clients agree on: tensors, model names, request parameters, error codes, the labels file.

Nothing here imports another package of the project. It is copied into every exported repository and is part of the
light client: so it needs the standard library and numpy alone, and jiwer where words are counted.
"""
