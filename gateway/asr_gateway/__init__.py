"""A gateway that speaks OpenAI's protocol for audio, and lets servers of this kit do the work.

    triton-asr gateway -u 127.0.0.1:8001

It needs the extra `gateway`. `asr_gateway.app.create_app` makes the ASGI app for another server than uvicorn.
"""
