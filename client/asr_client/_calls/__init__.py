"""What a client does, written once as steps: questions, retries, long recordings, live streams, many at once."""
