#!/bin/bash
# smelter-al: 2 nodes of 64 cores and 4 GPUs for 12:00:00
#SBATCH --job-name=smelter-al
#SBATCH --output=/scratch/al/logs/job-%j.out
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --time=12:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --account=m1234
#SBATCH --partition=gpu
#SBATCH --exclusive
#SBATCH --gpus-per-node=4
#SBATCH --comment=smelter-al
#SBATCH --no-kill

trap '' USR1 USR2  # a warning that comes before the driver listens is not its end
cd '/home/me/my work' || exit
srun --relative=1 --nodes=1 --ntasks=1 --overlap --cpu-bind=none --no-kill /home/me/.venv/bin/python -m workflow.launching.watchman --directory /scratch/al &
exec /home/me/.venv/bin/python -m workflow.launch --directory /scratch/al
