"""`GET /api/billing/usage/forecast`: what the month will come to, and when caps will be reached."""
