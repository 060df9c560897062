#!/bin/bash
# smelter-al: 1 node of 16 cores for 12:00:00
#SBATCH --job-name=smelter-al
#SBATCH --output=/scratch/al/logs/job-%j.out
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --time=12:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --account=m1234
#SBATCH --exclusive
#SBATCH --comment=smelter-al
#SBATCH --no-kill

trap '' USR1 USR2  # a warning that comes before the driver listens is not its end
cd '/home/me/my work' || exit
exec /home/me/.venv/bin/python -m workflow.launch --directory /scratch/al
