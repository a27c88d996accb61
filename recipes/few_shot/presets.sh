#!/usr/bin/env bash
# Meta-train the base with several learners, and score their voices. Command: bash recipes/few_shot/presets.sh
# First prepare the manifests that benchmark.yaml and ../librispeech_mini/meta_train.yaml name.
set -euo pipefail
cd "$(dirname "$0")/../.."
# Arguments: folder, learner, settings that differ from preset.yaml.
train() {
    local changes=("${@:3}")
    tts-meta meta-train recipes/few_shot/preset.yaml --set output="runs/few_shot_presets/$1" --set learner="$2" \
        "${changes[@]/#/--set=}"
}
# The gradient of Reptile is the distance that the voices moved. Plain SGD steps take a fraction of this distance.
reptile=(trainer.outer_solver=sgd trainer.outer_lr=0.3)
train reptile reptile "${reptile[@]}"
train long_reptile reptile "${reptile[@]}" meta_steps=100
train fomaml fomaml
# Gradients through the inner loop keep every step in memory (9 GB), so there are few steps.
train maml maml settings.inner_steps=3
train anil anil
train cavia cavia settings.inner_lr=0.03 settings.inner_steps=5
# These settings are the same as in meta_train.yaml, but with one variance for all modules.
train imaml imaml settings.inner_lr=1.0e-3 settings.inner_lr_final_fraction=0.0 settings.inner_steps=60 \
    settings.variance=1.0e-4 settings.cg_max_iters=3 settings.tolerance=0.05 settings.hessian=difference
tts-meta benchmark recipes/few_shot/presets.yaml
