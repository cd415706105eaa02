# Build for CPU:  docker build -t tf_spot .
# Build for GPU:  docker build -t tf_spot:gpu --build-arg EXTRAS=gpu,onnx,serving .   (then run with --gpus all)
# Run:            docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/work" tf_spot train --data photos --out run
# See docs/docker.md.
FROM python:3.11-slim

# Extras of setup.cfg; see `tf-spot doctor` for what each adds.
ARG EXTRAS=onnx,litert,serving,embed
WORKDIR /src
COPY setup.cfg setup.py constraints.txt README.md LICENSE ./
COPY tf_spot tf_spot
# The pinned versions that the tests run with. The sources are not needed afterwards.
RUN pip install --no-cache-dir -c constraints.txt ".[${EXTRAS}]" && rm -rf /src
# Not root. Any other user may be given with --user, one without an entry in /etc/passwd too: the home, where Keras and
# matplotlib keep their settings, is open to all of them.
RUN useradd --home-dir /home/spot --create-home spot && chmod 1777 /home/spot
ENV HOME=/home/spot
USER spot
WORKDIR /work
EXPOSE 8500 8501
ENTRYPOINT ["tf-spot"]
