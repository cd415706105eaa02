# CPU:  docker build -t tf_spot .
# GPU:  docker build -t tf_spot:gpu --build-arg EXTRAS=gpu,onnx,serving .   (run with --gpus all)
# Run:  docker run --rm -v "$PWD:/data" tf_spot train --data folder:/data/photos --preset small --out /data/run
FROM python:3.11-slim

ARG EXTRAS=onnx,litert,serving,embed
WORKDIR /src
COPY setup.cfg setup.py constraints.txt README.md LICENSE ./
COPY tf_spot tf_spot
RUN pip install --no-cache-dir -c constraints.txt ".[${EXTRAS}]" && rm -rf /src
RUN useradd --create-home spot
USER spot
WORKDIR /data
ENTRYPOINT ["tf-spot"]
