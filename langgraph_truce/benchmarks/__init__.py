"""Public benchmarks as tasks: AQuA, MMLU, MedMCQA and GPQA, from `$TRUCE_DATA` or from the official files a user has."""
