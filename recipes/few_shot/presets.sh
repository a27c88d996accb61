#!/usr/bin/env bash
# Learners that meta-learn where voices begin, and their voices: bash recipes/few_shot/presets.sh
# First: the manifests that benchmark.yaml and ../librispeech_mini/meta_train.yaml name.
set -euo pipefail
cd "$(dirname "$0")/../.."
# Each of: the learner, and what of its settings differs from preset.yaml.
train() {
    local settings=("${@:2}")
    tts-meta meta-train recipes/few_shot/preset.yaml --set learner="$1" --set output="runs/few_shot_presets/$1" \
        "${settings[@]/#/--set=settings.}"
}
# Its gradient is how far voices went, so plain steps, of a part of that.
train reptile outer_solver=sgd outer_rate=0.3
train fomaml
# Gradients through the loop keep every step of it in memory (9 GB): few steps.
train maml inner_steps=3
train anil
train cavia inner_rate=0.03 inner_steps=5
# As in meta_train.yaml, but one variance for all.
train imaml inner_rate=1.0e-3 inner_final_rate=0.0 inner_steps=60 variance=1.0e-4 \
    linear_steps=3 tolerance=0.05 hessian=difference
tts-meta benchmark recipes/few_shot/presets.yaml
