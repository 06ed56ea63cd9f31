"""What the gateway costs: callers by gRPC and by way of the gateway, in turns."""
