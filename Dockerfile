# Build for CPU:  docker build -t tf_spot .
# Build for GPU:  docker build -t tf_spot:gpu --build-arg EXTRAS=gpu,onnx,serving .   (then run with --gpus all)
# Run:            docker run --rm -v "$PWD:/data" tf_spot train --data folder:/data/photos --preset small --out /data/run
FROM python:3.11-slim

# Extras of setup.cfg; see `tf-spot doctor` for what each adds.
ARG EXTRAS=onnx,litert,serving,embed
WORKDIR /src
COPY setup.cfg setup.py constraints.txt README.md LICENSE ./
COPY tf_spot tf_spot
# The pinned versions that the tests run with. The sources are not needed afterwards.
RUN pip install --no-cache-dir -c constraints.txt ".[${EXTRAS}]" && rm -rf /src
# Not root: /data must be writable by this user.
RUN useradd --create-home spot
USER spot
WORKDIR /data
ENTRYPOINT ["tf-spot"]
