#!/bin/bash
# smelter-al: 4 nodes of 40 cores and 4 GPUs for 12:00:00
#BSUB -J smelter-al
#BSUB -o /scratch/al/logs/job-%J.out
#BSUB -nnodes 4
#BSUB -W 720
#BSUB -wa USR1
#BSUB -wt 5
#BSUB -r
#BSUB -G m1234
#BSUB -q pbatch
#BSUB -Jd smelter-al

trap '' USR1 USR2  # a warning that comes before the driver listens is not its end
cd '/home/me/my work' || exit
exec /home/me/.venv/bin/python -m workflow.launch --directory /scratch/al
