"""OpenAI's protocol for audio: a load test drives the kit's gateway, or another service that speaks the protocol."""
