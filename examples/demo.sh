#!/bin/sh
# The paper's experiment in miniature: fuse four spaces, score the product, embed queries.
set -eu
cd "$(dirname "$0")/.."
set -x
molspace react "ImageBind + Dr(InternVL) | Cr(CLAP_m) & Cr(CLAP_g)"
molspace eval --task esc50
cd examples
molspace infer --sigma 0.5,0.1 --overwrite < queries.jsonl
