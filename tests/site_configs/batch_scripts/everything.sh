#!/bin/bash
# smelter-al: 16 nodes of 64 cores and 4 GPUs for 36:00:00
#SBATCH --job-name=smelter-al
#SBATCH --output=/scratch/al/logs/job-%j.out
#SBATCH --nodes=16
#SBATCH --ntasks-per-node=1
#SBATCH --time=36:00:00
#SBATCH --signal=B:USR1@900
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --account=m1234_g
#SBATCH --partition=gpu
#SBATCH --qos=long
#SBATCH --constraint=gpu&hbm80g
#SBATCH --exclusive
#SBATCH --gres=gpu:4
#SBATCH --mem=200G
#SBATCH --comment=smelter-al
#SBATCH --no-kill
#SBATCH --licenses=scratch,cfs
#SBATCH --mail-type END

module load cudatoolkit/12.4
export FI_PROVIDER=cxi
trap '' USR1 USR2  # a warning that comes before the driver listens is not its end
cd '/home/me/my work' || exit
srun --relative=1 --nodes=1 --ntasks=1 --overlap --cpu-bind=none --no-kill /home/me/.venv/bin/python -m workflow.launching.watchman --directory /scratch/al &
exec /home/me/.venv/bin/python -m workflow.launch --directory /scratch/al
