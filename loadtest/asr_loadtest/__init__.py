"""Load tests of a speech recognition service: how many requests or live streams it carries, and at which latency.

A module imports only what stands below it here:

    command, tuning/           `triton-asr loadtest` and `triton-asr tune`; arguments, progress
    loadtest                   the whole load test, and its schedule; capacity: the search for the highest rate
    requests/  streams/        the two kinds of load: generator, runner of steps, assessment
    report/                    what people and programs read; locust/ is beside these: users for Locust
    steps/                     what steps of both kinds have in common
    server_view/               the server while it is under load
    transcripts, recordings, mix
    results, errors
"""
