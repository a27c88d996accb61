#!/usr/bin/env bash
# Learners that meta-learn where voices begin, and their voices: bash recipes/few_shot/presets.sh
# First: the manifests that benchmark.yaml and ../librispeech_mini/meta_train.yaml name.
set -euo pipefail
cd "$(dirname "$0")/../.."
# Each of: a folder, the learner, and what else differs from preset.yaml.
train() {
    local changes=("${@:3}")
    tts-meta meta-train recipes/few_shot/preset.yaml --set output="runs/few_shot_presets/$1" --set learner="$2" \
        "${changes[@]/#/--set=}"
}
# Its gradient is how far voices went, so plain steps, of a part of that.
reptile=(settings.outer_solver=sgd settings.outer_lr=0.3)
train reptile reptile "${reptile[@]}"
train long_reptile reptile "${reptile[@]}" meta_steps=100
train fomaml fomaml
# Gradients through the loop keep every step of it in memory (9 GB): few steps.
train maml maml settings.inner_steps=3
train anil anil
train cavia cavia settings.inner_lr=0.03 settings.inner_steps=5
# As in meta_train.yaml, but one variance for all.
train imaml imaml settings.inner_lr=1.0e-3 settings.inner_lr_final_fraction=0.0 settings.inner_steps=60 \
    settings.variance=1.0e-4 settings.cg_max_iters=3 settings.tolerance=0.05 settings.hessian=difference
tts-meta benchmark recipes/few_shot/presets.yaml
