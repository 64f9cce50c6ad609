#!/bin/sh
# Eight copies of one command on one shared cache: each takes the next shard that nobody has.
# A copy that is preempted or killed costs the shard in flight; resubmit as often as you like.
#
#     sbatch examples/slurm.sh "ImageBind + Dr(InternVL) | Cr(CLAP_m) & Cr(CLAP_g)"
#
#SBATCH --job-name=molspace
#SBATCH --array=1-8
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=8
#SBATCH --mem=64G
#SBATCH --time=04:00:00
#SBATCH --requeue
set -eu

if [ "$#" -ne 1 ]; then
    echo "usage: sbatch examples/slurm.sh EXPRESSION" >&2
    exit 2
fi

# A folder that all nodes see, at the same path.
export MOLSPACE_CACHE="${MOLSPACE_CACHE:-$HOME/molspace-cache}"
export MOLSPACE_LAB="${MOLSPACE_LAB:-paper}"

# srun does not take over the CPUs of the job by itself (since Slurm 22.05).
export SRUN_CPUS_PER_TASK="${SLURM_CPUS_PER_TASK:-1}"

# Each copy writes the same bundle; the copies that come later find it.
srun molspace react "$1" --device cuda --yes --log-file "log-${SLURM_ARRAY_TASK_ID:-0}.jsonl"
