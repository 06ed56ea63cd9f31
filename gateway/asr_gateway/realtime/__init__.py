"""OpenAI's Realtime API for transcription: audio comes over a WebSocket, and its text goes back while somebody speaks.

`machine` knows the protocol and does nothing but think: messages and results in, events and work out. `listening` lets
a server do the work, and `endpoint` is the WebSocket.
"""
