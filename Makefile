# Each target works on a bare clone: the first one builds .venv from constraints.txt, the next ones reuse it.
#   make demo         the whole story on real photos, about five minutes
#   make test         the fast tests
#   make test-slow    the tests marked slow
#   make test-gpu     the tests about a GPU, where there is one
#   make check        lint, format, types and the documentation site (build/site)
#   make bench        speed as ratios taken in one run, written to results/benchmarks
#   make constraints  write constraints.txt anew from the newest releases setup.cfg allows
# Another Python: make PYTHON=/path/to/python3.11 test

PYTHON ?= python3
EXTRAS := dev,docs,embed,hf,litert,notebooks,onnx,search,serving,tune,voc,wandb
READY := .venv/ready

.PHONY: demo test test-slow test-gpu check bench constraints clean python

demo: $(READY)
	.venv/bin/tf-spot demo

test: $(READY)
	.venv/bin/python -m pytest -m "not slow"

test-slow: $(READY)
	.venv/bin/python -m pytest -m slow

test-gpu: $(READY)
	TF_SPOT_TEST_GPU=1 .venv/bin/python -m pytest -m gpu

check: $(READY)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict --quiet

bench: $(READY)
	.venv/bin/python benchmarks/run.py $(BENCH)

# Everything is built with the pinned setuptools (no build isolation), so nothing unpinned takes part.
# Its long warning, that folders beside an editable installation take precedence, is what we want: hence PYTHONWARNINGS.
$(READY): setup.cfg setup.py constraints.txt | python
	@echo "Setting up .venv: two minutes or so, once."
	@$(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt pip setuptools wheel
	@PYTHONWARNINGS=ignore .venv/bin/python -m pip install --quiet --no-build-isolation -c constraints.txt -e ".[$(EXTRAS)]"
	@touch $@

constraints: | python
	rm -rf build/constraints
	$(PYTHON) -m venv build/constraints
	build/constraints/bin/python -m pip install --quiet --upgrade pip setuptools wheel
	build/constraints/bin/python -m pip install --quiet --no-build-isolation -e ".[$(EXTRAS)]"
	{ grep '^#' constraints.txt; build/constraints/bin/python -m pip freeze --all --exclude-editable; } > build/constraints.txt
	mv build/constraints.txt constraints.txt

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache

python:
	@command -v "$(PYTHON)" > /dev/null || \
	  { echo "Python not found. Needed: 3.11, 3.12 or 3.13. Received: PYTHON=$(PYTHON). Say where it is: make PYTHON=/path/to/python3.11"; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "Wrong Python. Needed: 3.11, 3.12 or 3.13. Received: $$("$(PYTHON)" --version). Choose one: make PYTHON=/path/to/python3.11"; exit 1; }
	@"$(PYTHON)" -c 'import venv, ensurepip' 2> /dev/null || \
	  { echo "This Python cannot make virtual environments: venv or ensurepip is missing. Received: PYTHON=$(PYTHON). On Debian: apt install python3-venv"; exit 1; }
