# A client node: the harness itself, on the image that holds what it needs. A file of its
# own, so that a change of the harness builds one layer and fetches nothing.
ARG PYTHON_IMAGE
FROM ${PYTHON_IMAGE}
COPY harness /opt/harness/src/harness
ENV PYTHONPATH=/opt/harness/src PATH=/opt/harness/bin:/usr/local/bin:/usr/bin:/bin
RUN python3 -m compileall -q /opt/harness/src
