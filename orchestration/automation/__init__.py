"""What starts runs: the job, its schedules, and which days are due."""
