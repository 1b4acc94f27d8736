"""Measurements that anyone can run: `make bench`. A timing is never a test.."""
