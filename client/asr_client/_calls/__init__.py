"""The calls of a client, as steps that both clients share: requests, retries, long recordings, streams, batches."""
