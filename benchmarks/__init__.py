"""What is fast, measured side by side: `python -m benchmarks`. Beside it scripts that measure one thing each."""
