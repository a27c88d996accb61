#!/usr/bin/env bash
# Meta-train the shipped base briefly with each of the 14 gradient learners, clone speakers from the saved learners, and
# score the voices. Command: bash recipes/few_shot/learners.sh
# First prepare the manifest that learners.yaml names.
set -euo pipefail
cd "$(dirname "$0")/../.."
# Arguments: learner, settings that differ from learners_meta_train.yaml.
train() {
    local changes=("${@:2}")
    tts-meta meta-train recipes/few_shot/learners_meta_train.yaml --set output="runs/few_shot_learners/$1" \
        --set learner="$1" "${changes[@]/#/--set=}"
}
# Deviations of sigma .03, and Hessian products by differences, for layers without a second derivative.
prior=(settings.variance=9.0e-4)
implicit=(settings.hessian=difference settings.cg_max_iters=3 settings.tolerance=0.05 settings.inner_steps=10)
train sigma-maml "${prior[@]}"
train sigma-imaml "${prior[@]}" "${implicit[@]}"
train sigma-reptile "${prior[@]}" "${implicit[@]}"
train maml
train fomaml settings.inner_steps=10
train anil
train reptile settings.inner_steps=10 trainer.outer_solver=sgd trainer.outer_lr=0.3
train imaml settings.variance=1.0e-4 "${implicit[@]}"
train meta-sgd settings.step_lr=1.0e-5
train alpha-maml settings.step_lr=1.0e-5
train maml++ settings.step_lr=1.0e-5
# The speaker vector alone needs longer steps.
train cavia settings.inner_lr=0.03 settings.inner_steps=5
train finetune-all
train finetune-embedding settings.inner_lr=0.03
tts-meta benchmark recipes/few_shot/learners.yaml
