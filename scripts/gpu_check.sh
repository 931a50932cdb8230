#!/usr/bin/env bash
# Checks apam on a GPU with one command, in less than six minutes: facts about the machine, the tests of instructions, kernels
# and cuDNN, trainings on the bundled sample by one and by several processes, training steps next to PyTorch's, and kernels.
#
#   scripts/gpu_check.sh [--dry-run] [--only PART]... [--out DIR] [--limit SECONDS] [--list]
#
#   --dry-run   everything but the device work: programs start, trainings and benchmarks take a step on the CPU
#   --only      one part, may be repeated (--list prints the parts)
#   --out       folder of the results [$OUT or gpu_check_results]
#   --limit     seconds after which no part may run any more [350]
#
# Works from an unpacked bundle (scripts/bundle.sh), from a build tree (build-cuda), or, if there is neither, with a bundle in
# build/, which it unpacks. Parts are independent processes with their own time limits: none stops the others, and the most
# important come first. Tests run at the same time; what is timed has the machine for itself. Writes gpu_check.txt (a table),
# gpu_check.json (everything), and per part a log, also of what ran until a time-out; of a failure, its first 60 lines are in
# failures.txt. The folder of results stays below a few MiB: weight files are removed. Exit code 1 if a part failed or ran out
# of time.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

parts=(machine instructions edge_cases net_cases tma cudnn training steps determinism exchange kernels pytorch pytorch_compiled)
together=(instructions edge_cases net_cases tma cudnn)  # tests, whose time does not matter
declare -A limits=([machine]=30 [instructions]=75 [edge_cases]=75 [net_cases]=75 [tma]=60 [cudnn]=75 [training]=60 [steps]=90 [determinism]=20
  [exchange]=60 [kernels]=75 [pytorch]=45 [pytorch_compiled]=180)
cudnn_processes=12 cudnn_seconds=65
largest_result=1M  # of what trainings write; weights are larger
summary_keys=(weights_sha256 test_accuracy images_per_second)
operations=(conv2d batch_norm relu add scale avg_pool linear softmax_cross_entropy convert optimizer_step running_average)
# By importance: a time-out loses the last ones.
configurations=("resnet18 80 10" "resnet18 512 10" "allcnn 100 10" "wrn28-5 100 1000" "allcnn 512 10" "wrn28-5 512 1000")
float32_configurations=("resnet18 80 10" "allcnn 100 10" "wrn28-5 100 1000")
skipped=77  # exit code of a part that could not run here

# ---- where the programs are

# program NAME: the path of a program, in a bundle or a build tree.
program() {
  local name="$1" path
  for path in "$root/bin/$name" "$root/build-cuda/$name" "$root/build-cuda/bench/$name" "$root/build-cuda/tests/kernels/cuda/gpu/$name" \
    "$root/build-cuda/tests/kernels/cudnn/$name"; do
    if [[ -f $path && -x $path ]]; then echo "$path"; return; fi
  done
  die "there is no program $name: build with 'cmake --build --preset cuda', or unpack a bundle (scripts/bundle.sh)"
}
start() { local path; path="$(program "$1")" || return 1; "$root/scripts/with_libraries.sh" "$path" "${@:2}"; }

# python_for_torch: a Python with PyTorch.
python_for_torch() {
  local python
  for python in python3 /usr/bin/python3; do
    if have "$python" && "$python" -c "import torch" >/dev/null 2>&1; then echo "$python"; return; fi
  done
  echo "no PyTorch here"
  return "$skipped"
}
dry() { [[ $mode == dry ]]; }

# ---- the parts; each prints to its log, and writes results to $out/results/

part_machine() {
  { nvidia-smi || echo "no nvidia-smi"; nvidia-smi --query-gpu=name,driver_version,clocks.max.sm,clocks.max.mem --format=csv; } 2>&1
  nvcc --version 2>&1 | tail -n 2
  uname -srm; nproc; ldd --version | sed -n 1p
  "$root/scripts/with_libraries.sh" --list
  if have python3; then
    python3 -c 'import torch; print("PyTorch", torch.__version__, torch.version.cuda, torch.backends.cudnn.version())' 2>&1 | tail -n 1
  fi
  start apam info --json >"$out/results/info.json" || return 1
  cat "$out/results/info.json"
  dry || ! grep -q '"gpus": \[\]' "$out/results/info.json"
}

# where_memory_is_misused PROGRAM FILTER: the first faults that compute-sanitizer finds in these tests.
where_memory_is_misused() {
  local sanitizer
  for sanitizer in compute-sanitizer /usr/local/cuda/bin/compute-sanitizer; do
    if have "$sanitizer"; then
      timeout --foreground 30 "$root/scripts/with_libraries.sh" "$sanitizer" --print-limit 2 --error-exitcode 1 "$(program "$1")" \
        --gtest_filter="$2" --gtest_brief=1 --gtest_fail_fast 2>&1 | grep '^=' | sed -n 1,40p
      return
    fi
  done
}
# gpu_tests PROGRAM FILTER [SECONDS]: prints as the tests run, with their times. A machine without a GPU, or without cuDNN, skips them.
gpu_tests() {
  local log code=0
  log="$(mktemp)"
  ${3:+timeout --foreground -k 2 "$3"} "$root/scripts/with_libraries.sh" "$(program "$1")" --gtest_filter="$2" 2>&1 | grep -vE --line-buffered '^(\[ RUN  |\[---|Running main|$)' | tee "$log" ||
    code=${PIPESTATUS[0]}
  if (( code != 0 )) && grep -q 'cuda: ' "$log"; then where_memory_is_misused "$1" "$2"; fi
  if grep -q ' 0 tests from' "$log"; then echo "no test is named $2"; code=1; fi
  if (( code == 0 )) && ! grep -q '\[       OK \]' "$log"; then code=$skipped; fi
  rm -f "$log"
  return "$code"
}
part_instructions() { gpu_tests kernels_cuda_gpu '-OnGpu/*:Tma.*:ConvolutionByTma.*'; }
# Neither of the two hides the other, whether it fails or hangs.
part_tma() {
  local filter code=0 one
  for filter in 'Tma.*' 'ConvolutionByTma.*'; do
    one=0
    gpu_tests kernels_cuda_gpu "$filter" 28 || one=$?
    echo "$filter: exit code $one"
    if (( one != 0 && (code == 0 || code == skipped) )); then code=$one; fi
  done
  return "$code"
}

# wait_for FOLDER NAME...: waits for background processes, whose ids are in `pids` and whose logs in FOLDER; prints their exit
# codes, the logs of those that failed, and the times of tests of all. A failure outweighs a skip.
wait_for() {
  local logs="$1" index one code=0 names=("${@:2}")
  trap 'tail -n 5 "$logs"/*; exit 124' TERM  # the part is out of time
  for index in "${!pids[@]}"; do
    wait "${pids[$index]}"
    one=$?
    if (( one == 0 )) && ! grep -q '\[       OK \]' "$logs/${names[$index]}"; then one=$skipped; fi
    echo "${names[$index]}: exit code $one$( (( one != 124 )) || echo ", out of time")"
    if (( one != 0 && (code == 0 || code == skipped) )); then code=$one; fi
    if (( one != 0 && one != skipped )); then
      head -n 40 "$logs/${names[$index]}"
      echo "..."
      tail -n 3 "$logs/${names[$index]}"
    fi
  done
  echo "the slowest tests:"
  sed -nE 's/^\[ +(OK|FAILED) +\] (.*) \(([0-9]+) ms\)$/\3 ms \2/p' "$logs"/* | sort -rn | sed -n 1,12p
  rm -rf "$logs"
  return "$code"
}
# every_operation TEST: one process per operation, at the same time.
every_operation() {
  local operation pids=() logs
  logs="$(mktemp -d)"
  for operation in "${operations[@]}"; do
    gpu_tests kernels_cuda_gpu "OnGpu/$operation.$1" >"$logs/$operation" 2>&1 &
    pids+=($!)
  done
  wait_for "$logs" "${operations[@]}"
}
part_edge_cases() { every_operation edge_cases_are_right; }
# The tests are divided among processes, so that one that fails, hangs or crashes hides no other.
part_cudnn() {
  local index pids=() names=() logs
  logs="$(mktemp -d)"
  for (( index = 0; index < cudnn_processes; ++index )); do
    (
      export GTEST_TOTAL_SHARDS=$cudnn_processes GTEST_SHARD_INDEX=$index
      exec timeout --foreground -k 2 "$cudnn_seconds" "$root/scripts/with_libraries.sh" "$(program kernels_cudnn_gpu)"
    ) >"$logs/share_$index" 2>&1 &
    pids+=($!)
    names+=("share_$index")
  done
  wait_for "$logs" "${names[@]}"
}
part_net_cases() { every_operation problems_of_the_nets_are_right; }

# train NAME ARGUMENT...: a training on the bundled sample; prints the lines of its summary that identify the weights.
train() {
  local name="$1" device=cuda key
  if dry; then device=cpu; fi
  start apam train --data cifar10 --device "$device" --out "$out/results/$name" --overwrite --kernel-cache "$out/cache" \
    "${@:2}" </dev/null || return
  for key in "${summary_keys[@]}"; do echo "$name: $key $(value "$out/results/$name/summary.json" "$key")"; done
}
part_training() {
  if dry; then train allcnn --net allcnn --batch 10 --max-updates 2 --kernels native; return; fi
  train resnet18_bf16 --net resnet18 --batch 80 --epochs 2 --lr 1e-3 --precision bf16 || return
  train allcnn_float32 --net allcnn --batch 100 --epochs 2 --lr 1e-3
}
part_determinism() {
  local name arguments=(--net resnet18 --batch 80 --max-updates 20 --precision bf16 --kernels native)
  if dry; then arguments=(--net allcnn --batch 10 --max-updates 1 --kernels native --threads 1); fi
  for name in first second; do train "$name" "${arguments[@]}" || return; done
  local a b
  a="$(grep weights_sha256 "$out/results/first/summary.json")"
  b="$(grep weights_sha256 "$out/results/second/summary.json")"
  [[ -n $a && $a == "$b" ]] || { echo "the weights differ: $a, $b"; return 1; }
}

# ranks NUMBER NAME ARGUMENT...: trains with several ranks, on the GPUs in turn.
ranks() {
  local name="$2" launcher="$root/bin/mpiexec.hydra" device=cuda key
  [[ -x $launcher ]] || launcher="$(mpich_launcher)" || return
  if dry; then device=cpu; fi
  "$root/scripts/with_libraries.sh" "$launcher" -n "$1" "$(program apam)" train --data cifar10 --device "$device" \
    --out "$out/results/$name" --overwrite --kernel-cache "$out/cache" "${@:3}" </dev/null || return
  for key in transport "${summary_keys[@]}"; do echo "$name: $key $(value "$out/results/$name/summary.json" "$key")"; done
}
# same_weights RUN OTHER
same_weights() {
  local seen expected
  seen="$(value "$out/results/$1/summary.json" weights_sha256)"
  expected="$(value "$out/results/$2/summary.json" weights_sha256)"
  [[ -n $seen && $seen == "$expected" ]] || { echo "$1: weights $seen, $2 has $expected"; return 1; }
}
part_exchange() {
  local gpus
  gpus="$(nvidia-smi --list-gpus 2>/dev/null | wc -l)"
  echo "GPUs: $gpus"  # with one, all ranks share it
  local arguments=(--net resnet18 --batch 80 --max-updates 31 --precision bf16 --kernels native) name code=0
  if dry; then arguments=(--net allcnn --batch 10 --max-updates 1 --kernels native --threads 1); fi
  train alone "${arguments[@]}" || return
  ranks 2 one_ipc "${arguments[@]}" --exchange async --transport shared || code=1
  ranks 2 one_mpi "${arguments[@]}" --exchange async --transport mpi || code=1
  for name in one_ipc one_mpi; do same_weights "$name" alone || code=1; done
  ranks 3 two_ipc "${arguments[@]}" --exchange async --transport shared || code=1
  ranks 3 two_mpi "${arguments[@]}" --exchange async --transport mpi || code=1
  ranks 2 two_synchronous "${arguments[@]}" --exchange sync || code=1
  if dry; then return "$code"; fi
  # NCCL takes one rank per GPU. A rank by itself makes the updates of local training, two those of two by messages.
  arguments+=(--exchange sync --transport nccl)
  ranks 1 one_nccl "${arguments[@]}" || code=1
  same_weights one_nccl alone || code=1
  if (( gpus > 1 )); then
    ranks 2 two_nccl "${arguments[@]}" || code=1
    same_weights two_nccl two_synchronous || code=1
  fi
  return "$code"
}

# step NET BATCH CLASSES PRECISION
step() {
  local json="$out/results/step_$1_$2_$4.json" begin=$SECONDS code=0
  if dry; then
    (( $2 == 512 )) || start step --net "$1" --batch 2 --steps 1 --warm-up 0 --profile 0 --kernels native --precision "$4" \
      --json "$json"
    return
  fi
  start step --net "$1" --batch "$2" --classes "$3" --device cuda --precision "$4" --steps 10 --warm-up 2 --profile 2 \
    --kernel-cache "$out/cache" --json "$json" || code=1
  echo "$1 $2 $4: $((SECONDS - begin)) s, of which most chooses kernels"
  return "$code"
}
# Each configuration is tried; a failure does not stop the next.
part_steps() {
  local one code=0
  # shellcheck disable=SC2086  # words of the configuration
  for one in "${configurations[@]}"; do step $one bf16 || code=1; done
  # shellcheck disable=SC2086
  for one in "${float32_configurations[@]}"; do step $one float32 || code=1; done
  return "$code"
}

# pytorch MODE PRECISION SECONDS NET CLASSES BATCH...
pytorch() {
  local python
  python="$(python_for_torch)" || { echo "$python"; return "$skipped"; }
  local device=cuda arguments=(--steps 10 --warm-up 3)
  if dry; then device=cpu arguments=(--steps 1 --warm-up 0); fi
  timeout --foreground "$3" "$python" "$root/bench/pytorch/step.py" --net "$4" --classes "$5" --batch "${@:6}" \
    --device "$device" --mode "$1" --precision "$2" "${arguments[@]}" | tee -a "$out/results/pytorch.jsonl"
}
part_pytorch() {
  local code=0 one
  if dry; then pytorch eager bf16 60 allcnn 10 2; return; fi
  for one in "resnet18 10 80 512" "allcnn 10 100 512" "wrn28-5 1000 100 512"; do
    # shellcheck disable=SC2086  # words of the configuration
    pytorch eager bf16 40 $one || code=$?
  done
  for one in "resnet18 10 80" "allcnn 10 100"; do
    # shellcheck disable=SC2086
    pytorch eager float32 30 $one || code=$?
  done
  return "$code"
}
part_pytorch_compiled() {
  local code=0 configuration net batch classes
  if dry; then echo "compiled steps run on a GPU only"; return "$skipped"; fi
  for configuration in "${configurations[@]}"; do
    read -r net batch classes <<<"$configuration"
    pytorch max-autotune bf16 170 "$net" "$classes" "$batch" || code=$?
  done
  return "$code"
}
# kernels NAME ARGUMENT...: times of kernels of ResNet18.
kernels() {
  start kernels --device cuda --net resnet18 --precision bf16 --batch 80 --rounds 5 --milliseconds 3 --no-auto \
    --json "$out/results/kernels_$1.json" "${@:2}"
}
# cuDNN compiles each graph of batch norm, so that comes last.
part_kernels() {
  if dry; then start kernels --net allcnn --op softmax_cross_entropy --batch 2 --rounds 1 --milliseconds 0; return; fi
  local code=0
  kernels conv2d --op conv2d --provider native cudnn || code=1
  kernels others --op optimizer_step softmax_cross_entropy --provider native || code=1
  kernels batch_norm --op batch_norm --pass forward_training backward --provider native cudnn || code=1
  kernels conv2d_tma --op conv2d --pass forward backward_input --provider tma cudnn || code=1
  return "$code"
}

# ---- results

value() { sed -n "s/.*\"$2\": *\"\{0,1\}\([^,\"}]*\).*/\1/p" "$1" | sed -n 1p; }
# pytorch_rate NET BATCH PRECISION MODE: images/s; empty if it was not measured.
pytorch_rate() {
  [[ -f $out/results/pytorch.jsonl ]] || return 0
  grep "\"net\": \"$1\".*\"batch\": $2, \"precision\": \"$3\".*\"mode\": \"$4\"" "$out/results/pytorch.jsonl" |
    sed -n 's/.*"images_per_second": \([0-9.]*\).*/\1/p' | tail -n 1
}
table_of_steps() {
  local file net batch precision ours eager compiled
  printf '\n%-10s%6s %-9s%14s%16s%16s%8s\n' net batch precision "apam images/s" "PyTorch eager" "max-autotune" ratio
  for file in "$out"/results/step_*.json; do
    [[ -f $file ]] || continue
    net="$(value "$file" net)" batch="$(value "$file" batch)" precision="$(value "$file" precision)"
    ours="$(value "$file" images_per_second)"
    eager="$(pytorch_rate "$net" "$batch" "$precision" eager)"
    compiled="$(pytorch_rate "$net" "$batch" "$precision" max-autotune)"
    awk -v n="$net" -v b="$batch" -v p="$precision" -v o="$ours" -v e="$eager" -v c="$compiled" 'BEGIN {
      best = (c + 0 > e + 0) ? c + 0 : e + 0
      printf "%-10s%6d %-9s%14.0f%16s%16s%8s\n", n, b, p, o, e == "" ? "-" : sprintf("%.0f", e), c == "" ? "-" : sprintf("%.0f", c),
        (best > 0) ? sprintf("%.2f", o / best) : "-" }'
  done
}
table_of_trainings() {
  local file key text
  for file in "$out"/results/*/summary.json; do
    [[ -f $file ]] || continue
    text="$(basename "$(dirname "$file")")"
    for key in "${summary_keys[@]}"; do text+=" $key $(value "$file" "$key")"; done
    echo "$text"
  done
}
write_report() {
  local part file separator=""
  {
    printf '%-18s%-10s%9s\n' part status seconds
    for part in "${parts[@]}"; do
      file="$out/parts/$part"
      if [[ -f $file ]]; then printf '%-18s%-10s%9s\n' "$part" "$(sed -n 1p "$file")" "$(sed -n 2p "$file")"; fi
    done
    table_of_steps
    table_of_trainings
    grep -hE ', (native|tma) / cudnn: |^  (forward|backward)[a-z_]*: ' "$out/kernels.log" 2>/dev/null
  } >"$out/gpu_check.txt"
  {
    printf '{"mode": "%s", "date": "%s", "parts": {' "$mode" "$(date -u +%FT%TZ)"
    for part in "${parts[@]}"; do
      file="$out/parts/$part"
      [[ -f $file ]] || continue
      printf '%s\n  "%s": {"status": "%s", "seconds": %s, "exit_code": %s}' "$separator" "$part" "$(sed -n 1p "$file")" \
        "$(sed -n 2p "$file")" "$(sed -n 3p "$file")"
      separator=","
    done
    printf '},\n "results": {'
    separator=""
    for file in "$out"/results/*.json "$out"/results/*/summary.json; do
      [[ -s $file ]] || continue
      printf '%s\n  "%s": ' "$separator" "${file#"$out"/results/}"
      cat "$file"
      separator=","
    done
    printf '},\n "pytorch": [%s]}\n' "$(paste -sd, "$out/results/pytorch.jsonl" 2>/dev/null)"
  } >"$out/gpu_check.json"
}

run_part() {
  local part="$1" left=$((limit - SECONDS)) seconds begin=$SECONDS code=0 status
  seconds=$((limits[$part] < left ? limits[$part] : left))
  if (( seconds < 5 )); then
    printf 'no time\n0\n-1\n' >"$out/parts/$part"
    return
  fi
  timeout -k 5 "$seconds" "${BASH_SOURCE[0]}" --run "$part" "$mode" "$out" >"$out/$part.log" 2>&1 || code=$?
  case "$code" in 0) status=ok ;; "$skipped") status=skipped ;; 124 | 137) status="time-out" ;; *) status=failed ;; esac
  printf '%s\n%s\n%s\n' "$status" $((SECONDS - begin)) "$code" >"$out/parts/$part"
  find "$out/results" -type f -size +"$largest_result" -delete
  say "$part: $status ($((SECONDS - begin)) s)"
  if [[ $status == failed || $status == time-out ]]; then
    { echo "==== $part: $status, exit code $code"; head -n 60 "$out/$part.log"; } >>"$out/failures.txt"
  fi
}

# ---- options

mode=gpu only=() out="${OUT:-gpu_check_results}" limit=350
if [[ ${1:-} == --run ]]; then
  mode="$3" out="$4"
  "part_$2"
  exit
fi
arguments=("$@")
while (( $# > 0 )); do
  case "$1" in
    -h | --help) usage; exit ;;
    --list) printf '%s\n' "${parts[@]}"; exit ;;
    --dry-run) mode=dry ;;
    --only) [[ -v limits[${2:-none}] ]] || die "no part '${2:-}': see --list"; only+=("$2"); shift ;;
    --out) out="${2:?--out needs a folder}"; shift ;;
    --limit) limit="${2:?--limit needs seconds}"; shift ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done

if [[ ! -d $root/bin && ! -d $root/build-cuda ]]; then
  bundles=("$root"/build/apam-bundle-*.tar.xz)
  [[ -f ${bundles[-1]} ]] || die "no programs: build with 'cmake --build --preset cuda', or unpack a bundle (scripts/bundle.sh)"
  unpacked="$(mktemp -d)"
  trap 'rm -rf "$unpacked"' EXIT
  tar -C "$unpacked" -xf "${bundles[-1]}" || die "${bundles[-1]} cannot be unpacked"
  say "using ${bundles[-1]}"
  bundles=("$unpacked"/apam-bundle-*)
  "${bundles[0]}/scripts/gpu_check.sh" "${arguments[@]}"
  exit
fi

mkdir -p "$out"/{parts,results,cache}
out="$(cd "$out" && pwd)"
if (( ${#only[@]} == 0 )); then
  only=("${parts[@]}")
  rm -rf "${out:?}"/{parts,results}/* "$out/failures.txt"
fi
for part in "${only[@]}"; do
  if [[ " ${together[*]} " == *" $part "* ]]; then
    run_part "$part" &
  else
    wait
    run_part "$part"
    write_report
  fi
done
wait
write_report
rm -rf "$out/cache"
cat "$out/gpu_check.txt"
if [[ -s $out/failures.txt ]]; then cat "$out/failures.txt"; fi
! grep -qE '^(failed|time-out)' "$out"/parts/*
