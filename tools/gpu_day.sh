#!/usr/bin/env bash
# A day on a GPU: everything that needs one, in one command of at most eight minutes. No part needs the network.
#
#     tools/gpu_day.sh [FOLDER]              writes FOLDER/*.txt and FOLDER/summary.md (default: gpu_day)
#     STAND_IN=1 tools/gpu_day.sh [FOLDER]   the parts that run on the stand-in for CuPy, without a GPU
#
# Prepared before: minisk with its extras cuda13 (or cuda12) and test, PyTorch built for CUDA, and NVIDIA's
# compute-sanitizer and ncu on PATH. What is missing is noted in the summary, and the other parts run.
set -u
cd "$(dirname "$0")/.."
out=${1:-gpu_day}
mkdir -p "$out"
: > "$out/status.txt"
launches="python tools/gpu_launches.py ${STAND_IN:+--stand-in}"

# part NAME SECONDS COMMAND…: run a command with a limit, and note its exit status and its time.
part() {
    local name=$1 limit=$2 started=$SECONDS
    shift 2
    echo "== $name"
    timeout "$limit" "$@" > "$out/$name.txt" 2>&1
    echo "$name $? $((SECONDS - started))" >> "$out/status.txt"
}

part info 10 python -m minisk info
part kernels 30 $launches kernels
part counted_here 20 $launches counted
for mistake in memory race uninitialised barrier; do
    part "planted_$mistake" 10 $launches planted "$mistake"
done
if [ -z "${STAND_IN:-}" ]; then
    part device 5 nvidia-smi
    part device_suite 80 python -m pytest -q tests/gpu
    for tool in memcheck racecheck initcheck synccheck; do
        part "sanitizer_$tool" 25 compute-sanitizer --tool "$tool" $launches kernels
    done
    part nvidia_memory 8 compute-sanitizer --tool memcheck $launches planted memory
    part nvidia_race 8 compute-sanitizer --tool racecheck $launches planted race
    part nvidia_uninitialised 8 compute-sanitizer --tool initcheck $launches planted uninitialised
    part nvidia_barrier 8 compute-sanitizer --tool synccheck $launches planted barrier
    sectors=l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum,l1tex__t_sectors_pipe_lsu_mem_global_op_st.sum
    part counted_nsight 20 ncu --csv --metrics "$sectors" $launches counted
    part bandwidth 25 python benchmarks/gpu.py --only kernels
    for model in "sknet29 128" "sknet50 64"; do
        for precision in float32 tf32 mixed; do
            set -- $model
            part "step_$1_$precision" 15 python benchmarks/gpu.py --only step --model "$1" --batch-size "$2" \
                --precision "$precision" --rounds 5
        done
    done
    part training 25 python train_cifar.py --dataset shapes --model sknet29 --train-images 12800 --epochs 2 \
        --crop-padding 0 --lr 0.1 --device cuda --out "$out/run"
fi
python tools/gpu_summary.py "$out"
