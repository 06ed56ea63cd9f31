"""The seam to the network: `send` for one question, `open_stream` for a dialogue, over gRPC, HTTP or a fake."""
