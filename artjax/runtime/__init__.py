"""Devices, memory, compiler and clock: what the machine is."""
