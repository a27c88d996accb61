#!/usr/bin/env bash
# Train on VCTK and score clones of new speakers: bash recipes/vctk/run.sh [--help]
# The speakers of train train the base and the vocoder. Those of meta train the prior, and those of test are scored.
set -euo pipefail
recipe=$(dirname "${BASH_SOURCE[0]}")
reader=vctk
corpus=corpora/vctk
output=runs/vctk
page=https://datashare.ed.ac.uk/handle/10283/3443
split_options=(--dev 0.08 --test 0.08 --meta 0.2)
source "$recipe/../stages.bash"
main "$@"
