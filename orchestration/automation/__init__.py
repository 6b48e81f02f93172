"""What starts runs, and ends lost ones: jobs, schedules and sensors."""
