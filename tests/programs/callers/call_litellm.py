"""LiteLLM: its SDK, in the formats that it passes on.

python call_litellm.py URL WAV: prints the transcripts of each way as JSON.
"""

import asyncio
import json
import sys
from pathlib import Path

import litellm


async def main(url: str, wav: Path) -> None:
    heard = {}
    for form in ("json", "verbose_json", "text"):
        with wav.open("rb") as file:
            answer = await litellm.atranscription(
                model="openai/asr", file=file, api_base=url, api_key="any", response_format=form
            )
        heard[form] = [answer.text.strip()]
    sys.stdout.write(json.dumps(heard))


asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
