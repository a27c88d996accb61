#!/usr/bin/env bash
# What pays in the acoustic model, each line at about the same training time: bash recipes/librispeech_mini/ablate.sh
# Lines that need code which did not pay, and so is not kept: with ablation.patch applied to the commit it names.
set -euo pipefail
cd "$(dirname "$0")/../.."
runs=runs/librispeech_mini/ablation
# Each of: a name, the steps that fit into the time, and what differs from ablation.yaml.
try() {
    mkdir -p "$runs/$1"
    if [ -e "$runs/as_it_is/aligner.safetensors" ]; then cp -n "$runs/as_it_is/aligner.safetensors" "$runs/$1/"; fi
    tts-meta pretrain recipes/librispeech_mini/ablation.yaml --set output="$runs/$1" --set acoustic.steps="$2" "${@:3}"
    score "$1" --set base="$runs/$1/base"
}
# Each of: a name, and what differs from voices.yaml.
score() {
    tts-meta benchmark recipes/librispeech_mini/voices.yaml --set score_on=2 --set cache="$runs/scores" \
        --set output="$runs/$1/voices" "${@:2}"
}
try as_it_is 500
score as_it_is_unsharpened --set base="$runs/as_it_is/base" --set sharpness=0
try reduction_2 420 --set base.acoustic.decoder.reduction=2
score shipped
score shipped_unsharpened --set sharpness=0
score shipped_variation --set variation=0.25
if grep -q EXP_ tts_meta/models/layers.py; then
    EXP_PAR=1 try parallel 560
    EXP_PAR=1 EXP_BI=1 try parallel_both_ways 560
    EXP_SSIM=1 try ssim 480
    python -m recipes.librispeech_mini.pitch "$runs/as_it_is"
    EXP_PE=1 try pitch_energy 480
fi
