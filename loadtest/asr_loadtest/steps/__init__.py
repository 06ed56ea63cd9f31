"""What a step of requests and a step of live streams have in common."""
