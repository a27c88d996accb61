#!/usr/bin/env bash
# Train on LibriTTS and score clones of new speakers: bash recipes/libritts/run.sh [--help]
# train-clean-360 trains the base and the vocoder, train-clean-100 the prior, and clones of test-clean are scored.
set -euo pipefail
recipe=$(dirname "${BASH_SOURCE[0]}")
reader=libritts
corpus=corpora/libritts
output=runs/libritts
page=https://www.openslr.org/60
split_options=() # the published subsets are the splits
source "$recipe/../stages.bash"
main "$@"
