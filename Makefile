# Every target does its own set-up in .venv; nothing is repeated when nothing changed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OPTIMUM := .venv-optimum
PROGRAMS := .venv-programs
PEERS := .venv-peers
TENSORRT := .venv-tensorrt
INSTALLED := $(VENV)/.installed
DEMO_REPOSITORY := build/demo
DEMO_EXPORT := $(DEMO_REPOSITORY)/asr/export.json
PYTEST := $(BIN)/python -m pytest
SERVE_OPTIONS ?=
BENCH_OPTIONS ?=
REAL ?= full

.PHONY: help install demo page test test-exhaustive test-real test-programs check lint format serve bench bench-peers bench-speech bench-whisper bench-whisper-hour bench-whisper-live bench-spark bench-gateway faults bench-precision parity parity-optimum check-tensorrt train-demo clean
.DEFAULT_GOAL := help

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(INSTALLED) ## Set up .venv

# torch first and by itself: every later requirement then finds it, and no other build of it is fetched.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 13) else f"Python {v[0]}.{v[1]} found; needs 3.11 or 3.12: make PYTHON=python3.11 …")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing PyTorch and the rest into $(VENV): minutes, the first time" >&2
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch numpy
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps torchaudio
# Its compiled part is for PyTorch with CUDA, and cannot be imported beside one for the CPU. What we use is in Python.
	$(BIN)/python -c 'import torchaudio' 2>/dev/null || rm -f $(VENV)/lib/python3*/site-packages/torchaudio/lib/*.so
	touch $@

$(DEMO_EXPORT): $(INSTALLED) $(wildcard demo/checkpoint/*) demo/language_model.arpa $(shell find contract export model_repository serving -type f -not -name '*.pyc')
	$(BIN)/triton-asr export demo/checkpoint --output $(DEMO_REPOSITORY) --lm demo/language_model.arpa
	@touch $@

demo: $(DEMO_EXPORT) ## Export the demo checkpoint, serve it with a real Triton, transcribe the samples
	$(BIN)/python demo/run.py $(DEMO_REPOSITORY) demo/samples/manifest.tsv

page: $(DEMO_EXPORT) ## Serve the demo with the gateway, and open its page in the browser, until Ctrl-C
	$(BIN)/python demo/page.py $(DEMO_REPOSITORY)

# One process more than there are processors: tests of servers mostly wait.
WORKERS := $(shell n=$$(nproc); echo $$(( n < 4 ? n + 1 : 5 )))

test: $(INSTALLED) ## Run all tests, against a real Triton where they need a server
	$(PYTEST) -m "not exhaustive and not optimum and not real and not tensorrt and not programs" -n $(WORKERS) --dist loadgroup --cov --cov-report=term:skip-covered

test-exhaustive: $(INSTALLED) ## Run what make test leaves out: the dynamo exporter for every kind of checkpoint
	$(PYTEST) -m exhaustive -n $(WORKERS)

# In one process, because figures of its speed are part of what it writes.
test-real: $(INSTALLED) ## Compare real models, which it downloads, with transformers; writes docs/real-models.md (REAL=short: one model)
ifeq ($(REAL),short)
	REAL=short $(PYTEST) -m real tests/real/test_real_tiny.py
else ifeq ($(REAL),full)
	$(PYTEST) -m real tests/real
	$(BIN)/python benchmarks/real_page.py build/real.json
else
	@echo "REAL is $(REAL); needs full or short" >&2; exit 2
endif

# Programs for OpenAI's API, which others have written. Packages alone, because numpy 2 is among what they need.
$(PROGRAMS)/.installed: constraints-programs.txt
	test -x $(PROGRAMS)/bin/python || $(PYTHON) -m venv $(PROGRAMS)
	$(PROGRAMS)/bin/python -m pip install --quiet --disable-pip-version-check -r constraints-programs.txt
	touch $@

test-programs: $(INSTALLED) $(PROGRAMS)/.installed ## Call the gateway by Pipecat, LiveKit, OpenAI's Agents SDK and LiteLLM (1.1 GB, three minutes)
	$(PYTEST) -m programs tests/programs

check: lint ## lint, and the tests that need no server and export nothing: before every commit
	$(PYTEST) -m "not e2e and not optimum and not real and not tensorrt and not programs" --ignore tests/export --ignore tests/demo --ignore tests/cli -n $(WORKERS) --dist worksteal -q

lint: $(INSTALLED) ## ruff, mypy, who imports whom, and rumdl for Markdown
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/rumdl fmt --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy
	@for adapter in model_repository/*/1/model.py; do $(BIN)/mypy --no-error-summary $$adapter || exit 1; done  # all are called model

format: $(INSTALLED) ## Format and fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/rumdl fmt --silent .

serve: $(DEMO_EXPORT) ## Serve the demo repository on 127.0.0.1:8001 (gRPC) and :8000 (HTTP)
	$(BIN)/triton-asr serve $(DEMO_REPOSITORY) $(SERVE_OPTIONS)

bench: bench-peers bench-speech ## Both of the following

bench-peers: $(INSTALLED) $(OPTIMUM)/.installed ## Measure the kit beside its peers, in one run
	$(BIN)/python benchmarks/compare.py --model both

bench-speech: $(DEMO_EXPORT) ## Measure decoders, an hour in one recording, live streams (needs the system package espeak-ng)
	$(BIN)/python benchmarks/decoders.py $(DEMO_REPOSITORY) --sentences 150
	$(BIN)/python benchmarks/long_recording.py $(DEMO_REPOSITORY)
	$(BIN)/python benchmarks/streams.py $(DEMO_REPOSITORY) --streams 1,8,16,24

# Packages alone, because numpy 2 is among what they need.
$(PEERS)/.installed: constraints-peers.txt
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -r constraints-peers.txt
	touch $@

bench-whisper: $(INSTALLED) $(PEERS)/.installed $(OPTIMUM)/.installed ## Measure a real Whisper beside faster-whisper and others; writes docs/benchmarks-whisper.md
	$(BIN)/python benchmarks/compare_whisper.py $(BENCH_OPTIONS)

bench-whisper-hour: $(INSTALLED) ## Measure an hour of human speech in one recording; writes the same page
	$(BIN)/python benchmarks/compare_whisper.py --hour $(BENCH_OPTIONS)

bench-whisper-live: $(INSTALLED) ## Measure live streams of human speech; writes the same page
	$(BIN)/python benchmarks/compare_whisper.py --live $(BENCH_OPTIONS)

bench-spark: $(DEMO_EXPORT) ## Measure a Spark job beside the client (half an hour or more; needs Java 17); writes docs/benchmarks-spark.md
	$(BIN)/python benchmarks/compare_spark.py $(DEMO_REPOSITORY) $(BENCH_OPTIONS)

bench-gateway: $(DEMO_EXPORT) ## Measure what the gateway costs, beside direct gRPC (6 to 25 minutes); writes docs/benchmarks.md
	$(BIN)/python benchmarks/compare_gateway.py $(DEMO_REPOSITORY) $(BENCH_OPTIONS)

faults: $(DEMO_EXPORT) ## Kill, restart and break things under load (a few minutes); `make test` has it in short
	$(BIN)/python benchmarks/faults.py $(DEMO_REPOSITORY)
	$(BIN)/python benchmarks/fuzz_audio.py $(DEMO_REPOSITORY)

bench-precision: $(INSTALLED) ## Measure word error rate and speed of fp16 and int8 against fp32
	$(BIN)/python benchmarks/precision.py demo/checkpoint demo/samples/manifest.tsv

$(OPTIMUM)/.installed: pyproject.toml constraints-optimum.txt
	test -x $(OPTIMUM)/bin/python || $(PYTHON) -m venv $(OPTIMUM)
	$(OPTIMUM)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-optimum.txt torch numpy
	$(OPTIMUM)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-optimum.txt -e '.[optimum]'
	touch $@

parity-optimum: $(INSTALLED) $(OPTIMUM)/.installed ## Compare our graphs with optimum's, which has an environment of its own
	$(BIN)/python tests/optimum/make_checkpoints.py build/optimum/checkpoints
	$(OPTIMUM)/bin/python tests/optimum/make_folders.py build/optimum/checkpoints build/optimum/folders
	$(PYTEST) -m optimum tests/optimum tests/benchmarks

parity: $(INSTALLED) ## Compare every kind of exported graph with PyTorch; writes docs/parity.md
	$(BIN)/python benchmarks/parity.py

# The packages alone: the libraries of the first one are all that is needed of it. 170 MB, under NVIDIA's licence.
$(TENSORRT)/.installed: constraints-tensorrt.txt
	test -x $(TENSORRT)/bin/python || $(PYTHON) -m venv $(TENSORRT)
	$(TENSORRT)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r constraints-tensorrt.txt
	touch $@

check-tensorrt: $(INSTALLED) $(TENSORRT)/.installed ## Build engines of every kind of graph with TensorRT-RTX, which needs no GPU (Linux, x86-64); writes docs/parity.md
	$(PYTEST) -m tensorrt tests/tensorrt
	$(BIN)/python benchmarks/engines/check_engines.py

train-demo: $(INSTALLED) ## Train the demo checkpoint again (needs the system package espeak-ng; an hour or two)
	$(BIN)/python demo/train.py

clean: ## Remove what the targets made
	rm -rf $(VENV) $(OPTIMUM) $(PEERS) $(PROGRAMS) $(TENSORRT) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
