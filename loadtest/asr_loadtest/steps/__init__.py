"""The parts that steps of requests and steps of live streams share."""
