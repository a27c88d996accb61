# Options and stages of `recipes/vctk/run.sh` and `recipes/libritts/run.sh`, which source this file and call `main "$@"`.
#
# Variables of a recipe: `recipe` (its folder), `reader` (layout of the corpus for `tts-meta prepare`), `corpus` and
# `output` (default folders), `page` (where to get the corpus), `split_options` (options of `tts-meta split`).

stages=(prepare split pretrain vocoder meta_train benchmark)
first=1 last=${#stages[@]} nproc=1 nnodes=1 rendezvous='' dry_run=''
settings=()

usage() {
    cat <<HELP
Train a base, its vocoder and its prior on a published corpus, and score clones of new speakers.

usage: bash $0 [options]

  --stage N          first stage to run; default: 1
  --stop-stage N     last stage to run; default: ${#stages[@]}
  --corpus DIR       folder of the unpacked corpus; default: $corpus
  --output DIR       folder for all results; default: $output
  --nproc N          processes of each training stage on this machine, such as the number of its GPUs; default: 1
  --nnodes N         machines of a training stage; run the same command on each of them; default: 1
  --rendezvous H:P   with --nnodes: name of one of the machines, and a port; the ports P+3 to P+5 must be free
  --set S.KEY=VALUE  a setting of stage S, such as pretrain.acoustic.steps=100, or an option of prepare, split
                     or benchmark, such as prepare.jobs=8 or benchmark.jobs=8; may be repeated
  --settings FILE    a file with one S.KEY=VALUE a line
  --small            miniature settings (recipes/small.txt): every stage takes seconds, the voices are not usable
  --dry-run          print the commands only
  -h, --help         show this message

stages:
  1  prepare     list the recordings, and compute their log-mels
  2  split       choose the speakers of train, meta, dev and test
  3  pretrain    train the aligner and the acoustic model
  4  vocoder     train the vocoder
  5  meta_train  learn the prior of the base on speakers that are new to the base
  6  benchmark   clone other new speakers and score the clones

A stage that was stopped continues when it is called again. The settings of the stages are in the files
$recipe/*.yaml.
HELP
}

fail() {
    echo "$0: $*" >&2
    exit 2
}

# Print a command, and run it. Arguments: the words of the command.
run() {
    printf '+'
    printf ' %q' "$@"
    printf '\n'
    [ -n "$dry_run" ] || "$@"
}

is_whole() {
    [[ $1 =~ ^[1-9][0-9]*$ ]]
}

# Add a setting. Argument: STAGE.KEY=VALUE.
add_setting() {
    local stage=${1%%.*}
    [[ $1 =~ ^[a-z_]+\.[^=]+= ]] || fail "'$1' is not STAGE.KEY=VALUE; write for example pretrain.acoustic.steps=100"
    [[ " ${stages[*]} " == *" $stage "* ]] || fail "'$1': no stage '$stage'; the stages are ${stages[*]}"
    settings+=("$1")
}

# Add the settings of a file. Lines that are empty or begin with # are comments.
add_settings() {
    local line
    [ -r "$1" ] || fail "cannot read the settings $1; give a file with one STAGE.KEY=VALUE a line"
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in '' | '#'*) ;; *) add_setting "$line" ;; esac
    done <"$1"
}

parse_options() {
    while (($#)); do
        case $1 in
            -h | --help) usage && exit 0 ;;
            --small) add_settings "$recipe/../small.txt" && shift && continue ;;
            --dry-run) dry_run=yes && shift && continue ;;
            --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
        esac
        case $1 in
            --stage | --stop-stage | --corpus | --output | --nproc | --nnodes | --rendezvous | --set | --settings)
                (($# > 1)) || fail "$1 needs a value; see --help"
                ;;
            *) fail "unknown option '$1'; see --help" ;;
        esac
        case $1 in
            --stage) first=$2 ;;
            --stop-stage) last=$2 ;;
            --corpus) corpus=$2 ;;
            --output) output=$2 ;;
            --nproc) nproc=$2 ;;
            --nnodes) nnodes=$2 ;;
            --rendezvous) rendezvous=$2 ;;
            --set) add_setting "$2" ;;
            --settings) add_settings "$2" ;;
        esac
        shift 2
    done
}

check_options() {
    local number
    for number in "$first" "$last"; do
        is_whole "$number" && ((number <= ${#stages[@]})) ||
            fail "no stage '$number'; the stages are 1 (prepare) to ${#stages[@]} (benchmark)"
    done
    ((first <= last)) || fail "--stage $first is after --stop-stage $last; give a later --stop-stage"
    is_whole "$nproc" || fail "--nproc must be a number of processes, not '$nproc'"
    is_whole "$nnodes" || fail "--nnodes must be a number of machines, not '$nnodes'"
    if ((nnodes > 1)); then
        ((first >= 3 && last <= 5)) || fail "only stages 3 to 5 run on several machines; give --stage 3 --stop-stage 5"
        [[ $rendezvous =~ ^[^:]+:[0-9]+$ ]] || fail "--nnodes needs --rendezvous HOST:PORT, the same on all machines"
    fi
    command -v tts-meta >/dev/null || fail "tts-meta is not installed; run pip install . and activate its environment"
    if ((first == 1)) && [ -z "$dry_run" ] && [ ! -e "$output/manifest.jsonl" ] && [ ! -d "$corpus" ] &&
        [[ " ${settings[*]-} " != *" prepare.download=true "* ]]; then
        fail "no corpus in $corpus; get it from $page and give its folder with --corpus, or add --set prepare.download=true"
    fi
}

# Fill the array `command` with the settings of a stage. Arguments: the stage, then the words before the settings. The
# settings of prepare and split, and the workers of benchmark, are options; the others are --set KEY=VALUE.
with_settings() {
    local stage=$1 setting key value
    command=("${@:2}")
    for setting in ${settings[@]+"${settings[@]}"}; do
        [ "${setting%%.*}" = "$stage" ] || continue
        setting=${setting#*.} && key=${setting%%=*} && value=${setting#*=}
        case $stage.$key in
            prepare.* | split.* | benchmark.jobs | benchmark.dask)
                command+=("--$key")
                [ "$value" = true ] || command+=("$value")
                ;;
            *) command+=(--set "$setting") ;;
        esac
    done
}

# Run a training verb in one or several processes. A machine may reach the next stage while another one still uses the
# port of this stage, so each stage has its own port. Arguments: the stage, the verb, settings KEY=VALUE.
train() {
    local launcher=(tts-meta) stage=$1 verb=$2 setting
    if ((nnodes > 1)); then
        launcher=(torchrun --nnodes "$nnodes" --nproc-per-node "$nproc" --rdzv-backend c10d --rdzv-id "tts-meta-$stage"
            --rdzv-endpoint "${rendezvous%:*}:$((${rendezvous##*:} + stage_number))" -m tts_meta.cli)
    elif ((nproc > 1)); then
        launcher=(torchrun --standalone --nproc-per-node "$nproc" -m tts_meta.cli)
    fi
    launcher+=("$verb" "$recipe/$stage.yaml")
    for setting in "${@:3}"; do launcher+=(--set "$setting"); done
    with_settings "$stage" "${launcher[@]}"
    run "${command[@]}"
}

stage_1() {
    if [ -e "$output/manifest.jsonl" ]; then
        echo "$output/manifest.jsonl exists; delete it to prepare the corpus again"
        return
    fi
    with_settings prepare tts-meta prepare "$reader" "$corpus" "$output" --features "$output/cache"
    run "${command[@]}"
}

stage_2() {
    if [ ! -e "$output/manifest.jsonl" ] && [ -d "$output/manifest.parts" ]; then
        run tts-meta merge "$output"
    fi
    with_settings split tts-meta split "$output/manifest.jsonl" "$output/split.jsonl" --force ${split_options[@]+"${split_options[@]}"}
    run "${command[@]}"
}

stage_3() {
    train pretrain pretrain manifest="$output/split.jsonl" output="$output/pretrain" cache="$output/cache"
}

stage_4() {
    train vocoder train-vocoder manifest="$output/split.jsonl" base="$output/pretrain/base" output="$output/vocoder" \
        cache="$output/cache"
}

stage_5() {
    train meta_train meta-train manifest="$output/split.jsonl" base="$output/pretrain/base" \
        output="$output/meta_train" cache="$output/cache"
}

stage_6() {
    with_settings benchmark tts-meta benchmark "$recipe/benchmark.yaml" --set manifest="$output/split.jsonl" \
        --set base="$output/meta_train/base" --set vocoder="$output/vocoder/vocoder" --set output="$output/benchmark"
    run "${command[@]}"
}

main() {
    parse_options "$@"
    check_options
    for ((stage_number = first; stage_number <= last; stage_number++)); do
        echo "stage $stage_number: ${stages[stage_number - 1]}"
        "stage_$stage_number"
    done
}
