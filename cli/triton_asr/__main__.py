"""The command `triton-asr`, as `python -m triton_asr`."""

from triton_asr.main import main

if __name__ == "__main__":
    main()
