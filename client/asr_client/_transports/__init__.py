"""The seam to the network: `send` for one question, `open_stream` for a dialogue; gRPC, HTTP or a fake behind them."""
