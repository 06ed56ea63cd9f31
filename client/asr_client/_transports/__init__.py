"""The seam to the network: one method, `send`, behind which gRPC, HTTP or a fake may be."""
